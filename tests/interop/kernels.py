"""Every weight that inflation writes, against numpy's own arithmetic, bit for bit."""

import common

common.need("onnx", "h5py", "onnxruntime")

import h5py
import numpy
import onnx

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


common.main()
