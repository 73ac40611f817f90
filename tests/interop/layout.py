"""Networks in other orders of axes compute the same on input in that order."""

import common

common.need("torch", "torchvision", "onnx", "onnxruntime")

import numpy
import onnx
import torch
import torchvision

import expected_kernels
import families
import fixed_point
from common import i3dconv, refusal, relative_error, require

NETWORKS = ("resnet18", "densenet121", "shufflenet_v2_x1_0", "efficientnet_b0", "unet",
            "fcn_resnet50", "convnext_tiny", "googlenet")
ORDERS = ("NCHWD", "NCWHD", "NCWDH")


def first_output(path, value):
    model = onnx.load(path)
    name = model.graph.output[0].name
    return fixed_point.run_all(model, value, [name])[name]


def test_graphs(work):
    for name in NETWORKS:
        path, image = families.make(work, name)
        plain, turned = work / "plain.onnx", work / "turned.onnx"
        size = ",".join(map(str, image.shape[2:]))
        options = ("--recipe", "keep-frames", "--input-shape", size)
        i3dconv("inflate", path, "-o", plain, *options, quiet=True)
        video = numpy.random.default_rng(51).standard_normal(
            (1, image.shape[1], 5, *image.shape[2:])).astype("f4")
        expected = first_output(plain, video)
        for order in ORDERS:
            i3dconv("inflate", path, "-o", turned, *options, "--layout", order, quiet=True)
            onnx.checker.check_model(str(turned), full_check=True)
            axes = [0, 1, *(2 + "DHW".index(letter) for letter in order[2:])]
            found = first_output(turned, video.transpose(axes))
            wanted = expected.transpose(axes) if expected.ndim == 5 else expected
            transposes = sum(node.op_type == "Transpose" for node in onnx.load(turned).graph.node)
            before = sum(node.op_type == "Transpose" for node in onnx.load(plain).graph.node)
            error = relative_error(found, wanted)
            print(f"# {name} {order}: relative error {error:.1e}, {transposes - before} "
                  "Transpose nodes more")
            require(found.shape == wanted.shape and error < 1e-5, f"{name} {order}: {error:.1e}")
        families.forget(work, name)


def test_kernels(work):
    """O×I×H×W×D, as volumetric code has them."""
    state = torchvision.models.resnet18().state_dict()
    torch.save(state, work / "2d.pth")
    i3dconv("inflate", work / "2d.pth", "-o", work / "3d.pth", "--recipe", "isotropic", "--layout",
            "NCHWD")
    found = torch.load(work / "3d.pth")
    for key, value in state.items():
        if value.ndim == 4:
            kernel = expected_kernels.repeated(value.numpy(), value.shape[2])
            require(numpy.array_equal(found[key].numpy(), numpy.moveaxis(kernel, 2, 4)), key)
    for order in ("NCWHD", "NDCHW", "NCHW", "NCHHD"):
        refusal("inflate", work / "2d.pth", "-o", work / "no.pth", "--recipe", "isotropic",
                "--layout", order, status=2)
    refusal("inflate", work / "2d.pth", "-o", work / "no.h5", "--recipe", "isotropic", "--layout",
            "NCHWD", status=2)


common.main()
