"""One function through all codebases: a network written in every dialect holds every key
that the codebase asks for, loads strictly, and computes the same there, in ONNX Runtime
from the graph it is bound to, and in our own forward pass."""

import os

import common

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
common.need("torch", "torchvision", "keras", "tensorflow", "h5py", "onnx",
            "onnxruntime")

import numpy
import torch
import torchvision

import networks
import onnx_tools
import torch_i3d
from common import i3dconv, relative_error, require

CLASSES = 11
FRAMES = 16
TORCH = ("pytorch-i3d", "hassony2-i3d")
SAME_FUNCTION = 1e-5


def clip():
    return numpy.random.default_rng(5).standard_normal((1, 3, FRAMES, 224, 224)).astype("f4")


def ours(path, work):
    """Logits from the graph that the file is bound to, as ONNX Runtime computes them."""
    graph = work / "bound.onnx"
    i3dconv("convert", path, "-o", graph)
    return onnx_tools.run(graph, clip())[0].reshape(-1)


def require_same(actual, expected, what):
    error = relative_error(actual, expected)
    print(f"# {what}: relative error {error:.1e}")
    require(error <= SAME_FUNCTION, f"{what}: relative error {error:.1e}")


def write_all(inflated, work, *options):
    """The network in every dialect: {dialect: path}. What the tables list is all there."""
    suffixes = {"pytorch-i3d": ".pt", "hassony2-i3d": ".pt", "sonnet": ".npz",
                "sonnet-kin600": ".npz", "keras-i3d": ".h5"}
    written = {}
    for dialect, suffix in suffixes.items():
        written[dialect] = work / (dialect + suffix)
        said = i3dconv("convert", inflated, "-o", written[dialect], "--dialect", dialect,
                       *options).decode()
        if dialect in (*TORCH, "keras-i3d"):
            require(said.startswith("to load it: "), f"nothing says how to load it: {said!r}")
    return written


def torch_logits(dialect, path):
    network = torch_i3d.I3D(dialect, 3, CLASSES)
    state = torch.load(path, weights_only=True)
    counters = [name for name in state if name.endswith(".num_batches_tracked")]
    require(len(counters) == 57 and all(state[name].dtype == torch.int64 and not state[name].dim()
                                        for name in counters), "the batch counters are wrong")
    network.load_state_dict(state, strict=True)
    with torch.no_grad():
        return network.eval()(torch.from_numpy(clip())).numpy().reshape(-1)


def keras_logits(path):
    model = networks.KerasInception(axes=3, channels=3, classes=CLASSES, frames=FRAMES).model
    model.load_weights(path)
    return model.predict(numpy.moveaxis(clip(), 1, -1), verbose=0).reshape(-1)


def require_sonnet_names(path, prefix, axes):
    """Sonnet's names, made from the paper's units."""
    units = {"Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3"}
    branches = ("Branch_0/Conv3d_0a_1x1", "Branch_1/Conv3d_0a_1x1", "Branch_1/Conv3d_0b_3x3",
                "Branch_2/Conv3d_0a_1x1", "Branch_2/Conv3d_0b_3x3", "Branch_3/Conv3d_0b_1x1")
    for block in torch_i3d.BLOCKS:
        units |= {f"Mixed_{block}/{branch}" for branch in branches}
    units.remove("Mixed_5b/Branch_2/Conv3d_0b_3x3")
    units.add("Mixed_5b/Branch_2/Conv3d_0a_3x3")  # so it is called there
    expected = {f"{prefix}{unit}/conv_3d/w" for unit in units}
    vectors = {f"{prefix}{unit}/batch_norm/{role}" for unit in units
               for role in ("beta", "moving_mean", "moving_variance")}
    logits = f"{prefix}Logits/Conv3d_0c_1x1/conv_3d/"
    found = numpy.load(path)
    require(set(found) == expected | vectors | {logits + "w", logits + "b"},
            f"other names: {sorted(set(found) ^ (expected | vectors))[:6]}")
    require(all(found[name].ndim == axes for name in vectors), "BatchNorm has other axes")
    require(found[logits + "w"].shape == (1, 1, 1, 1024, CLASSES), "the classifier's shape")


def require_one_function(written, work):
    """Every file gives the logits of the first; returns them."""
    expected = ours(written["pytorch-i3d"], work)
    for dialect, path in written.items():
        if dialect != "pytorch-i3d":
            require_same(ours(path, work), expected, f"{dialect}, bound")
    for dialect in TORCH:
        require_same(torch_logits(dialect, written[dialect]), expected, f"{dialect} in PyTorch")
    require_same(keras_logits(written["keras-i3d"]), expected, "keras-i3d in Keras")
    require_sonnet_names(written["sonnet"], "RGB/inception_i3d/", 1)
    require_sonnet_names(written["sonnet-kin600"], "", 5)
    return expected


