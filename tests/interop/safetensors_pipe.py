"""What i3dconv writes to a pipe is safetensors that other code reads."""

import common

common.need("safetensors", "onnx", "onnxruntime")

import json

import numpy
import onnx
from safetensors import safe_open
from safetensors.numpy import load, load_file, save_file

import onnx_tools
from common import i3dconv, require


def prepare(work):
    flat = work / "flat.h5"
    if not flat.exists():
        i3dconv("zoo", "synth", "inception_v1", "--seed", 5, "-o", flat)
    return flat


def test_inflated_model_reads(work):
    """Tensors as in the ONNX file of the same inflation, and the graph as JSON beside them."""
    flat = prepare(work)
    stream = i3dconv("inflate", flat, "-o", "-")
    i3dconv("inflate", flat, "-o", work / "i3d.onnx")
    found = load(stream)
    expected = onnx_tools.weights(onnx.load(work / "i3d.onnx"))
    require(found.keys() == expected.keys(),
            f"names: {sorted(found.keys() ^ expected.keys())[:6]}")
    for name, values in expected.items():
        require(found[name].dtype == values.dtype and numpy.array_equal(found[name], values),
                f"{name} differs")


def test_graph_is_json(work):
    path = work / "i3d.safetensors"
    i3dconv("inflate", prepare(work), "-o", path)
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    graphs = [json.loads(value) for value in metadata.values() if value.startswith("{")]
    require(any("nodes" in graph for graph in graphs), f"no graph among {sorted(metadata)}")


def test_three_commands_in_a_pipe(work):
    flat = prepare(work)
    two = i3dconv("convert", flat, "-o", "-")
    three = i3dconv("inflate", "-", "-o", "-", stdin=two)
    report = i3dconv("verify", flat, "-", "--frames", 16, stdin=three).decode()
    require("\nPASS" in report, report[-300:])


def test_file_of_the_library_reads(work):
    """The library orders and aligns tensors as it likes."""
    i3dconv("convert", prepare(work), "-o", work / "ours.safetensors")
    tensors = load_file(work / "ours.safetensors")
    save_file(tensors, work / "theirs.safetensors")
    i3dconv("convert", work / "theirs.safetensors", "-o", work / "back.safetensors")
    back = load_file(work / "back.safetensors")
    require(back.keys() == tensors.keys(), "names differ")
    for name, values in tensors.items():
        require(numpy.array_equal(back[name], values), f"{name} differs")


common.main()
