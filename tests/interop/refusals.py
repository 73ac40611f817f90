"""What cannot be inflated is refused by node and reason, and nothing is written."""

import common

common.need("onnx")

import subprocess

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

from common import I3DCONV, require


def refuse(work, nodes, weights, output_shape, *words, image=(1, 4, 8, 8)):
    """Inflates the graph; the one line on standard error has to hold the words."""
    graph = helper.make_graph(
        nodes, "refused", [helper.make_tensor_value_info("x", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output_shape)],
        [numpy_helper.from_array(numpy.asarray(value), name) for name, value in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    flat, inflated = work / "flat.onnx", work / "inflated.onnx"
    onnx.save(model, flat)
    done = subprocess.run([I3DCONV, "inflate", flat, "-o", inflated, "--recipe", "isotropic"],
                          capture_output=True, text=True)
    print("#", done.stderr.strip())
    require(done.returncode == 4, f"exit {done.returncode}")
    require(done.stderr.count("\n") == 1, "more than one line")
    for word in words:
        require(word in done.stderr, f"{word!r} is not said")
    require(not inflated.exists(), "something was written")


def test_attention(work):
    """Positions of a frame attend to each other: softmax(Q Kᵀ) V."""
    shape = numpy.array([1, 4, 64], "i8")
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["v"]),
             helper.make_node("Transpose", ["v"], ["k"], perm=[0, 2, 1]),
             helper.make_node("MatMul", ["k", "v"], ["scores"], name="attend"),
             helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
             helper.make_node("MatMul", ["v", "weights"], ["y"])]
    refuse(work, nodes, {"shape": shape}, [1, 4, 64], "attend", "attention")


def test_recurrent(work):
    generator = numpy.random.default_rng(0)
    weights = {"shape": numpy.array([8, 1, 32], "i8"),
               "w": generator.standard_normal((1, 16, 32)).astype("f4"),
               "r": generator.standard_normal((1, 16, 4)).astype("f4")}
    nodes = [helper.make_node("Transpose", ["x"], ["t"], perm=[3, 0, 1, 2]),
             helper.make_node("Reshape", ["t", "shape"], ["s"]),
             helper.make_node("LSTM", ["s", "w", "r"], ["y"], name="remember", hidden_size=4)]
    refuse(work, nodes, weights, [8, 1, 1, 4], "cannot be inflated")


def test_sizes_that_depend_on_the_image(work):
    """How many elements are positive is known only as the network runs."""
    nodes = [helper.make_node("NonZero", ["x"], ["places"], name="places"),
             helper.make_node("Cast", ["places"], ["y"], to=TensorProto.FLOAT)]
    refuse(work, nodes, {}, [4, None], "places", "NonZero")


def test_channels_merged_with_positions(work):
    shape = numpy.array([1, 2, 128], "i8")
    weight = numpy.ones((128, 3), "f4")
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["r"], name="mix"),
             helper.make_node("MatMul", ["r", "w"], ["y"])]
    refuse(work, nodes, {"shape": shape, "w": weight}, [1, 2, 3], "mix", "merges")


def test_transposed_convolution_with_holes(work):
    """Kernel 2 at stride 3 leaves every third output frame without a tap."""
    nodes = [helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="up", strides=[3, 3])]
    refuse(work, nodes, {"w": numpy.ones((4, 2, 2, 2), "f4")}, [1, 2, 23, 23], "up", "empty")


common.main()
