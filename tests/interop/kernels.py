"""Every weight that inflation writes, against numpy's own arithmetic, bit for bit."""

import common

common.need("onnx", "h5py", "onnxruntime")

import h5py
import numpy
import onnx

import expected_kernels
import onnx_tools
from common import i3dconv, require


def prepare(work):
    flat = work / "flat.h5"
    if not flat.exists():
        i3dconv("zoo", "synth", "inception_v1", "--seed", 3, "-o", flat)
    return flat


def read_hdf5(path):
    """Datasets by their names without the layer's group."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name.partition("/")[2]] = item[()]

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def inflated_kernel(kernel):
    """An HWIO kernel repeated over its own height, as THWIO."""
    size = kernel.shape[0]
    return numpy.repeat((kernel / numpy.float32(size))[None], size, axis=0)


def channel_mean(kernel, channels):
    """The first kernel for another number of channels: their mean, scaled by C/C'."""
    total = kernel.astype("f8").sum(axis=2, keepdims=True)
    return numpy.repeat((total / channels).astype("f4"), channels, axis=2)


def expected_weights(flat, channels):
    expected = {}
    for name, values in read_hdf5(flat).items():
        if name.startswith("Conv2d_1a_7x7_conv") and channels != 3:
            values = channel_mean(values, channels)
        if values.ndim == 4:
            values = inflated_kernel(values)
        expected[name.replace("Conv2d", "Conv3d")] = values
    return expected


def require_equal(found, expected):
    require(found.keys() == expected.keys(), f"names: {sorted(found.keys() ^ expected.keys())}")
    for name, values in expected.items():
        require(found[name].dtype == numpy.float32, f"{name} is {found[name].dtype}")
        require(numpy.array_equal(found[name], values), f"{name} differs")


def test_rgb_hdf5(work):
    flat = prepare(work)
    i3dconv("inflate", flat, "-o", work / "rgb.h5")
    require_equal(read_hdf5(work / "rgb.h5"), expected_weights(flat, 3))


def test_flow_hdf5(work):
    flat = prepare(work)
    i3dconv("inflate", flat, "-o", work / "flow.h5", "--stream", "flow")
    require_equal(read_hdf5(work / "flow.h5"), expected_weights(flat, 2))


def test_five_channels_hdf5(work):
    flat = prepare(work)
    i3dconv("inflate", flat, "-o", work / "five.h5", "--in-channels", 5)
    require_equal(read_hdf5(work / "five.h5"), expected_weights(flat, 5))


def test_rgb_onnx(work):
    """Kernels of a graph, compared with the 2D graph's node by node."""
    i3dconv("convert", prepare(work), "-o", work / "flat.onnx")
    i3dconv("inflate", work / "flat.onnx", "-o", work / "rgb.onnx")
    flat = onnx_tools.convolutions(onnx.load(work / "flat.onnx"))
    inflated = onnx_tools.convolutions(onnx.load(work / "rgb.onnx"))
    require(len(flat) == len(inflated) == 58, f"{len(flat)} and {len(inflated)} convolutions")
    for (node, kernel), (_, found) in zip(flat, inflated):
        size = kernel.shape[2]
        expected = numpy.repeat((kernel / numpy.float32(size))[:, :, None], size, axis=2)
        require(numpy.array_equal(found, expected), f"{node.name or node.output[0]} differs")


def one_kernel(path, dtype, operator="Conv", **attributes):
    """A graph of one convolution from 3 channels to 5 with a 3×3 kernel of that type."""
    shape = (3, 5, 3, 3) if operator == "ConvTranspose" else (5, 3, 3, 3)
    values = numpy.random.default_rng(9).standard_normal(shape)
    tensor = onnx.helper.make_tensor("w", dtype, shape, values.ravel())
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(operator, ["x", "w"], ["y"], **attributes)], "one",
        [onnx.helper.make_tensor_value_info("x", dtype, [1, 3, 8, 8])],
        [onnx.helper.make_tensor_value_info("y", dtype, None)], [tensor])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def test_other_types(work):
    """float16, bfloat16 and float64 kernels stay what they are, divided once."""
    types = onnx.TensorProto
    for dtype in (types.FLOAT16, types.BFLOAT16, types.DOUBLE, types.FLOAT):
        for operator in ("Conv", "ConvTranspose"):
            flat = one_kernel(work / "one.onnx", dtype, operator, strides=[2, 2])
            i3dconv("inflate", flat, "-o", work / "three.onnx", "--recipe", "isotropic")
            expected_kernels.require_kernels(flat, work / "three.onnx")


def test_centre(work):
    flat = one_kernel(work / "one.onnx", onnx.TensorProto.FLOAT)
    i3dconv("inflate", flat, "-o", work / "three.onnx", "--recipe", "isotropic", "--init",
            "center")
    kernel = onnx_tools.convolutions(onnx.load(flat))[0][1]
    found = onnx_tools.convolutions(onnx.load(work / "three.onnx"))[0][1]
    require(numpy.array_equal(found[:, :, 1], kernel), "the middle frame differs")
    require(not found[:, :, 0].any() and not found[:, :, 2].any(), "the others are not zero")


def test_channel_init(work):
    """Five and one channels from three, by each rule."""
    flat = one_kernel(work / "one.onnx", onnx.TensorProto.FLOAT)
    kernel = onnx_tools.convolutions(onnx.load(flat))[0][1]
    wide = kernel.astype("f8")
    total = wide.sum(axis=1, keepdims=True)
    for channels in (5, 1):
        cycle = wide[:, [c % 3 for c in range(channels)]] * 3 if channels > 1 else total
        expected = {"scaled-mean": numpy.repeat(total / channels, channels, axis=1),
                    "mean": numpy.repeat(total / 3, channels, axis=1),
                    "cycle": cycle / channels}
        for rule, values in expected.items():
            i3dconv("inflate", flat, "-o", work / "three.onnx", "--recipe", "isotropic",
                    "--in-channels", channels, "--channel-init", rule)
            found = onnx_tools.convolutions(onnx.load(work / "three.onnx"))[0][1]
            require(numpy.array_equal(found, expected_kernels.repeated(values.astype("f4"), 3)),
                    f"{rule} of {channels} channels differs")


common.main()
