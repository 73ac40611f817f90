"""Inception-V1 from makers other than i3dconv: torchvision, Keras, the ONNX project."""

import math
import os
import pathlib

import numpy

from common import lacking

# Output channels of a Mixed block's convolutions: branch 0; 1a, 1b; 2a, 2b; 3b
# (arXiv 1409.4842, table 1).
MIXED = {
    "3b": (64, 96, 128, 16, 32, 32), "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64), "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64), "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128), "5c": (384, 192, 384, 48, 128, 128),
}


def he_normal(generator, shape, fan_in):
    return (generator.standard_normal(shape) * math.sqrt(2 / fan_in)).astype("f4")


def torchvision_googlenet(path, seed, random_statistics=True, fold=True, transform_input=False,
                          dynamic_batch=False, opset=13):
    """torchvision's googlenet, seeded, exported by PyTorch.

    With fold the exporter folds BatchNorm into the convolutions, as it does by
    default. Without random statistics many folded biases are equal, and it
    writes Identity aliases of one initializer.
    """
    import torch
    from torchvision.models import googlenet

    network = googlenet(weights=None, aux_logits=False, init_weights=False,
                        transform_input=transform_input).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            randomise(module, generator, random_statistics)
    torch.onnx.export(
        network, torch.zeros(1, 3, 224, 224), str(path), input_names=["image"],
        output_names=["logits"], opset_version=opset,
        training=torch.onnx.TrainingMode.EVAL if fold else torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=fold,
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}} if dynamic_batch else None)
    return path


def randomise(module, generator, random_statistics):
    import torch

    if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
        fan_in = module.weight[0].numel()
        module.weight.normal_(0, math.sqrt(2 / fan_in), generator=generator)
    if isinstance(module, torch.nn.Linear):
        module.bias.normal_(0, 0.1, generator=generator)
    if isinstance(module, torch.nn.BatchNorm2d) and random_statistics:
        module.weight.uniform_(0.5, 1.5, generator=generator)
        module.bias.normal_(0, 0.1, generator=generator)
        module.running_mean.normal_(0, 0.1, generator=generator)
        module.running_var.uniform_(0.5, 1.5, generator=generator)


def keras_units():
    """(name, kernel size, input channels, output channels) of each convolution but the
    classifier, as the Keras I3D code names them behind Conv2d_ or Conv3d_."""
    yield "1a_7x7", 7, 3, 64
    yield "2b_1x1", 1, 64, 64
    yield "2c_3x3", 3, 64, 192
    channels = 192
    for block, (b0, b1a, b1b, b2a, b2b, b3) in MIXED.items():
        yield f"{block}_0a_1x1", 1, channels, b0
        yield f"{block}_1a_1x1", 1, channels, b1a
        yield f"{block}_1b_3x3", 3, b1a, b1b
        yield f"{block}_2a_1x1", 1, channels, b2a
        yield f"{block}_2b_3x3", 3, b2a, b2b
        yield f"{block}_3b_1x1", 1, channels, b3
        channels = b0 + b1b + b2b + b3


def keras_parameters(axes, channels, classes):
    """Name and shape of every parameter in a Keras file of the 2D or 3D network."""
    shapes = {}
    for name, size, inputs, outputs in keras_units():
        convolution, norm = (f"Conv{axes}d_{name}_{part}" for part in ("conv", "bn"))
        inputs = channels if name == "1a_7x7" else inputs
        shapes[f"{convolution}/{convolution}/kernel:0"] = (size,) * axes + (inputs, outputs)
        for statistic in ("beta", "moving_mean", "moving_variance"):
            shapes[f"{norm}/{norm}/{statistic}:0"] = (outputs,)
    classifier = f"Conv{axes}d_6a_1x1_conv"
    shapes[f"{classifier}/{classifier}/kernel:0"] = (1,) * axes + (1024, classes)
    shapes[f"{classifier}/{classifier}/bias:0"] = (classes,)
    return shapes


