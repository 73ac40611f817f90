"""The fixed point in ONNX Runtime: what a 2D network makes of an image, its inflated twin
makes of every frame of a video that repeats that image."""

import numpy
import onnx
import onnxruntime

from common import TOLERANCE, require


def values_of(model):
    """Names of the float values that nodes compute."""
    inferred = onnx.shape_inference.infer_shapes(model)
    kinds = {value.name: value.type.tensor_type.elem_type for value in
             [*inferred.graph.value_info, *inferred.graph.output]}
    return [name for node in model.graph.node for name in node.output
            if kinds.get(name) == onnx.TensorProto.FLOAT]


def run_all(model, value, names):
    """The named values of a run."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    there = {output.name for output in shown.graph.output}
    shown.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name)
                              for name in names if name not in there)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(shown.SerializeToString(), options,
                                           providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: value})))


def error_between(flat, inflated, scale=None):
    """The largest difference at any frame, relative to the largest value; None where the
    two do not have the same axes but for time. Sizes may leave open which axis is time:
    the one that fits best is. scale: what errors are relative to, if not that value."""
    scale = scale or numpy.abs(flat).max() or 1.0
    if inflated.shape == flat.shape:
        shown = [flat]
    elif inflated.ndim == flat.ndim + 1:
        shown = [numpy.expand_dims(flat, axis) for axis in range(inflated.ndim)
                 if inflated.shape[:axis] + inflated.shape[axis + 1:] == flat.shape]
    else:
        shown = []
    errors = [float(numpy.abs(inflated.astype("f8") - frame).max() / scale) for frame in shown]
    return min(errors, default=None)


def time_axis(model):
    return int({item.key: item.value for item in model.metadata_props}["i3dconv.time_axis"])


def compare(flat, inflated, image, frames):
    """Worst error over all values that both compute, and how many those are."""
    two, three = onnx.load(flat), onnx.load(inflated)
    inflated_values = set(values_of(three))
    names = [name for name in values_of(two) if name in inflated_values]
    outputs = [output.name for output in two.graph.output]
    names += [name for name in outputs if name not in names]
    expected = run_all(two, image, names)
    video = numpy.repeat(numpy.expand_dims(image, time_axis(three)), frames, time_axis(three))
    actual = run_all(three, video, names)
    # ONNX Runtime's sigmoid is exact to 1e-7 of its range, not of values next to zero.
    sigmoids = {node.output[0] for node in two.graph.node if node.op_type == "Sigmoid"}
    worst, count = 0.0, 0
    for name in names:
        error = error_between(expected[name], actual[name], 1.0 if name in sigmoids else None)
        require(error is not None or name not in outputs,
                f"{name}: {expected[name].shape} and {actual[name].shape}")
        if error is not None:
            count += 1
            require(error <= TOLERANCE, f"{name}: relative error {error:.1e}")
            worst = max(worst, error)
    return worst, count
