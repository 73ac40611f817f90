"""ONNX files as the onnx package and ONNX Runtime see them."""

import numpy
import onnx
import onnxruntime
from onnx import numpy_helper

from common import require


def seeded_image(size=224, channels=3, seed=1):
    """A 1×C×H×W image of standard normal values."""
    generator = numpy.random.default_rng(seed)
    return generator.standard_normal((1, channels, size, size)).astype("f4")


def boring_video(image, frames):
    """The 1×C×T×H×W video that repeats the image."""
    return numpy.repeat(image[:, :, None], frames, axis=2)


def run(model, value):
    """Feeds a model (a path or a ModelProto) its only input; returns its outputs."""
    model = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    inputs = session.get_inputs()
    require(len(inputs) == 1, f"the model has {len(inputs)} inputs")
    return session.run(None, {inputs[0].name: value})


def require_valid(path):
    """The checker with full shape inference, then shape inference in strict mode."""
    onnx.checker.check_model(str(path), full_check=True)
    inferred = onnx.shape_inference.infer_shapes(onnx.load(path), check_type=True,
                                                 strict_mode=True, data_prop=True)
    known = {value.name for value in inferred.graph.value_info if
             value.type.tensor_type.HasField("shape")}
    known |= {value.name for value in inferred.graph.output}
    for node in inferred.graph.node:
        require(node.output[0] in known, f"no shape can be inferred for {node.output[0]}")


def node_making(model, value):
    return next(node for node in model.graph.node if value in node.output)


def expose_frame_logits(model):
    """Adds the tensor before the mean over frames to the outputs."""
    means = [node for node in model.graph.node if node.op_type == "ReduceMean"]
    require(means, "there is no mean over frames")
    model.graph.output.append(onnx.helper.make_tensor_value_info(
        means[-1].input[0], onnx.TensorProto.FLOAT, None))


def weights(model):
    """All initializers by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def convolutions(model):
    """(node, kernel) of every convolution, in the graph's order."""
    kernels = weights(model)
    return [(node, kernels[node.input[1]]) for node in model.graph.node
            if node.op_type == "Conv"]


def replace_weight(model, name, values):
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(numpy.ascontiguousarray(values), name))
            return
    raise KeyError(name)
