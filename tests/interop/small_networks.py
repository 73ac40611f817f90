"""Small image networks of several families, with seeded weights, as ONNX models."""

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 16  # of the image
CLASSES = 5


class Builder:
    """Gathers nodes and weights; a value's name stands for the value."""

    def __init__(self, seed):
        self.generator = numpy.random.default_rng(seed)
        self.nodes, self.weights = [], []

    def weight(self, *shape, scale=1.0, shift=0.0):
        name = f"w{len(self.weights)}"
        values = (self.generator.standard_normal(shape) * scale + shift).astype("f4")
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def node(self, operator, *inputs, **attributes):
        output = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], output, **attributes))
        return output

    def convolution(self, value, inputs, outputs, kernel, stride=1, group=1):
        fan_in = inputs // group * kernel * kernel
        weight = self.weight(outputs, inputs // group, kernel, kernel, scale=(2 / fan_in) ** 0.5)
        return self.node("Conv", value, weight, self.weight(outputs, scale=0.1), group=group,
                         kernel_shape=[kernel] * 2, strides=[stride] * 2,
                         pads=[kernel // 2] * 4)

    def normalised(self, value, channels):
        vectors = [self.weight(channels, scale=0.1, shift=1.0), self.weight(channels, scale=0.1),
                   self.weight(channels, scale=0.1)]
        variance = numpy.abs(self.generator.standard_normal(channels)).astype("f4") + 0.5
        self.weights.append(numpy_helper.from_array(variance, f"w{len(self.weights)}"))
        value = self.node("BatchNormalization", value, *vectors, self.weights[-1].name)
        return self.node("Relu", value)

    def classifier(self, value, channels):
        value = self.node("Flatten", self.node("GlobalAveragePool", value))
        return self.node("Gemm", value, self.weight(CLASSES, channels, scale=channels ** -0.5),
                         self.weight(CLASSES, scale=0.1), transB=1)

    def model(self, output):
        graph = helper.make_graph(
            self.nodes, "small",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, CLASSES])],
            self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        model.ir_version = 8
        onnx.checker.check_model(model, full_check=True)
        return model


def plain(seed):
    net = Builder(seed)
    value = net.normalised(net.convolution("image", 3, 8, 3), 8)
    value = net.node("MaxPool", value, kernel_shape=[2, 2], strides=[2, 2])
    value = net.normalised(net.convolution(value, 8, 12, 3), 12)
    return net.model(net.classifier(value, 12))


def residual(seed):
    net = Builder(seed)
    value = net.normalised(net.convolution("image", 3, 8, 5, stride=2), 8)
    inner = net.normalised(net.convolution(value, 8, 8, 3), 8)
    value = net.node("Relu", net.node("Add", value, net.convolution(inner, 8, 8, 3)))
    return net.model(net.classifier(value, 8))


def branches(seed):
    net = Builder(seed)
    value = net.normalised(net.convolution("image", 3, 8, 3, stride=2), 8)
    pooled = net.node("MaxPool", value, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    value = net.node("Concat", net.convolution(value, 8, 4, 1), net.convolution(value, 8, 6, 3),
                     net.convolution(pooled, 8, 4, 1), axis=1)
    return net.model(net.classifier(net.node("Relu", value), 14))


def separable(seed):
    net = Builder(seed)
    value = net.normalised(net.convolution("image", 3, 8, 3), 8)
    value = net.normalised(net.convolution(value, 8, 8, 3, stride=2, group=8), 8)
    value = net.normalised(net.convolution(value, 8, 16, 1), 16)
    return net.model(net.classifier(value, 16))


FAMILIES = [plain, residual, branches, separable]
