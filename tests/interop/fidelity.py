"""deflate, diff, head and convert --fold-bn, judged by numpy and ONNX Runtime."""

import common

common.need("torch", "torchvision", "onnx", "onnxruntime")

import json
import subprocess

import numpy
import onnx
import torch

import expected_kernels
import families
import fixed_point
import onnx_tools
from common import I3DCONV, i3dconv, relative_error, require

NETWORKS = ("resnet18", "mobilenet_v2", "densenet121", "unet")


def outputs(path, image):
    model = onnx.load(path)
    names = [output.name for output in model.graph.output]
    return fixed_point.run_all(model, image, names)[names[0]]


def test_folded_networks_compute_the_same(work):
    for name in ("resnet18", "mobilenet_v2", "densenet121"):
        image = onnx_tools.seeded_image()
        path, folded = work / f"{name}.safetensors", work / "folded.onnx"
        i3dconv("zoo", "synth", name, "--seed", 43, "-o", path)
        i3dconv("convert", path, "-o", work / "plain.onnx")
        path = work / "plain.onnx"
        i3dconv("convert", path, "-o", folded, "--fold-bn")
        onnx.checker.check_model(str(folded), full_check=True)
        error = relative_error(outputs(folded, image), outputs(path, image))
        left = sum(node.op_type == "BatchNormalization" for node in onnx.load(folded).graph.node)
        print(f"# {name}: relative error {error:.1e}, {left} left")
        require(error < 1e-5, f"{name}: relative error {error:.1e}")
        require(not left or name == "densenet121", f"{left} of {name}'s stay")


