"""An ONNX graph run by PyTorch, operator by operator, as its own modules do."""

import numpy
import onnx
import torch
from onnx import numpy_helper
from torch.nn import functional

CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
MAX_POOLS = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
AVERAGE_POOLS = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}


def pads_of(attributes, sizes, kernel, strides):
    """Pads at the beginning and the end of each axis."""
    kind = attributes.get("auto_pad", b"NOTSET")
    if kind == b"VALID":
        return [(0, 0)] * len(kernel)
    if kind == b"SAME_UPPER":
        totals = [max((-(-size // stride) - 1) * stride + taps - size, 0)
                  for size, taps, stride in zip(sizes, kernel, strides)]
        return [(total // 2, total - total // 2) for total in totals]
    pads = attributes.get("pads", [0] * 2 * len(kernel))
    return list(zip(pads[:len(kernel)], pads[len(kernel):]))


def windowed(value, attributes, kernel, fill):
    """The value with what pads PyTorch's windows do not have, its pads and strides."""
    strides = attributes.get("strides", [1] * len(kernel))
    pads = pads_of(attributes, value.shape[2:], kernel, strides)
    if all(begin == end and begin <= taps // 2 for (begin, end), taps in zip(pads, kernel)):
        return value, [begin for begin, _ in pads], strides
    flat = [amount for pair in reversed(pads) for amount in pair]
    return functional.pad(value, flat, value=fill), [0] * len(kernel), strides


def convolve(attributes, value, weight, bias=None):
    kernel = list(weight.shape[2:])
    value, pads, strides = windowed(value, attributes, kernel, 0)
    return CONVOLUTIONS[len(kernel)](value, weight, bias, strides, pads,
                                     groups=attributes.get("group", 1))


def max_pool(attributes, value):
    kernel = attributes["kernel_shape"]
    value, pads, strides = windowed(value, attributes, kernel, float("-inf"))
    return MAX_POOLS[len(kernel)](value, kernel, strides, pads,
                                  ceil_mode=bool(attributes.get("ceil_mode")))


def average_pool(attributes, value):
    kernel = attributes["kernel_shape"]
    value, pads, strides = windowed(value, attributes, kernel, 0)
    return AVERAGE_POOLS[len(kernel)](value, kernel, strides, pads)


def normalise(attributes, value, gamma, beta, mean, variance):
    return functional.batch_norm(value, mean, variance, gamma, beta,
                                 eps=attributes.get("epsilon", 1e-5))


OPERATORS = {
    "Add": lambda attributes, a, b: a + b,
    "AveragePool": average_pool,
    "BatchNormalization": normalise,
    "Concat": lambda attributes, *values: torch.cat(values, attributes["axis"]),
    "Conv": convolve,
    "Flatten": lambda attributes, value: value.flatten(1),
    "Gemm": lambda attributes, a, b, c: functional.linear(a, b, c),
    "GlobalAveragePool": lambda attributes, value: value.mean(tuple(range(2, value.ndim)), True),
    "MaxPool": max_pool,
    "ReduceMean": lambda attributes, value: value.mean(attributes["axes"],
                                                       bool(attributes.get("keepdims", 1))),
    "Relu": lambda attributes, value: value.relu_(),
    "Squeeze": lambda attributes, value, axes: value.squeeze().reshape(
        [size for axis, size in enumerate(value.shape)
         if axis not in [k % value.ndim for k in axes.tolist()]]),
}


def load(path):
    """A function from the graph's input to its first output."""
    graph = onnx.load(path).graph
    tensors = {tensor.name: torch.from_numpy(numpy.array(numpy_helper.to_array(tensor)))
               for tensor in graph.initializer}
    steps, last_readers = [], {}
    for number, node in enumerate(graph.node):
        attributes = {attribute.name: onnx.helper.get_attribute_value(attribute)
                      for attribute in node.attribute}
        steps.append((OPERATORS[node.op_type], attributes, list(node.input), node.output[0]))
        for name in node.input:
            last_readers[name] = number

    def run(value):
        values = {graph.input[0].name: value}
        for number, (operator, attributes, reads, output) in enumerate(steps):
            operands = [values[name] if name in values else tensors[name] for name in reads]
            values[output] = operator(attributes, *operands)
            for name in set(reads):
                if last_readers[name] == number:
                    values.pop(name, None)
        return values[graph.output[0].name]

    return run
