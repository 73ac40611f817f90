"""Corruptions of a 3D file, each caught at its layer, with the cause named, by the proof that
can see it; and harmless changes, each passed. The table is in the log."""

import common

common.need("onnx")

import json
import os
import subprocess

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

from common import I3DCONV, i3dconv, require

SEED, FRAMES, SIZE = 3, 12, 20


def flat_network(path):
    """Three convolutions with BatchNorm, two pools, a classifier."""
    generator = numpy.random.default_rng(SEED)
    tensors, nodes = {}, []

    def norm(name, value, channels):
        tensors[f"{name}.gamma"] = generator.normal(1, 0.2, channels)
        tensors[f"{name}.beta"] = generator.normal(0, 0.2, channels)
        tensors[f"{name}.mean"] = generator.normal(0, 0.2, channels)
        tensors[f"{name}.variance"] = generator.uniform(0.5, 1.5, channels)
        nodes.append(helper.make_node(
            "BatchNormalization",
            [value] + [f"{name}.{role}" for role in ("gamma", "beta", "mean", "variance")],
            [f"{name}.bn"], name=f"{name}.bn", epsilon=1e-3))
        nodes.append(helper.make_node("Relu", [f"{name}.bn"], [f"{name}.relu"],
                                      name=f"{name}.relu"))
        return f"{name}.relu"

    def conv(name, value, shape, **settings):
        tensors[f"{name}.weight"] = generator.normal(0, (1.5 / numpy.prod(shape[1:])) ** 0.5, shape)
        nodes.append(helper.make_node("Conv", [value, f"{name}.weight"], [name], name=name,
                                      **settings))
        return norm(name, name, shape[0])

    value = conv("stem", "image", (8, 3, 5, 5), pads=[1, 1, 2, 2], strides=[2, 2])
    nodes.append(helper.make_node("MaxPool", [value], ["pool"], name="pool", kernel_shape=[3, 3],
                                  pads=[1, 1, 1, 1]))
    value = conv("middle", "pool", (8, 8, 3, 3), pads=[1, 1, 1, 1])
    value = conv("last", value, (12, 8, 3, 3), pads=[1, 1, 1, 1])
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["mean"], name="mean"))
    nodes.append(helper.make_node("Flatten", ["mean"], ["features"], name="features"))
    tensors["fc.weight"] = generator.normal(0, 0.3, (10, 12))
    tensors["fc.bias"] = generator.normal(0, 0.3, 10)
    nodes.append(helper.make_node("Gemm", ["features", "fc.weight", "fc.bias"], ["logits"],
                                  name="logits", transB=1))
    graph = helper.make_graph(
        nodes, "flat",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(values.astype("f4"), name) for name, values in tensors.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7),
              str(path))


class Model:
    """An ONNX model whose tensors are arrays, by name."""

    def __init__(self, path):
        self.proto = onnx.load(str(path))
        self.dtypes = {item.name: item.data_type for item in self.proto.graph.initializer}
        self.tensors = {item.name: numpy_helper.to_array(item).copy()
                        for item in self.proto.graph.initializer}

    def node(self, output):
        return next(node for node in self.proto.graph.node if output in node.output)

    def setting(self, output, name, value):
        node = self.node(output)
        kept = [item for item in node.attribute if item.name != name]
        del node.attribute[:]
        node.attribute.extend(kept)
        if value is not None:
            node.attribute.append(helper.make_attribute(name, value))

    def integers(self, output, name):
        return list(next(item.ints for item in self.node(output).attribute if item.name == name))

    def weight(self, layer):
        return self.node(layer).input[1]

    def save(self, path):
        del self.proto.graph.initializer[:]
        for name, values in self.tensors.items():
            self.proto.graph.initializer.append(numpy_helper.from_array(values, name))
        onnx.save(self.proto, str(path))


