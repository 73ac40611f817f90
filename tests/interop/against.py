"""verify --against and --dump: one network in ONNX Runtime and in i3dconv, value by value."""

import common

common.need("onnx", "onnxruntime")

import json

import numpy
import onnx

import onnx_tools
from common import TOLERANCE, i3dconv, relative_error, require

FRAMES = 16


def dump_of_onnx_runtime(path, video):
    """The input and every value that a node computes, by name."""
    model = onnx.load(path)
    names = [name for node in model.graph.node for name in node.output if name]
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    return {model.graph.input[0].name: video, **dict(zip(names, onnx_tools.run(model, video)))}


def prepare(work):
    """I3D as ONNX, and what ONNX Runtime makes of a moving video."""
    if not (work / "i3d.onnx").exists():
        i3dconv("zoo", "synth", "inception_v1", "--seed", 11, "-o", work / "flat.h5")
        i3dconv("inflate", work / "flat.h5", "-o", work / "i3d.onnx")
        generator = numpy.random.default_rng(11)
        video = generator.standard_normal((1, 3, FRAMES, 224, 224)).astype("f4")
        prepare.values = dump_of_onnx_runtime(work / "i3d.onnx", video)
        numpy.savez(work / "theirs.npz", **prepare.values)
    return work / "i3d.onnx", prepare.values


def last_line(*arguments, status=0):
    said = i3dconv("verify", *arguments, status=status).decode()
    print("#", said.rstrip().rpartition("\n")[2])
    return said.rstrip().rpartition("\n")[2]


def some(values, *names):
    """A few of the values, as a reference may have only some."""
    return {name: values[name] for name in names}


def test_onnx_runtime_agrees(work):
    model, values = prepare(work)
    report = json.loads(i3dconv("verify", model, "--against", work / "theirs.npz", "--json"))
    require(report["pass"] and not report["not_in_file"] and not report["not_computed"],
            "not all values were compared")
    require(len(report["values"]) == len(values) - 1, f"{len(report['values'])} values")
    print(f"# worst relative error {report['worst']:.1e}")
    require(0 < report["worst"] < TOLERANCE / 10, "the two runtimes are further apart")


def test_corrupted_tensor_is_named(work):
    """In early, middle and last values: the first that is off is the one that was changed."""
    model, values = prepare(work)
    names = [name for name, value in values.items() if value.dtype == numpy.float32][1:]
    image = next(iter(values))
    for name in (names[1], names[len(names) // 2], names[-1]):
        spoilt = some(values, image, *names[::8], name)
        spoilt[name] = spoilt[name].copy()
        at = spoilt[name].size // 3
        spoilt[name].flat[at] += 0.01 * numpy.abs(spoilt[name]).max()
        numpy.savez(work / "spoilt.npz", **spoilt)
        verdict = last_line(model, "--against", work / "spoilt.npz", status=1)
        require(verdict.startswith(f"FAIL first at {name}: relative error 1.0e-02"), verdict)
        spoilt[name].flat[at] = numpy.nan
        numpy.savez(work / "spoilt.npz", **spoilt)
        verdict = last_line(model, "--against", work / "spoilt.npz", status=1)
        require(verdict.startswith(f"FAIL first at {name}: "), verdict)


def test_strangers_are_listed(work):
    model, values = prepare(work)
    names = list(values)
    odd = some(values, names[0], names[-1])
    odd["nobody/knows:0"] = numpy.zeros(3, "f4")
    numpy.savez(work / "odd.npz", **odd)
    said = i3dconv("verify", model, "--against", work / "odd.npz").decode()
    require("not computed by the network: nobody/knows:0\n" in said, said)
    require(f"values of the network that the file lacks: {len(names) - 2}\n" in said, said)
    odd[names[-1]] = odd[names[-1]][:, :-1]
    numpy.savez(work / "odd.npz", **odd)
    verdict = last_line(model, "--against", work / "odd.npz", status=1)
    require(verdict == f"FAIL first at {names[-1]}: the shapes or types differ", verdict)
    numpy.savez(work / "odd.npz", **{names[0]: odd[names[0]], "nobody": odd["nobody/knows:0"]})
    said = common.refusal("verify", model, "--against", work / "odd.npz", status=4)
    require("no tensor has the name of a value of the network" in said, said)


def test_other_weights_differ(work):
    """A network with one weight changed is off from that layer on."""
    model, _ = prepare(work)
    other = onnx.load(model)
    node, kernel = onnx_tools.convolutions(other)[9]
    onnx_tools.replace_weight(other, node.input[1], kernel * numpy.float32(1.01))
    onnx.save(other, work / "other.onnx")
    verdict = last_line(work / "other.onnx", "--against", work / "theirs.npz", status=1)
    require(verdict.startswith(f"FAIL first at {node.output[0]}: "), verdict)


def test_dump_reads_in_numpy(work):
    """As ONNX Runtime computes it from the dump's own input; with the memory of a run."""
    model, values = prepare(work)
    peak = common.peak_memory("verify", model, "--dump", work / "ours.npz", "--frames", FRAMES,
                              "--seed", 3)
    ours = numpy.load(work / "ours.npz")
    require(set(ours.files) == set(values), "names differ")
    theirs = dump_of_onnx_runtime(model, ours[next(iter(values))])
    worst = max(relative_error(ours[name], theirs[name]) for name in theirs
                if theirs[name].dtype == numpy.float32)
    whole = sum(value.nbytes for value in theirs.values())
    print(f"# worst {worst:.1e}; {peak >> 20} MiB for {whole >> 20} MiB of values")
    require(worst < TOLERANCE / 10, f"they are off by {worst:.1e}")
    require(peak < whole / 2, "the dump is held in memory")
    require(last_line(model, "--against", work / "ours.npz").startswith("PASS"), "not the same")


common.main()