def test_synthetic_inception(work):
    flat, inflated = work / "flat.h5", work / "i3d.onnx"
    i3dconv("zoo", "synth", "inception_v1", "--seed", 21, "--classes", CLASSES, "-o", flat)
    i3dconv("inflate", flat, "-o", inflated)
    written = write_all(inflated, work)
    logits = require_one_function(written, work)
    require_same(onnx_tools.run(inflated, clip())[0].reshape(-1), logits, "as it was inflated")
    for path in written.values():
        verdict = common.verify(flat, path)
        require(verdict.startswith("PASS"), verdict)


def seeded(network, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            networks.randomise(module, generator, True)
    return network.eval()


def test_torchvision_googlenet(work):
    network = seeded(torchvision.models.googlenet(weights=None, num_classes=CLASSES,
                                                  aux_logits=False, init_weights=False), 22)
    flat = work / "googlenet.pth"
    torch.save(network.state_dict(), flat)
    inflated = work / "near.onnx"
    i3dconv("inflate", flat, "-o", inflated)
    i3dconv("convert", inflated, "-o", work / "no.h5", "--dialect", "keras-i3d", status=4)
    logits = require_one_function(write_all(inflated, work, "--approximate"), work)
    deviation = relative_error(logits, onnx_tools.run(inflated, clip())[0].reshape(-1))
    print(f"# the dialects' pads move the logits by {deviation:.2g} of the largest one")
    require(deviation > SAME_FUNCTION, "nothing was approximate")


def test_torchvision_resnets(work):
    image = onnx_tools.seeded_image()
    for name in ("resnet18", "resnet50"):
        network = seeded(getattr(torchvision.models, name)(weights=None, num_classes=CLASSES), 23)
        flat = work / f"{name}.pth"
        torch.save(network.state_dict(), flat)
        i3dconv("convert", flat, "-o", work / "resnet.onnx")
        onnx_tools.require_valid(work / "resnet.onnx")
        with torch.no_grad():
            expected = network(torch.from_numpy(image)).numpy()
        require_same(onnx_tools.run(work / "resnet.onnx", image)[0], expected, name)

        back = work / "back.pt"
        i3dconv("convert", work / "resnet.onnx", "-o", back, "--dialect", "torchvision-resnet")
        state = torch.load(back, weights_only=True)
        network.load_state_dict(state, strict=True)
        require(all(torch.equal(state[key], value) for key, value in network.state_dict().items()),
                "the weights came back changed")


def test_mmaction2_names(work):
    """What mmaction2's ResNet3d asks for, by torchvision's names of the same parameters."""
    i3dconv("zoo", "synth", "resnet50", "--seed", 24, "--classes", CLASSES, "-o",
            work / "resnet50.safetensors")
    i3dconv("inflate", work / "resnet50.safetensors", "--recipe", "mmaction2-i3d", "-o",
            work / "mm.onnx")
    path = work / "mm.pth"
    i3dconv("convert", work / "mm.onnx", "-o", path, "--dialect", "mmaction2-i3d")
    inflated = {(1, 0), (1, 1), (1, 2), (2, 0), (2, 2), (3, 0), (3, 2), (3, 4), (4, 1)}
    expected = {}
    reference = torchvision.models.resnet50(weights=None, num_classes=CLASSES)
    for key, value in reference.state_dict().items():
        parts, shape = key.split("."), tuple(value.shape)
        if parts[0] == "fc":
            expected["cls_head.fc_cls." + parts[1]] = shape
            continue
        *unit, module, role = parts
        if unit[-1:] == ["downsample"]:
            unit, module = unit[:-1], "downsample." + ("conv" if module == "0" else "bn")
        else:
            module = f"conv{module[-1]}." + module[:-1]
        time = 5 if key == "conv1.weight" else 1
        if len(unit) == 2 and module == "conv1.conv":
            time = 3 if (int(unit[0][-1]), int(unit[1])) in inflated else 1
        if len(shape) == 4:
            shape = (*shape[:2], time, *shape[2:])
        expected[".".join(["backbone", *unit, module, role])] = shape
    found = {key: tuple(value.shape) for key, value in torch.load(path)["state_dict"].items()}
    require(found == expected, f"they differ in {sorted(found.items() ^ expected.items())[:6]}")


common.main()