def prove(flat, inflated, *options):
    """Exit code, first bad layer, reason, and the proofs that failed."""
    done = subprocess.run([I3DCONV, "verify", str(flat), str(inflated), "--frames", str(FRAMES),
                           "--json", *options], capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode > 1:
        return done.returncode, "", done.stderr.strip(), []
    report = json.loads(done.stdout)
    found = {"audit": lambda layer: not layer["weights_good"],
             "boring": lambda layer: not all((layer[kind] or {"good": True})["good"]
                                             for kind in ("boring", "alone")),
             "motion": lambda layer: not (layer["motion"] or {"good": True})["good"]}
    failed = [name for name, is_bad in found.items() if any(map(is_bad, report["layers"]))]
    return done.returncode, report["first_bad"] or "", report["reason"], failed


# What scripts get wrong. Each changes the kernel of one layer, (O, I, T, Y, X).

def undivided(kernel):
    return kernel * kernel.shape[2]


def divided_twice(kernel):
    return kernel / kernel.shape[2]


def one_slice(kernel):
    kernel[:, :, -1] *= 1.25
    return kernel


def uneven(kernel):
    kernel[:, :, 0] *= 1.5
    kernel[:, :, -1] *= 0.5
    return kernel


def center(kernel):
    total = kernel.astype("f8").sum(2)
    kernel[:] = 0
    kernel[:, :, kernel.shape[2] // 2] = total
    return kernel


def channels_exchanged(kernel):
    last = 2 if kernel.shape[1] == 3 else 1
    kernel[:, [0, last]] = kernel[:, [last, 0]]
    return kernel


def outputs_exchanged(kernel):
    kernel[[0, 1]] = kernel[[1, 0]]
    return kernel


def space_transposed(kernel):
    return kernel.swapaxes(3, 4)


def wrong_axis(kernel):
    return kernel.swapaxes(2, 3)


def reversed_width(kernel):
    return kernel[..., ::-1]


def one_weight(kernel):
    kernel[1, 1, 1, 1, 1] += 0.25
    return kernel


def no_number(kernel):
    kernel[0, :2, 0] = numpy.nan
    return kernel


# The proofs that see it.
ALL, NOT_BORING, AUDIT = {"audit", "boring", "motion"}, {"audit", "motion"}, {"audit"}
ACTIVATIONS = {"boring", "motion"}

# kind: (function, the reason has to say one of these, who sees it)
KERNELS = {
    "not divided by N": (undivided, ["not divided by"], ALL),
    "divided twice": (divided_twice, ["divided twice by"], ALL),
    "one slice differs": (one_slice, ["slice"], ALL),
    "uneven slices, right sum": (uneven, ["sum to it"], NOT_BORING),
    "center for repeat": (center, ["center", "sum to it"], NOT_BORING),
    "input channels exchanged": (channels_exchanged, ["are exchanged"], ALL),
    "output channels exchanged": (outputs_exchanged, ["are exchanged"], ALL),
    "height and width transposed": (space_transposed, ["height and width are transposed"], ALL),
    "wrong axis inflated": (wrong_axis, ["wrong axis is inflated"], ALL),
    "width reversed": (reversed_width, ["width is reversed"], ALL),
    "one weight differs": (one_weight, ["one weight"], ALL),
    "NaN": (no_number, ["NaN"], ALL),
}
LAYERS = ["stem", "middle", "last"]


def corrupt_epsilon(model):
    model.setting("middle.bn", "epsilon", 1e-5)


def corrupt_gamma(model):
    name = model.node("middle.bn").input[1]
    model.tensors[name] = numpy.ones_like(model.tensors[name])


def corrupt_mean(model):
    model.tensors[model.node("last.bn").input[3]][2] += 0.125


def corrupt_pads(model):
    begin_end = model.integers("stem", "pads")
    model.setting("stem", "pads", [begin_end[0], 2, 2, begin_end[3], 1, 1])


def corrupt_pool(model):
    model.setting("pool", "kernel_shape", [1, 3, 3])
    model.setting("pool", "pads", [0, 1, 1, 0, 1, 1])


def corrupt_stride(model):
    model.setting("stem", "strides", [1, 2, 2])


def corrupt_time_pads(model):
    pads = model.integers("middle", "pads")
    model.setting("middle", "pads", [pads[0] + 1, *pads[1:3], pads[3] - 1, *pads[4:]])


def corrupt_bias(model):
    name = model.node("logits").input[2]
    model.tensors[name] = model.tensors[name][::-1].copy()


def corrupt_classifier(model):
    name = model.weight("logits")
    model.tensors[name] = model.tensors[name] * 2


def corrupt_relu(model):
    model.node("last.relu").op_type = "Identity"


# kind: (function, layer, the reason, who sees it)
OTHERS = {
    "epsilon 1e-5 for 1e-3": (corrupt_epsilon, "middle.bn", "epsilon is 1e-05", ALL),
    "gamma dropped": (corrupt_gamma, "middle.bn", "gamma is dropped", ALL),
    "a mean differs": (corrupt_mean, "last.bn", "mean of channel 2", ALL),
    "pads (2,1) for (1,2)": (corrupt_pads, "stem", "pads (2,1) along height", ACTIVATIONS),
    "pool not inflated": (corrupt_pool, "pool", "pool is not inflated", AUDIT),
    "stride in time": (corrupt_stride, "stem", "stride in time is 1", AUDIT),
    "pads in time": (corrupt_time_pads, "middle", "it pads time with", AUDIT),
    "bias reversed": (corrupt_bias, "logits", "bias of channel", ALL),
    "classifier doubled": (corrupt_classifier, "logits", "2 × the 2D kernel", ALL),
}


def inflate(work):
    flat, inflated = work / "flat.onnx", work / "inflated.onnx"
    if not inflated.exists():
        flat_network(flat)
        i3dconv("inflate", flat, "-o", inflated, "--recipe", "isotropic", "--input-shape",
                f"{SIZE},{SIZE}")
        i3dconv("convert", inflated, "-o", work / "half.onnx", "--dtype", "float16")
    return flat, {"float32": inflated, "float16": work / "half.onnx"}


def check_corruption(flat, path, kind, dtype, layer, reasons, seers):
    code, where, reason, seen = prove(flat, path, "--motion")
    fine = code == 1 and where == layer and any(text in reason for text in reasons) \
        and set(seen) == seers
    print(f"# {'ok  ' if fine else 'FAIL'} {kind:28} {layer:10} {dtype:8} "
          f"{'+'.join(seen) or 'nothing':19} {where}: {reason}", flush=True)
    return fine


def test_corruptions_are_caught(work):
    flat, files = inflate(work)
    count, caught = 0, 0
    for dtype, path in files.items():
        for layer in LAYERS:
            for kind, (change, reasons, seers) in KERNELS.items():
                model = Model(path)
                name = model.weight(layer)
                kernel = model.tensors[name]
                changed = change(kernel.astype("f4").copy())
                model.tensors[name] = numpy.ascontiguousarray(changed).astype(kernel.dtype)
                model.save(work / "corrupt.onnx")
                count += 1
                caught += check_corruption(flat, work / "corrupt.onnx", kind, dtype, layer,
                                           reasons, seers)
        for kind, (change, layer, reason, seers) in OTHERS.items():
            model = Model(path)
            change(model)
            model.save(work / "corrupt.onnx")
            count += 1
            if kind.startswith("epsilon") and dtype == "float16":
                seers = AUDIT  # what it changes is less than float16 rounds away
            caught += check_corruption(flat, work / "corrupt.onnx", kind, dtype, layer, [reason],
                                       seers)
    print(f"# {caught} of {count} corruptions caught, located and named")
    require(count >= 40 and caught == count, f"{count - caught} of {count} were not")


# Changes that leave what the network computes as it is.


def renamed(model):
    names = {output: f"net/{k}" for k, node in enumerate(model.proto.graph.node)
             for output in node.output if output != "logits"}
    for node in model.proto.graph.node:
        node.name = f"x{node.name}"
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def weights_renamed(model):
    names = {name: f"w{k}" for k, name in enumerate(model.tensors)}
    model.tensors = {names[name]: values for name, values in model.tensors.items()}
    for node in model.proto.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]


def reordered(model):
    model.tensors = dict(reversed(model.tensors.items()))


def folded(layer):
    def fold(model):
        norm, conv = model.node(f"{layer}.bn"), model.node(layer)
        epsilon = next(item.f for item in norm.attribute if item.name == "epsilon")
        gamma, beta, mean, variance = (model.tensors[name].astype("f8") for name in norm.input[1:])
        scale = gamma / numpy.sqrt(variance + epsilon)
        kernel = model.tensors[conv.input[1]]
        model.tensors[conv.input[1]] = (kernel * scale[:, None, None, None, None]).astype(
            kernel.dtype)
        model.tensors[f"{layer}.folded"] = (beta - mean * scale).astype(kernel.dtype)
        conv.input.append(f"{layer}.folded")
        conv.output[0] = norm.output[0]
        model.proto.graph.node.remove(norm)
    return fold


def all_folded(model):
    for layer in LAYERS:
        folded(layer)(model)


def put_behind(model, output, op_type, **settings):
    """A node behind a value, under the name that the value had."""
    node = model.node(output)
    node.output[0] = f"{output}.ahead"
    place = list(model.proto.graph.node).index(node)
    model.proto.graph.node.insert(place + 1, helper.make_node(
        op_type, [f"{output}.ahead"], [output], name=f"{output}.{op_type}", **settings))


def identity(output):
    return lambda model: put_behind(model, output, "Identity")


def dropout(output):
    return lambda model: put_behind(model, output, "Dropout")


def padded_ahead(layer):
    """The pads of a convolution in a Pad node of their own."""
    def pad(model):
        pads = model.integers(layer, "pads")
        node = model.node(layer)
        name = f"{layer}.pads"
        model.tensors[name] = numpy.array([0, 0, *pads[:3], 0, 0, *pads[3:]], "i8")
        place = list(model.proto.graph.node).index(node)
        model.proto.graph.node.insert(place, helper.make_node(
            "Pad", [node.input[0], name], [f"{layer}.padded"], name=f"{layer}.pad"))
        node.input[0] = f"{layer}.padded"
        model.setting(layer, "pads", None)
    return pad


def same_padding(layer):
    def same(model):
        model.setting(layer, "pads", None)
        model.setting(layer, "auto_pad", "SAME_UPPER")
    return same


def explicit(layer, name, value):
    return lambda model: model.setting(layer, name, value)


def constants(model):
    """Weights from Constant nodes."""
    for name in list(model.tensors)[::2]:
        values = numpy_helper.from_array(model.tensors.pop(name), name)
        model.proto.graph.node.insert(0, helper.make_node("Constant", [], [name], value=values,
                                                          name=f"c.{name}"))


def softmax_behind(model):
    model.node("logits").output[0] = "scores"
    model.proto.graph.node.append(helper.make_node("Softmax", ["scores"], ["logits"], axis=1,
                                                   name="softmax"))


def zero_bias(model):
    """A bias of zeros where there was none."""
    conv = model.node("middle")
    model.tensors["zeros"] = numpy.zeros(model.tensors[conv.input[1]].shape[0],
                                         model.tensors[conv.input[1]].dtype)
    conv.input.append("zeros")


def no_metadata(model):
    del model.proto.metadata_props[:]
    model.proto.metadata_props.append(onnx.StringStringEntryProto(key="i3dconv.time_axis",
                                                                  value="2"))


def documented(model):
    model.proto.graph.doc_string = "nothing that counts"
    for node in model.proto.graph.node:
        node.doc_string = node.op_type


def shapes_dropped(model):
    del model.proto.graph.value_info[:]


def reshape_to(shape):
    """A Reshape in the place of Flatten."""
    def reshape(model):
        node = model.node("features")
        node.op_type = "Reshape"
        del node.attribute[:]
        node.input.append("features.shape")
        if shape:
            model.tensors["features.shape"] = numpy.array(shape, "i8")
            return
        # As exporters write x.view(x.size(0), -1)
        model.tensors["zero"] = numpy.array([0], "i8")
        model.tensors["rest"] = numpy.array([-1], "i8")
        position = list(model.proto.graph.node).index(node)
        for made in (helper.make_node("Shape", [node.input[0]], ["size"], name="size"),
                     helper.make_node("Gather", ["size", "zero"], ["batch"], name="batch"),
                     helper.make_node("Concat", ["batch", "rest"], ["features.shape"], axis=0,
                                      name="features.shape")):
            model.proto.graph.node.insert(position, made)
            position += 1
    return reshape


HARMLESS = {
    "nodes and values renamed": renamed, "weights renamed": weights_renamed,
    "initializers reordered": reordered, "BatchNorm folded everywhere": all_folded,
    **{f"BatchNorm folded: {layer}": folded(layer) for layer in LAYERS},
    **{f"Identity behind {value}": identity(value)
       for value in ("stem", "stem.bn", "pool", "middle.relu", "last.bn")},
    **{f"Dropout behind {value}": dropout(value) for value in ("stem.relu", "last.relu", "pool")},
    **{f"Pad node ahead of {layer}": padded_ahead(layer) for layer in LAYERS},
    **{f"SAME padding: {layer}": same_padding(layer) for layer in ("middle", "last", "pool")},
    "dilations written out": explicit("middle", "dilations", [1, 1, 1]),
    "group written out": explicit("last", "group", 1),
    "strides written out": explicit("last", "strides", [1, 1, 1]),
    "kernel shape written out": explicit("middle", "kernel_shape", [3, 3, 3]),
    "weights from Constant nodes": constants, "Softmax behind the logits": softmax_behind,
    "a bias of zeros": zero_bias, "no metadata": no_metadata, "doc strings": documented,
    "no declared shapes": shapes_dropped,
    "a shape that is computed": reshape_to(None), "the shape as a constant": reshape_to([1, 12]),
    "the shape with a -1": reshape_to([-1, 12]),
}


def inception(work):
    """A network that the codebases have names for."""
    if not (work / "i3d.onnx").exists():
        i3dconv("zoo", "synth", "inception_v1", "--seed", SEED, "-o", work / "inception.onnx")
        i3dconv("inflate", work / "inception.onnx", "-o", work / "i3d.onnx")
    return work / "i3d.onnx"


def test_harmless_changes_pass(work):
    flat, files = inflate(work)
    count, passed = 0, 0

    def check(kind, dtype, path, flat=flat):
        nonlocal count, passed
        code, where, reason, _ = prove(flat, path, "--motion", "--as-deployed")
        count += 1
        passed += code == 0
        print(f"# {'ok  ' if not code else 'FAIL'} {kind:32} {dtype:8} {where} {reason}", flush=True)

    for dtype, path in files.items():
        for kind, change in HARMLESS.items():
            model = Model(path)
            change(model)
            model.save(work / "harmless.onnx")
            check(kind, dtype, work / "harmless.onnx")
    for dtype in ("float16", "bfloat16", "float64"):
        i3dconv("convert", files["float32"], "-o", work / "other.onnx", "--dtype", dtype, quiet=True)
        check(f"converted to {dtype}", dtype, work / "other.onnx")
    i3dconv("convert", files["float32"], "-o", work / "other.safetensors", quiet=True)
    check("container: safetensors", "float32", work / "other.safetensors")
    for dialect, container in (("pytorch-i3d", "pt"), ("keras-i3d", "h5"), ("sonnet", "npz"),
                               ("hassony2-i3d", "safetensors")):
        network = inception(work)
        i3dconv("convert", network, "-o", work / f"named.{container}", "--dialect", dialect,
                quiet=True)
        check(f"dialect: {dialect} in {container}", "float32", work / f"named.{container}",
              work / "inception.onnx")
    for options in (["--init", "center"], ["--temporal-padding", "edge", "--frames", FRAMES],
                    ["--stream", "flow"], ["--in-channels", 1], ["--recipe", "keep-frames"],
                    ["--recipe", "framewise"], ["--set", "middle=5"]):
        recipe = [] if "--recipe" in options else ["--recipe", "isotropic"]
        i3dconv("inflate", flat, "-o", work / "other.onnx", *recipe, *options, "--input-shape",
                f"{SIZE},{SIZE}", quiet=True)
        check("inflated with " + " ".join(map(str, options)), "float32", work / "other.onnx")
    print(f"# {passed} of {count} harmless changes passed")
    require(count >= 40 and passed == count, f"{count - passed} of {count} did not")


def test_a_layer_left_out_is_an_obstacle(work):
    flat, files = inflate(work)
    model = Model(files["float32"])
    corrupt_relu(model)
    model.save(work / "corrupt.onnx")
    code, where, reason, _ = prove(flat, work / "corrupt.onnx")
    print("#", where, reason)
    require(code == 1, "a Relu that is missing passes")


common.main()
