"""The work of `i3dconv inflate 2d.onnx -o 3d.onnx` as a short onnx script does it: kernels,
windows and the input's shape. (The head is left as it is: it weighs nothing.)"""

import sys

import numpy
import onnx
from onnx import numpy_helper

WINDOWS = ("kernel_shape", "strides", "dilations")


def inflate_kernel(tensor):
    values = numpy_helper.to_array(tensor)
    if values.ndim != 4:
        return
    size = values.shape[2]
    values = numpy.repeat((values / numpy.float32(size))[:, :, None], size, axis=2)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def inflate_node(node):
    for attribute in node.attribute:
        sizes = list(attribute.ints)
        if attribute.name in WINDOWS:
            attribute.ints[:] = sizes[:1] + sizes
        elif attribute.name == "pads":
            attribute.ints[:] = [sizes[0], *sizes[:2], sizes[2], *sizes[2:]]


def main(source_path, target_path):
    model = onnx.load(source_path)
    for tensor in model.graph.initializer:
        inflate_kernel(tensor)
    for node in model.graph.node:
        inflate_node(node)
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if len(dims) == 4:
            last = dims.add()
            last.CopyFrom(dims[3])
            dims[3].CopyFrom(dims[2])
            dims[2].dim_param = "frames"
    onnx.save(model, target_path)


main(*sys.argv[1:])
