"""Which frames of each value of a 3D network see no zeros beyond the ends of the clip, told
from the graph alone: where a window reaches beyond the ends, or into a frame that is not
clean, its frame is not; what mixes all frames is clean only if they all are."""

import math

import numpy
import onnx
from onnx import helper, numpy_helper

MIXERS = ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "InstanceNormalization",
          "GroupNormalization"]


def inferred_values(model, frames=None):
    """What shape inference says of every value, for clips of that many frames. The weights
    stay out of it: they would be copied twice."""
    large = [tensor for tensor in model.graph.initializer if math.prod(tensor.dims) > 64]
    inputs = [onnx.ValueInfoProto.FromString(item.SerializeToString())
              for item in model.graph.input]
    if frames:
        inputs[0].type.tensor_type.shape.dim[time_axis(model)].dim_value = frames
    graph = helper.make_graph(
        model.graph.node, "skeleton",
        inputs + [helper.make_tensor_value_info(item.name, item.data_type, item.dims)
                  for item in large],
        [helper.make_empty_tensor_value_info(item.name) for item in model.graph.output],
        [item for item in model.graph.initializer if math.prod(item.dims) <= 64])
    skeleton = helper.make_model(graph, opset_imports=model.opset_import,
                                 ir_version=max(model.ir_version, 4))
    inferred = onnx.shape_inference.infer_shapes(skeleton, data_prop=True)
    return [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]


def shapes_at(model, frames):
    """Shapes by value for a clip of that many frames."""
    return {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            for value in inferred_values(model, frames)}


def time_axis(model):
    return int({item.key: item.value for item in model.metadata_props}["i3dconv.time_axis"])


class Tracer:
    """clean: by value, one truth per frame, or none where it has no time. never: the values
    that have no clean frame at any length of the clip."""

    def __init__(self, model, frames):
        self.weights = {item.name: item for item in model.graph.initializer}
        self.shapes, self.longer = shapes_at(model, frames), shapes_at(model, frames + 64)
        self.clean = {model.graph.input[0].name: numpy.ones(frames, bool)}
        self.never = set()
        for node in model.graph.node:
            self.trace(node)

    def trace(self, node):
        settings = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        inputs = [name for name in node.input if name in self.clean]
        if not inputs or node.op_type == "Shape":
            return
        masks = [self.clean[name] for name in inputs]
        clean = masks[0]
        if node.op_type in ("Conv", "MaxPool", "AveragePool", "LpPool"):
            clean = self.window(node, settings, masks[0])
        elif node.op_type == "ConvTranspose":
            clean = self.transposed(node, settings, masks[0])
        elif node.op_type == "Pad":
            begin, _, end = self.pads(node, settings)
            clean = numpy.pad(masks[0], (begin, end))
        elif node.op_type in ("Resize", "Upsample"):
            clean = self.resampled(settings, masks[0], self.frames(node.output[0], masks[0]))
        elif node.op_type in MIXERS or self.loses_time(node):
            count = len(masks[0]) if self.has_time(node.output[0]) else 1
            clean = numpy.full(count, masks[0].all())
            if not masks[0].all():
                self.never.update(node.output)
        else:
            for mask in masks[1:]:
                clean = clean & mask
        for output in node.output:
            self.clean[output] = clean
        if self.never.intersection(inputs):
            self.never.update(node.output)

    def has_time(self, name):
        return self.shapes.get(name) != self.longer.get(name)

    def loses_time(self, node):
        return node.op_type.startswith("Reduce") and self.has_time(node.input[0]) \
            and not self.has_time(node.output[0])

    def frames(self, name, mask):
        shape, longer = self.shapes[name], self.longer[name]
        return next((size for size, other in zip(shape, longer) if size != other), len(mask))

    def pads(self, node, settings):
        pads = settings.get("pads") or numpy_helper.to_array(self.weights[node.input[1]])
        return int(pads[2]), pads, int(pads[len(pads) // 2 + 2])

    def numbers(self, node, settings):
        """Kernel, stride, dilation and begin pad in time."""
        kernel = self.weights[node.input[1]].dims[2] if node.op_type.startswith("Conv") \
            else settings["kernel_shape"][0]
        return (kernel, settings.get("strides", [1])[0], settings.get("dilations", [1])[0],
                settings.get("pads", [0])[0])

    def window(self, node, settings, mask):
        kernel, stride, dilation, begin = self.numbers(node, settings)
        count, length = self.frames(node.output[0], mask), len(mask)
        auto = settings.get("auto_pad", b"").decode()
        if auto.startswith("SAME"):
            total = max((count - 1) * stride + (kernel - 1) * dilation + 1 - length, 0)
            begin = total // 2 if auto == "SAME_UPPER" else total - total // 2
        spoils = node.op_type in ("Conv", "LpPool") or settings.get("count_include_pad", 0)
        clean = numpy.zeros(count, bool)
        for j in range(count):
            taps = [j * stride - begin + t * dilation for t in range(kernel)]
            inside = [t for t in taps if 0 <= t < length]
            clean[j] = mask[inside].all() and (len(inside) == kernel or not spoils)
        return clean

    def transposed(self, node, settings, mask):
        kernel, stride, dilation, begin = self.numbers(node, settings)
        clean = numpy.zeros(self.frames(node.output[0], mask), bool)
        for j in range(len(clean)):
            reach = [j + begin - t * dilation for t in range(kernel)]
            sources = [place // stride for place in reach if place % stride == 0]
            clean[j] = all(0 <= s < len(mask) and mask[s] for s in sources)
        return clean

    def resampled(self, settings, mask, count):
        """Each output frame is made of one of, or between, two neighbours."""
        at = [(j + 0.5) * len(mask) / count - 0.5 for j in range(count)]
        reach = [range(max(math.floor(x), 0), min(math.ceil(x), len(mask) - 1) + 1) for x in at]
        if settings.get("coordinate_transformation_mode", b"") != b"half_pixel":
            reach = [range(max(r.start - 1, 0), min(r.stop + 1, len(mask))) for r in reach]
        return numpy.array([mask[list(r)].all() for r in reach])