def test_fold_by_numpy(work):
    """A grouped transposed convolution with a bias, and one that two nodes read."""
    torch.manual_seed(41)
    network = torch.nn.Sequential(
        torch.nn.ConvTranspose2d(6, 8, 3, stride=2, groups=2), torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3, bias=False), torch.nn.BatchNorm2d(4)).eval()
    for module in network:
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.normal_(module.bias)
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    image = torch.randn(1, 6, 9, 9)
    torch.onnx.export(network, image, work / "net.onnx", opset_version=13,
                      training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
    count = sum(node.op_type == "BatchNormalization"
                for node in onnx.load(work / "net.onnx").graph.node)
    require(count == 2, f"{count} to fold")
    i3dconv("convert", work / "net.onnx", "-o", work / "folded.onnx", "--fold-bn")
    found = expected_kernels.stored(onnx.load(work / "folded.onnx"))
    state = {key: value.numpy().astype("f8") for key, value in network.state_dict().items()}
    for kernel, norm, axis in (("0", "1", 1), ("3", "4", 0)):
        scale = state[f"{norm}.weight"] / numpy.sqrt(state[f"{norm}.running_var"] + numpy.float32(1e-5))
        weight = state[f"{kernel}.weight"]
        if axis:
            per_input = scale.reshape(2, 4).repeat(3, axis=0)
            weight = (weight * per_input[:, :, None, None]).astype("f4")
        else:
            weight = (weight * scale[:, None, None, None]).astype("f4")
        require(numpy.array_equal(found[f"{kernel}.weight"], weight), f"kernel {kernel}")
        bias = state.get(f"{kernel}.bias", 0) - state[f"{norm}.running_mean"]
        bias = (bias * scale + state[f"{norm}.bias"]).astype("f4")
        require(numpy.array_equal(found[f"{kernel}.bias"], bias), f"bias {kernel}")


def test_half_precision_comes_back(work):
    for name in NETWORKS:
        path, _ = families.make(work, name)
        half, inflated, back = (work / f"{stage}.onnx" for stage in ("half", "3d", "back"))
        i3dconv("convert", path, "-o", half, "--dtype", "float16")
        for init, units in (("repeat", 3), ("center", 0)):
            i3dconv("inflate", half, "-o", inflated, "--recipe", "keep-frames", "--init", init)
            i3dconv("deflate", inflated, "-o", back, "--like", half)
            worst = expected_kernels.require_deflated(half, back, units if name != "unet" else 3)
            print(f"# {name}, {init}: {worst:.2f} units in the last place")


def report(*arguments, status):
    done = subprocess.run([I3DCONV, "diff", *map(str, arguments), "--json"], capture_output=True)
    require(done.returncode == status, f"exit {done.returncode}: {done.stderr.decode()}")
    return json.loads(done.stdout)


def test_drift(work):
    path, _ = families.make(work, "resnet18")
    inflated, tuned = work / "3d.onnx", work / "tuned.onnx"
    for init in ("repeat", "center"):
        i3dconv("inflate", path, "-o", inflated, "--recipe", "keep-frames", "--init", init)
        said = report("--inflated-from", path, inflated, status=0)
        require(said["compared"] == 20 and not said["different"], f"{said['different']} moved")
    i3dconv("inflate", path, "-o", inflated, "--recipe", "keep-frames")
    model = onnx.load(inflated)
    node, kernel = [pair for pair in onnx_tools.convolutions(model) if pair[1].shape[2] == 3][4]
    generator = numpy.random.default_rng(42)
    moved = kernel + (0.1 * kernel.std() * generator.standard_normal(kernel.shape)).astype("f4")
    onnx_tools.replace_weight(model, node.input[1], moved)
    onnx.save(model, tuned)
    said = report("--inflated-from", path, tuned, status=1)
    require(said["different"] == 1, f"{said['different']} moved")
    entry, = (entry for entry in said["kernels"] if entry["name"] == node.input[1])
    flat = expected_kernels.stored(onnx.load(path))[node.input[1]].astype("f8")
    wide = moved.astype("f8")
    mean = wide.mean(axis=2, keepdims=True)
    expected = {
        "variation": numpy.linalg.norm(wide - mean) / numpy.linalg.norm(wide),
        "sum_change": numpy.linalg.norm(wide.sum(axis=2) - flat) / numpy.linalg.norm(flat)}
    for key, value in expected.items():
        require(abs(entry[key] - value) < 1e-9 * value, f"{key}: {entry[key]} and {value}")
    shares = [3 * numpy.linalg.norm(wide[:, :, t]) / numpy.linalg.norm(flat) for t in range(3)]
    require(numpy.allclose(entry["shares"], shares, rtol=1e-9), f"{entry['shares']}")
    plain = report(inflated, tuned, status=1)
    entry, = plain["tensors"]
    require(entry["name"] == node.input[1] and entry["unequal"] == (kernel != moved).sum()
            and abs(entry["largest"] - numpy.abs(kernel.astype("f8") - moved).max()) < 1e-12,
            f"{entry}")
    require(report(inflated, tuned, "--tolerance", 1, status=0)["different"] == 0, "tolerance")
    report(inflated, inflated, status=0)


def test_heads(work):
    path, image = families.make(work, "resnet18")
    flat = expected_kernels.stored(onnx.load(path))
    rows = [5, 0, 1, 2, 999]
    for options, expected in ((("--num-classes", 7), numpy.zeros((7, 512), "f4")),
                              (("--rows", "5,0-2,999"), flat["fc.weight"][rows])):
        i3dconv("head", path, "-o", work / "head.onnx", *options)
        onnx.checker.check_model(str(work / "head.onnx"), full_check=True)
        found = expected_kernels.stored(onnx.load(work / "head.onnx"))
        for name, array in flat.items():
            if not name.startswith("fc."):
                require(numpy.array_equal(found[name], array), f"{name} changed")
        require(numpy.array_equal(found["fc.weight"], expected), "the classifier's weights")
        require(outputs(work / "head.onnx", image).shape == (1, len(expected)), "classes")
    logits = outputs(path, image)
    require(relative_error(outputs(work / "head.onnx", image), logits[:, rows]) < 1e-6, "rows")
    labels = [f"class {number}" for number in range(1000)]
    (work / "labels.txt").write_text("\n".join(labels) + "\n")
    (work / "wanted.txt").write_text("class 7\r\nclass 3\r\n")
    i3dconv("inflate", path, "-o", work / "head3d.onnx", "--recipe", "framewise", "--rows",
            work / "wanted.txt", "--labels", work / "labels.txt")
    found = expected_kernels.stored(onnx.load(work / "head3d.onnx"))
    require(numpy.array_equal(found["fc.weight"], flat["fc.weight"][[7, 3]]), "chosen by label")
    i3dconv("head", path, "-o", work / "a.onnx", "--num-classes", 9, "--head-init", "normal",
            "--seed", 4)
    i3dconv("head", path, "-o", work / "b.onnx", "--num-classes", 9, "--head-init", "normal",
            "--seed", 5)
    a, b = (expected_kernels.stored(onnx.load(work / f"{name}.onnx")) for name in "ab")
    require(abs(a["fc.weight"].std() - 0.01) < 0.001 and not a["fc.bias"].any()
            and not numpy.array_equal(a["fc.weight"], b["fc.weight"]), "seeded weights")
    i3dconv("head", path, "-o", work / "no.onnx", "--rows", "1000", status=2)


def test_features(work):
    path, image = families.make(work, "resnet18")
    model = onnx.load(path)
    value = [node.output[0] for node in model.graph.node if node.op_type == "Relu"][-1]
    i3dconv("head", path, "-o", work / "features.onnx", "--features", value)
    onnx.checker.check_model(str(work / "features.onnx"), full_check=True)
    found = onnx.load(work / "features.onnx")
    require("fc.weight" not in expected_kernels.stored(found), "the classifier is still there")
    expected = fixed_point.run_all(model, image, [value])[value]
    require(numpy.array_equal(outputs(work / "features.onnx", image), expected), "they differ")


common.main()
