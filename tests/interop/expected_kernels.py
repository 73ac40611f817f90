"""Inflated kernels by numpy's own arithmetic: each of N frames is the 2D kernel divided by
N, or for transposed convolutions by the number of taps that meet in an output frame."""

import numpy
import onnx
from onnx import helper, numpy_helper

from common import require


def divided(kernel, divisor):
    """One division, rounded once to the kernel's type."""
    if kernel.dtype.itemsize < 4:
        return (kernel.astype("f4") / numpy.float32(divisor)).astype(kernel.dtype)
    return kernel / kernel.dtype.type(divisor)


def repeated(kernel, frames):
    return numpy.stack([divided(kernel, frames)] * frames, axis=2)


def transposed(kernel, frames, stride, dilation):
    residues = [t * dilation % stride for t in range(frames)]
    return numpy.stack([divided(kernel, residues.count(residues[t])) for t in range(frames)],
                       axis=2)


def stored(model):
    """All float weights: {name: array}."""
    tensors = {item.name: item for item in model.graph.initializer}
    tensors |= {node.output[0]: node.attribute[0].t for node in model.graph.node
                if node.op_type == "Constant" and node.attribute[0].name == "value"}
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    return {name: numpy_helper.to_array(tensor) for name, tensor in tensors.items()
            if tensor.data_type in floats}


def require_deflated(flat, back, units):
    """Every normal weight is within so many units in the last place of what it was; those
    too small for all their digits, whose N parts lose some, within as many of the
    smallest."""
    expected = stored(flat if isinstance(flat, onnx.ModelProto) else onnx.load(flat))
    found = stored(onnx.load(back))
    require(expected.keys() <= found.keys(), f"{sorted(expected.keys() - found.keys())[:4]}")
    worst = 0.0
    for name, array in expected.items():
        require(array.shape == found[name].shape and array.dtype == found[name].dtype, name)
        kind = numpy.finfo(array.dtype)
        size = numpy.maximum(numpy.abs(array), kind.tiny * 128)
        unit = numpy.spacing(size.astype(array.dtype)).astype("f8")
        away = numpy.abs(array.astype("f8") - found[name].astype("f8")) / unit
        worst = max(worst, float(away.max(initial=0)))
    require(worst <= units, f"{worst:.2f} units in the last place")
    return worst


def require_kernels(flat, inflated):
    """Bit for bit, every convolution of the 3D graph. flat: a file or a model."""
    two = flat if isinstance(flat, onnx.ModelProto) else onnx.load(flat)
    three = onnx.load(inflated)
    weights = [{item.name: item for item in model.graph.initializer} for model in (two, three)]
    kernels = {node.output[0]: node.input[1] for node in two.graph.node
               if node.op_type in ("Conv", "ConvTranspose")}
    constants = {node.output[0]: node.attribute[0].t for node in two.graph.node
                 if node.op_type == "Constant" and node.attribute[0].name == "value"}
    count = 0
    for node in three.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        name = kernels[node.output[0]]
        while name not in weights[0] and name not in constants:
            name = next(other.input[0] for other in two.graph.node if name in other.output)
        kernel = numpy_helper.to_array(weights[0].get(name) or constants[name])
        found = numpy_helper.to_array(weights[1][node.input[1]])
        settings = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        expected = repeated(kernel, found.shape[2])
        if node.op_type == "ConvTranspose":
            expected = transposed(kernel, found.shape[2], settings.get("strides", [1])[0],
                                  settings.get("dilations", [1])[0])
        require(found.dtype == kernel.dtype and found.tobytes() == expected.tobytes(),
                f"the kernel of {node.output[0]} differs")
        count += 1
    require(count == len(kernels), f"{count} of {len(kernels)} kernels")
