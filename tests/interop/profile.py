"""run --profile, as a table and as JSON, --repeat, and networks of several inputs."""

import common

common.need("numpy", "onnx", "onnxruntime")

import json
import re

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from common import i3dconv, refusal, require

FRAMES, SIZE = 4, 20
ALGORITHMS = {"pointwise", "winograd", "im2col", "lines", "depthwise", "reference"}


def weights(generator, name, *shape):
    values = generator.standard_normal(shape) / numpy.sqrt(numpy.prod(shape[1:]))
    return numpy_helper.from_array(values.astype("f4"), name)


def video(name, channels):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT,
                                         [1, channels, FRAMES, SIZE, SIZE])


def two_input_model(path):
    """A convolution of one video, another video added, and a mean over time."""
    generator = numpy.random.default_rng(2)
    square = {"pads": [1] * 6}
    nodes = [
        helper.make_node("Conv", ["x", "stem.w", "stem.b"], ["stem"], name="stem", **square),
        helper.make_node("Add", ["stem", "z"], ["sum"], name="sum"),
        helper.make_node("Relu", ["sum"], ["relu"], name="relu"),
        helper.make_node("Conv", ["relu", "thin.w"], ["thin"], name="thin"),
        helper.make_node("Concat", ["thin", "relu"], ["joined"], name="joined", axis=1),
        helper.make_node("ReduceMean", ["joined"], ["y"], name="mean", axes=[2], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes, "two", [video("x", 3), video("z", 8)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weights(generator, "stem.w", 8, 3, 3, 3, 3), weights(generator, "stem.b", 8),
         weights(generator, "thin.w", 4, 8, 1, 1, 1)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def prepare(work):
    """The model, and its two inputs with their files."""
    generator = numpy.random.default_rng(3)
    arrays = {}
    for name, channels in (("x", 3), ("z", 8)):
        arrays[name] = generator.standard_normal((1, channels, FRAMES, SIZE, SIZE)).astype("f4")
        numpy.save(work / f"{name}.npy", arrays[name])
    return two_input_model(work / "two.onnx"), arrays, [work / "x.npy", work / "z.npy"]


def parse_table(text):
    """Rows (layer, operation, algorithm, ms, GFLOP/s, share) and the lines behind them."""
    lines = text.splitlines()
    require(lines[0].split() == ["layer", "operation", "algorithm", "ms", "GFLOP/s", "share"],
            lines[0])
    end = next(i for i, line in enumerate(lines) if line.startswith("kernels "))
    return [re.split(r" {2,}|(?<=\S) (?=-|\d)", line.strip()) for line in lines[1:end]], lines[end:]


def require_numbers(rows, total):
    """Times and shares of rows as dictionaries."""
    for row in rows:
        require(row["ms"] >= 0 and 0 <= row["share"] <= 1.0001, f"{row}")
        share = row["ms"] / total
        require(abs(row["share"] - share) < 1e-3 + 0.01 * share, f"{row}: the share is {share}")
        speed = 2e-6 * row["multiply_adds"] / row["ms"] if row["ms"] else 0
        require(abs(row["gflops"] - speed) <= 1e-6 + 1e-6 * speed, f"{row}: {speed} GFLOP/s")


def test_several_inputs(work):
    """In the graph's order; ONNX Runtime gets them by name."""
    model, arrays, files = prepare(work)
    i3dconv("run", model, *files, "-o", work / "y.npy")
    expected = onnxruntime.InferenceSession(
        str(model), providers=["CPUExecutionProvider"]).run(None, arrays)[0]
    found = numpy.load(work / "y.npy")
    require(found.shape == expected.shape, f"{found.shape}")
    error = abs(found - expected).max() / abs(expected).max()
    require(error < common.TOLERANCE, f"{error}")
    said = refusal("run", model, *reversed(files), status=2)
    require("z.npy: an array of 1x8x4x20x20" in said, said)
    said = refusal("run", model, files[0], status=2)
    require("takes 2 inputs, 1 are given" in said, said)


def test_table(work):
    model, _, files = prepare(work)
    text = i3dconv("run", model, *files, "--profile", "--threads", 2).decode()
    rows, rest = parse_table(text)
    require([row[:3] for row in rows] == [
        ["stem", "Conv+Add+Relu", rows[0][2]], ["thin", "Conv", "pointwise"],
        ["joined", "Concat", "-"], ["mean", "ReduceMean", "-"]], text)
    require(rows[0][2] in ALGORITHMS, rows[0][2])
    require(all(len(row) == 6 for row in rows), text)
    require(re.fullmatch(r"kernels (plain|avx2|avx512), threads 2, 0\.00 G multiply-adds by "
                         r"definition", rest[0]), rest[0])
    require(re.fullmatch(r"memory: activations \d+\.\d MiB, weights \d+\.\d MiB, workspace "
                         r"\d+\.\d MiB, process at most \d+\.\d MiB", rest[1]), rest[1])
    total = re.fullmatch(r"total (\d+\.\d{3}) ms", rest[2])
    require(total and len(rest) == 3, f"{rest}")
    shares = sum(float(row[5].rstrip("%")) for row in rows)
    require(20 < shares < 101, f"shares sum up to {shares} %")
    require(sum(float(row[3]) for row in rows) <= float(total[1]) + 0.01, text)


def test_json(work):
    model, _, files = prepare(work)
    profile = json.loads(i3dconv("run", model, *files, "--profile=json", "--threads", 1))
    layers = profile["layers"]
    require([layer["layer"] for layer in layers] == ["stem", "thin", "joined", "mean"],
            f"{layers}")
    positions = FRAMES * SIZE * SIZE
    require([layer["multiply_adds"] for layer in layers]
            == [8 * 3 * 27 * positions, 4 * 8 * positions, 0, 0], f"{layers}")
    require(profile["multiply_adds"] == sum(layer["multiply_adds"] for layer in layers),
            f"{profile['multiply_adds']}")
    require(profile["threads"] == 1 and profile["runs"] == 1, f"{profile}")
    require(set(profile["memory"]) == {"activations", "weights", "workspace", "process"},
            f"{profile['memory']}")
    # "joined" holds 12 channels, 8 of them from "relu"; nothing else lives as long.
    require(profile["memory"]["activations"] >= 12 * positions * 4, f"{profile['memory']}")
    require(profile["memory"]["process"] > profile["memory"]["activations"],
            f"{profile['memory']}")
    require_numbers(layers, profile["total_ms"])


def test_repeat(work):
    """Medians of the runs behind the first; the result is the first's."""
    model, _, files = prepare(work)
    i3dconv("run", model, *files, "-o", work / "once.npy")
    profile = json.loads(i3dconv("run", model, *files, "--profile=json", "--repeat", 7,
                                 "-o", work / "again.npy"))
    require(profile["runs"] == 7, f"{profile['runs']}")
    require_numbers(profile["layers"], profile["total_ms"])
    require((work / "once.npy").read_bytes() == (work / "again.npy").read_bytes(),
            "the results differ")
    refusal("run", model, *files, "--repeat", 7, status=2)
    refusal("run", model, *files, "--profile", "--repeat", 0, status=2)
    refusal("run", model, *files, "--profile=xml", status=2)
    refusal("run", model, *files, "--profile", "-o", "-", status=2)


def test_features_are_not_fused_away(work):
    """--output of what lies inside a fused step; the profile shows that it is made."""
    model, arrays, files = prepare(work)
    profile = json.loads(i3dconv("run", model, *files, "--output", "stem", "--profile=json",
                                 "-o", work / "stem.npy"))
    require(profile["layers"][0]["operation"] == "Conv", f"{profile['layers'][0]}")
    features = numpy.load(work / "stem.npy")
    require(features.shape == (1, 8, FRAMES, SIZE, SIZE) and features.min() < -0.5,
            f"{features.shape}, least {features.min()}")


def test_factored_i3d(work):
    """An inflated I3D by sums of frames, by its 3D kernels and by the plain engine."""
    i3dconv("zoo", "synth", "inception_v1", "--seed", 5, "-o", work / "flat.h5")
    i3dconv("inflate", work / "flat.h5", "-o", work / "three.onnx")
    clip = numpy.random.default_rng(4).standard_normal((1, 3, 9, 224, 224)).astype("f4")
    numpy.save(work / "clip.npy", clip)
    results, profiles = {}, {}
    value = ["--output", "Mixed_5c/Concat"]
    for name, options in (("factored", []), ("general", ["--no-factored"]),
                          ("direct", ["--engine", "direct"]),
                          ("reference", ["--engine", "reference"])):
        profiles[name] = json.loads(i3dconv("run", work / "three.onnx", work / "clip.npy", *value,
                                            *options, "-o", work / "out.npy", "--profile=json"))
        results[name] = numpy.load(work / "out.npy")
    scale = abs(results["reference"]).max()
    for name, result in results.items():
        error = abs(result - results["reference"]).max() / scale
        print(f"# {name}: {error:.1e} from the reference")
        require(error < 5e-5, f"{name}: {error}")
        layers = [layer["algorithm"] for layer in profiles[name]["layers"]]
        factored = sum(algorithm.startswith("factored ") for algorithm in layers)
        require(factored == (20 if name == "factored" else 0), f"{name}: {factored} factored")
        if name in ("direct", "reference"):
            require("winograd" not in layers, f"{name} uses winograd")
    require("reference" in layers and set(layers) == {"reference", ""}, f"{set(layers)}")


common.main()