class KerasInception:
    """Builds Inception-V1 (axes = 2) or I3D (axes = 3) from Keras layers.

    Window sizes are (time, space); the 2D network takes the second alone.
    """

    def __init__(self, axes, channels, classes, frames=None):
        import keras

        self.layers = keras.layers
        self.axes = axes
        clip = (frames, 224, 224, channels)
        image = keras.Input(clip[3 - axes:])
        logits = self.head(self.body(image), classes)
        self.model = keras.Model(image, logits)

    def window(self, time, space):
        return (time, space, space)[3 - self.axes:]

    def layer(self, name):
        return getattr(self.layers, name.format(self.axes))

    def convolution(self, x, name, size, filters, stride=1):
        x = self.layer("Conv{}D")(
            filters, self.window(size, size), self.window(stride, stride), padding="same",
            use_bias=False, name=f"Conv{self.axes}d_{name}_conv")(x)
        x = self.layers.BatchNormalization(
            scale=False, epsilon=1e-3, name=f"Conv{self.axes}d_{name}_bn")(x)
        return self.layers.Activation("relu", name=f"Conv{self.axes}d_{name}")(x)

    def max_pool(self, x, name, size, stride):
        return self.layer("MaxPooling{}D")(
            self.window(*size), self.window(*stride), padding="same",
            name=f"MaxPool{self.axes}d_{name}")(x)

    def mixed(self, x, block):
        b0, b1a, b1b, b2a, b2b, b3 = MIXED[block]
        one = self.convolution(x, f"{block}_1a_1x1", 1, b1a)
        two = self.convolution(x, f"{block}_2a_1x1", 1, b2a)
        pool = self.max_pool(x, f"{block}_3a_3x3", (3, 3), (1, 1))
        return self.layers.Concatenate(name=f"Mixed_{block}")([
            self.convolution(x, f"{block}_0a_1x1", 1, b0),
            self.convolution(one, f"{block}_1b_3x3", 3, b1b),
            self.convolution(two, f"{block}_2b_3x3", 3, b2b),
            self.convolution(pool, f"{block}_3b_1x1", 1, b3)])

    def body(self, x):
        x = self.convolution(x, "1a_7x7", 7, 64, stride=2)
        x = self.max_pool(x, "2a_3x3", (1, 3), (1, 2))
        x = self.convolution(x, "2b_1x1", 1, 64)
        x = self.convolution(x, "2c_3x3", 3, 192)
        x = self.max_pool(x, "3a_3x3", (1, 3), (1, 2))
        for block in ("3b", "3c"):
            x = self.mixed(x, block)
        x = self.max_pool(x, "4a_3x3", (3, 3), (2, 2))
        for block in ("4b", "4c", "4d", "4e", "4f"):
            x = self.mixed(x, block)
        x = self.max_pool(x, "5a_2x2", (2, 2), (2, 2))
        for block in ("5b", "5c"):
            x = self.mixed(x, block)
        return x

    def head(self, x, classes):
        x = self.layer("AveragePooling{}D")(self.window(2, 7), self.window(1, 1),
                                            padding="valid", name="global_avg_pool")(x)
        x = self.layers.Dropout(0.2)(x)
        x = self.layer("Conv{}D")(classes, self.window(1, 1), padding="same",
                                  name=f"Conv{self.axes}d_6a_1x1_conv")(x)
        return self.layer("GlobalAveragePooling{}D")(name="logits")(x)


def fill_keras(model, seed):
    """Gives a Keras model seeded weights and BatchNorm statistics."""
    generator = numpy.random.default_rng(seed)
    for weight in model.weights:
        shape = tuple(weight.shape)
        if weight.name == "kernel":
            value = he_normal(generator, shape, math.prod(shape[:-1]))
        elif weight.name == "moving_variance":
            value = generator.uniform(0.5, 1.5, shape)
        else:
            value = generator.standard_normal(shape) * 0.1
        weight.assign(value.astype("f4"))


def find_light_model(name):
    """A graph of the ONNX project's light collection: in the onnx package, or in the folder
    that LIGHT_MODELS names."""
    import onnx.backend.test

    folders = [pathlib.Path(onnx.backend.test.__file__).parent / "data" / "light"]
    if os.environ.get("LIGHT_MODELS"):
        folders.insert(0, pathlib.Path(os.environ["LIGHT_MODELS"]))
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    return lacking(name)


def refill_light_model(name, seed, as_constants=False):
    """The light graph, whose weights all are 0.02, with seeded ones: as initializers that
    are graph inputs too (its IR version asks for that), or made by Constant nodes. Returns
    a ModelProto."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(find_light_model(name))
    graph = model.graph
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer
              if tensor.data_type == onnx.TensorProto.FLOAT}
    obsolete = set(shapes)
    for node in [node for node in graph.node if node.op_type == "ConstantOfShape"]:
        shapes[node.output[0]] = numpy_helper.to_array(initializers[node.input[0]]).tolist()
        obsolete.add(node.input[0])
        graph.node.remove(node)
    drop_weights(graph, obsolete)

    generator = numpy.random.default_rng(seed)
    for weight, shape in shapes.items():
        values = seeded_weight(generator, shape)
        tensor = numpy_helper.from_array(values, weight)
        if as_constants:
            graph.node.insert(0, helper.make_node("Constant", [], [weight], value=tensor))
        else:
            graph.initializer.append(tensor)
            graph.input.append(helper.make_tensor_value_info(weight, tensor.data_type, shape))
    return model


def seeded_weight(generator, shape):
    """A kernel of He's variance, or a small bias."""
    if len(shape) > 1:
        return he_normal(generator, shape, math.prod(shape[1:]))
    return (generator.standard_normal(shape) * 0.1).astype("f4")


def drop_weights(graph, names):
    """Removes initializers, and the graph inputs of the same names."""
    for members in (graph.initializer, graph.input):
        for member in [member for member in members if member.name in names]:
            members.remove(member)
