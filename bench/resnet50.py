"""Writes ResNet-50 (arXiv 1512.03385, the stride in the 3×3 convolutions) with random weights
as ONNX.

    resnet50.py OUT.onnx
"""

import sys

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

BLOCKS = (3, 4, 6, 3)


class Builder:
    def __init__(self, seed):
        self.generator = numpy.random.default_rng(seed)
        self.nodes, self.tensors = [], []

    def tensor(self, name, values):
        self.tensors.append(numpy_helper.from_array(values.astype("f4"), name))
        return name

    def node(self, op_type, name, *reads, **attributes):
        self.nodes.append(helper.make_node(op_type, list(reads), [name], name=name, **attributes))
        return name

    def convolution(self, name, read, channels, filters, size, stride=1, relu=True):
        """With BatchNormalization behind it."""
        kernel = self.generator.standard_normal((filters, channels, size, size))
        kernel *= numpy.sqrt(2 / (channels * size * size))
        value = self.node("Conv", name, read, self.tensor(f"{name}.weight", kernel),
                          kernel_shape=[size] * 2, strides=[stride] * 2, pads=[size // 2] * 4)
        ones = numpy.ones(filters)
        parts = {"gamma": ones, "beta": 0 * ones, "mean": 0.1 * ones, "variance": ones}
        value = self.node("BatchNormalization", f"{name}.bn", value,
                          *(self.tensor(f"{name}.{part}", values)
                            for part, values in parts.items()))
        return self.node("Relu", f"{name}.relu", value) if relu else value

    def bottleneck(self, name, read, channels, width, stride):
        value = self.convolution(f"{name}.conv1", read, channels, width, 1)
        value = self.convolution(f"{name}.conv2", value, width, width, 3, stride)
        value = self.convolution(f"{name}.conv3", value, width, 4 * width, 1, relu=False)
        if channels != 4 * width:
            read = self.convolution(f"{name}.downsample", read, channels, 4 * width, 1, stride,
                                    relu=False)
        return self.node("Relu", f"{name}.out", self.node("Add", f"{name}.add", value, read))


def main(path):
    builder = Builder(1)
    value = builder.convolution("conv1", "image", 3, 64, 7, 2)
    value = builder.node("MaxPool", "maxpool", value, kernel_shape=[3, 3], strides=[2, 2],
                         pads=[1] * 4)
    channels = 64
    for stage, blocks in enumerate(BLOCKS):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            value = builder.bottleneck(f"layer{stage + 1}.{block}", value, channels, 64 << stage,
                                       stride)
            channels = 256 << stage
    value = builder.node("GlobalAveragePool", "avgpool", value)
    value = builder.node("Flatten", "flatten", value)
    weight = builder.generator.standard_normal((1000, channels)) * 0.01
    builder.node("Gemm", "logits", value, builder.tensor("fc.weight", weight),
                 builder.tensor("fc.bias", numpy.zeros(1000)), transB=1)
    graph = helper.make_graph(
        builder.nodes, "resnet50",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 224, 224])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 1000])],
        builder.tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, path)


main(*sys.argv[1:])
