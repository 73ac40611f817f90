"""The fixed point in ONNX Runtime: what a 2D network makes of an image, its inflated twin
makes of every frame of a video that repeats that image."""

import math
import os

import numpy
import onnx
import onnxruntime

import clean_frames
from common import TOLERANCE, require

LARGEST_VALUE = 1 << 23  # elements


def run_all(model, value, names):
    """The named values of a run; only what they are made of is handed to the runtime."""
    needed, nodes = set(names), []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            nodes.insert(0, node)
            needed.update(node.input)
    graph = onnx.helper.make_graph(
        nodes, "part", model.graph.input,
        [onnx.helper.make_empty_tensor_value_info(name) for name in names],
        [tensor for tensor in model.graph.initializer if tensor.name in needed])
    part = onnx.helper.make_model(graph, opset_imports=model.opset_import,
                                  ir_version=model.ir_version)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", 0))
    session = onnxruntime.InferenceSession(part.SerializeToString(), options,
                                           providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: value})))


def values_of(model):
    """Names of the float values that nodes compute."""
    kinds = {value.name: value.type.tensor_type.elem_type
             for value in clean_frames.inferred_values(model)}
    return [name for node in model.graph.node for name in node.output
            if kinds.get(name) == onnx.TensorProto.FLOAT]


def error_between(flat, inflated, scale=None):
    """The largest difference at any frame, relative to the largest value; None where the
    two do not have the same axes but for time. Sizes may leave open which axis is time:
    the one that fits best is. scale: what errors are relative to, if not that value."""
    scale = scale or float(numpy.abs(flat).max()) or 1.0
    if inflated.shape == flat.shape:
        shown = [flat]
    elif inflated.ndim == flat.ndim + 1:
        shown = [numpy.expand_dims(flat, axis) for axis in range(inflated.ndim)
                 if inflated.shape[:axis] + inflated.shape[axis + 1:] == flat.shape]
    else:
        shown = []
    return min((largest_difference(inflated, frame) / scale for frame in shown), default=None)


def largest_difference(a, b):
    """NaN if there is one on either side."""
    difference = a - b
    return float(max(difference.max(), -difference.min()))


def boring_video(model, image, frames):
    axis = clean_frames.time_axis(model)
    return numpy.repeat(numpy.expand_dims(image, axis), frames, axis)


class Flat:
    """A 2D network and all float values that it makes of an image."""

    def __init__(self, path, image):
        self.model, self.image = onnx.load(path), image
        self.outputs = [output.name for output in self.model.graph.output]
        names = values_of(self.model)
        names += [name for name in self.outputs if name not in names]
        self.values = run_all(self.model, image, names)
        self.sigmoids = {node.output[0] for node in self.model.graph.node
                         if node.op_type == "Sigmoid"}

    def scale(self, name):
        """ONNX Runtime's sigmoid is exact to 1e-7 of its range, not of values next to zero."""
        return 1.0 if name in self.sigmoids else None


def compare(flat, inflated, frames):
    """Worst error over the values that both compute, and how many those are. The largest
    values, of networks that take large images, are left to what is made of them."""
    three = onnx.load(inflated)
    shapes = clean_frames.shapes_at(three, frames)
    inflated_values = {name for name in values_of(three)
                       if math.prod(shapes[name]) <= LARGEST_VALUE}
    names = [name for name in flat.values if name in inflated_values or name in flat.outputs]
    actual = run_all(three, boring_video(three, flat.image, frames), names)
    worst, count = 0.0, 0
    for name in names:
        error = error_between(flat.values[name], actual[name], flat.scale(name))
        require(error is not None or name not in flat.outputs,
                f"{name}: {flat.values[name].shape} and {actual[name].shape}")
        if error is not None:
            count += 1
            require(error <= TOLERANCE, f"{name}: relative error {error:.1e}")
            worst = max(worst, error)
    return worst, count


class Zero:
    """The fixed point with zero padding in time: at the deepest value that the 2D network
    computes too and that has a clean frame; and whether the result has one at any length."""

    def __init__(self, flat, inflated, frames):
        three = onnx.load(inflated)
        traced = clean_frames.Tracer(three, frames)
        names = [name for name in values_of(three) if name in flat.values
                 and name in traced.clean and traced.clean[name].any()]
        require(names, "no value has a clean frame")
        self.deepest = names[-1]
        self.never = three.graph.output[0].name in traced.never
        self.clean = traced.clean[self.deepest]
        video = boring_video(three, flat.image, frames)
        actual = run_all(three, video, [self.deepest])[self.deepest]
        self.error = self.compare(flat.values[self.deepest], actual, flat.scale(self.deepest))
        require(self.error <= TOLERANCE, f"{self.deepest}: relative error {self.error:.1e}")

    def compare(self, expected, actual, scale):
        if expected.shape == actual.shape:
            return error_between(expected, actual, scale)
        errors = [error_between(expected, numpy.compress(self.clean, actual, axis), scale)
                  for axis in range(actual.ndim) if actual.shape[axis] == len(self.clean)
                  and actual.shape[:axis] + actual.shape[axis + 1:] == expected.shape]
        require(errors, f"{self.deepest}: {expected.shape} and {actual.shape}")
        return min(errors)
