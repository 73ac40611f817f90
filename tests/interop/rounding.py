"""What rounding explains is told from what it does not, deep in a network where it has grown
beyond the tolerance."""

import common

common.need("onnx")

import json
import subprocess

import numpy
import onnx
from onnx import numpy_helper

from common import I3DCONV, i3dconv, require

FRAMES = 4
LATE = "features.16.conv.1.0"  # a depthwise convolution, BatchNormalization and ReLU6


def twins(work):
    i3dconv("zoo", "synth", "mobilenet_v2", "--seed", 4, "-o", work / "flat.onnx")
    i3dconv("inflate", work / "flat.onnx", "-o", work / "three.onnx", "--recipe", "isotropic")
    return work / "flat.onnx", work / "three.onnx"


def verify(flat, three):
    done = subprocess.run([I3DCONV, "verify", flat, three, "--frames", str(FRAMES), "--json"],
                          capture_output=True)
    require(done.returncode in (0, 1), done.stderr.decode())
    return json.loads(done.stdout)


def test_rounding_is_measured_and_passes(work):
    report = verify(*twins(work))
    require(report["pass"], report["reason"])
    raised = [layer for layer in report["layers"] if layer["tolerance"] > report["tolerance"]]
    require(raised, "no layer needed more than the tolerance")
    ratios = [layer["boring"]["max_relative"] / layer["rounding"] for layer in raised]
    print(f"# {len(raised)} of {len(report['layers'])} layers have more than "
          f"{report['tolerance']:.0e}; error over what rounding explains "
          f"{min(ratios):.2f} to {max(ratios):.2f}")
    require(max(ratios) < 2 and min(ratios) > 0.1, "what is measured is not what rounding does")
    for layer in raised:
        require(abs(layer["tolerance"] / layer["rounding"] - 4) < 1e-6, f"{layer['name']} has another one")


def initializer(model, name):
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def node_that_makes(model, value):
    return next(node for node in model.graph.node if value in node.output)


def change(model, name, function):
    tensor = initializer(model, name)
    values = numpy_helper.to_array(tensor).copy()
    function(values)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def scale(values):
    values *= numpy.float32(1.0002)


def clip_lower(model):
    """5.999 for 6, wherever the opset has it."""
    node = node_that_makes(model, f"{LATE}/Relu6")
    if len(node.input) > 2:
        limit = onnx.numpy_helper.from_array(numpy.float32(5.999), "lower limit")
        model.graph.initializer.append(limit)
        node.input[2] = limit.name
    else:
        next(a for a in node.attribute if a.name == "max").f = 5.999


def kernel_of(model):
    return node_that_makes(model, LATE).input[1]


def test_small_errors_are_found_all_the_same(work):
    flat, three = twins(work)
    changes = {
        "kernel 1.0002 times as large": lambda m: change(m, kernel_of(m), scale),
        "gamma 1.0002 times as large": lambda m: change(
            m, node_that_makes(m, f"{LATE}/BatchNorm").input[1], scale),
        "another limit of ReLU6": clip_lower,
    }
    for what, function in changes.items():
        model = onnx.load(three)
        function(model)
        onnx.save(model, work / "wrong.onnx")
        report = verify(flat, work / "wrong.onnx")
        print(f"# {what}: {report['first_bad']}: {report['reason']}")
        require(not report["pass"], f"{what}: it passes")
        require(report["first_bad"].startswith(LATE), f"{what}: found at {report['first_bad']}")


common.main()
