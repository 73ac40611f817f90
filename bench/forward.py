"""Time and memory of the forward pass, beside ONNX Runtime, OpenVINO and PyTorch.

    forward.py I3DCONV [ROUNDS [PART...]]

PARTs: networks, frames, layers, memory; all without any. This Python needs numpy, onnx and
onnxruntime; openvino and torch are timed where they are installed.

Everybody computes the same file on the same array with two threads. In every round each one
runs in a process of its own, one after the other: a first run that is not counted, then some
more. A time is the median of the runs of all rounds; a ratio is the median of the rounds'
ratios, so that a slow moment of the machine weighs on both sides. README.md has the figures
to reach.
"""

import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx

from measure import MEBIBYTE, environment, largest_process, median

HERE = pathlib.Path(__file__).parent
THREADS = "2"
RUNTIMES = ("onnxruntime", "openvino", "torch")
FRAMES = (16, 32, 64, 128, 250)
WINDOW = "32"

# Network: options of ours, runs in a round, and what our time may be of a peer's.
ROWS = {
    "Inception-V1": ("inception.onnx", (1, 3, 224, 224), [], 15,
                     {"onnxruntime": 0.85, "openvino": 1}),
    "ResNet-50": ("resnet.onnx", (1, 3, 224, 224), [], 9, {"onnxruntime": 1}),
    "I3D, 64 frames": ("i3d.onnx", (1, 3, 64, 224, 224), ["--no-factored"], 2,
                       {"onnxruntime": 0.67, "openvino": 1}),
    "I3D, 64 frames, factored": ("i3d.onnx", (1, 3, 64, 224, 224), [], 2,
                                 {"onnxruntime": 0.33}),
    "ResNet-50 I3D, 32 frames": ("resnet_i3d.onnx", (1, 3, 32, 224, 224), ["--no-factored"], 2,
                                 {"onnxruntime": 0.8}),
}


def run(command):
    done = subprocess.run([str(word) for word in command], env=environment(), capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def prepare(i3dconv, folder):
    run([i3dconv, "zoo", "synth", "inception_v1", "-o", folder / "inception.onnx"])
    run([i3dconv, "inflate", folder / "inception.onnx", "-o", folder / "i3d.onnx"])
    run([sys.executable, HERE / "resnet50.py", folder / "resnet.onnx"])
    run([i3dconv, "inflate", folder / "resnet.onnx", "--recipe", "mmaction2-i3d", "-o",
         folder / "resnet_i3d.onnx"])


def array_of(folder, shape):
    path = folder / f"{'x'.join(map(str, shape))}.npy"
    if not path.exists():
        numpy.save(path, numpy.random.default_rng(0).standard_normal(shape).astype("f4"))
    return path


def our_command(i3dconv, model, array, options):
    return [i3dconv, "run", model, array, "--threads", THREADS, *options]


def our_profile(i3dconv, model, array, options, runs):
    command = our_command(i3dconv, model, array, options)
    return json.loads(run([*command, "--profile=json", "--repeat", runs]))


def peer(runtime, model, array, runs):
    return json.loads(run([sys.executable, HERE / "peer_forward.py", runtime, model, array, runs]))


def time_row(i3dconv, folder, name, rounds):
    """Seconds by contender, a median for each round, and our kernels."""
    file, shape, options, runs, _ = ROWS[name]
    model, array = folder / file, array_of(folder, shape)
    times = {"i3dconv": []}
    for runtime in RUNTIMES:
        if importlib.util.find_spec(runtime):
            times[runtime] = []
    for _ in range(rounds):
        for contender in times:
            # PyTorch is several times slower, and no figure depends on it.
            count = max(runs // 3, 1) if contender == "torch" else runs
            if contender == "i3dconv":
                seconds = our_profile(i3dconv, model, array, options, runs)["total_ms"] / 1e3
            else:
                seconds = median(peer(contender, model, array, count)["seconds"])
            times[contender].append(seconds)
    return times


def ratio(ours, theirs):
    return median([a / b for a, b in zip(ours, theirs)])


def compare_networks(i3dconv, folder, rounds):
    print(f"\n{'network':26}{'i3dconv ms':>11}" + "".join(f"{name:>13}{'ratio':>7}{'reach':>7}"
                                                        for name in RUNTIMES))
    for name in ROWS:
        times = time_row(i3dconv, folder, name, rounds)
        line = f"{name:26}{1e3 * median(times['i3dconv']):11.1f}"
        for runtime in RUNTIMES:
            if runtime not in times:
                line += f"{'not there':>13}{'':14}"
                continue
            reach = ROWS[name][4].get(runtime)
            line += (f"{1e3 * median(times[runtime]):13.1f}"
                     f"{ratio(times['i3dconv'], times[runtime]):7.2f}"
                     f"{reach if reach else '-':>7}")
        print(line, flush=True)


def compare_frames(i3dconv, folder, rounds):
    """Of I3D on the general path."""
    model, times = folder / "i3d.onnx", {frames: [] for frames in FRAMES}
    for _ in range(rounds):
        for frames in FRAMES:
            array = array_of(folder, (1, 3, frames, 224, 224))
            profile = our_profile(i3dconv, model, array, ["--no-factored"], 1)
            times[frames].append(profile["total_ms"] / frames)
    print(f"\n{'I3D frames':>10}{'ms a frame':>12}{'of the mean':>13}{'process MiB':>13}"
          f"{'in windows':>12}")
    mean = sum(map(median, times.values())) / len(times)
    for frames, values in times.items():
        command = our_command(i3dconv, model, array_of(folder, (1, 3, frames, 224, 224)),
                              ["--no-factored"])
        print(f"{frames:10}{median(values):12.2f}{median(values) / mean:13.2f}"
              f"{largest_process([*command, '--window', 'all']) / MEBIBYTE:13.0f}"
              f"{largest_process([*command, '--window', WINDOW]) / MEBIBYTE:12.0f}", flush=True)
    print("reach: within 15 % of one another")


def compare_layers(i3dconv, folder, rounds):
    """The 3×3×3 layers of I3D, each with the time of its run, beside sgemm."""
    model, array = folder / "i3d.onnx", array_of(folder, (1, 3, 64, 224, 224))
    graph = onnx.load(model).graph
    cubes = {node.name for node in graph.node for attribute in node.attribute
             if attribute.name == "kernel_shape" and list(attribute.ints) == [3, 3, 3]
             and node.op_type == "Conv"}
    speeds, products, layers = [], [], {}
    for _ in range(rounds):
        result = peer("sgemm", "", "", 9)
        products.append(result["gflop"] / median(result["seconds"]))
        profile = our_profile(i3dconv, model, array, ["--no-factored"], 2)
        rows = [row for row in profile["layers"] if row["layer"] in cubes]
        for row in rows:
            layers.setdefault(row["layer"], []).append(row["gflops"])
        speeds.append(2e-6 * sum(row["multiply_adds"] for row in rows)
                      / sum(row["ms"] for row in rows))
    print(f"\n{'3×3×3 layer of I3D':34}{'GFLOP/s of direct sums':>24}")
    for name, values in layers.items():
        print(f"{name:34}{median(values):24.0f}")
    print(f"{'all of them':34}{median(speeds):24.0f}")
    print(f"{'sgemm, OpenBLAS ' + result['kernels']:34}{median(products):24.0f}\n"
          f"all of them / sgemm: {ratio(speeds, products):.2f}; reach: above 1")


def compare_memory(i3dconv, folder):
    """Whole processes, one pass each."""
    empty = largest_process([sys.executable, "-c", "import numpy, onnxruntime"]) / MEBIBYTE
    print(f"\n{'peak memory, MiB':26}{'i3dconv':>9}{'onnxruntime':>13}{'ratio':>7}   (reach 1; "
          f"Python, numpy and ONNX Runtime alone: {empty:.0f})")
    for name, (file, shape, options, _, _) in ROWS.items():
        array = array_of(folder, shape)
        ours = largest_process(our_command(i3dconv, folder / file, array, options))
        theirs = largest_process([sys.executable, HERE / "peer_forward.py", "onnxruntime",
                                  folder / file, array, "0"])
        print(f"{name:26}{ours / MEBIBYTE:9.0f}{theirs / MEBIBYTE:13.0f}{ours / theirs:7.2f}",
              flush=True)


def print_sides(i3dconv, folder):
    """Versions, and the kernels that each side takes."""
    model, array = folder / "inception.onnx", array_of(folder, (1, 3, 224, 224))
    processor = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo")
                      if line.startswith("model name")), "unknown")
    version = run([i3dconv, "--version"]).decode().split()[-1]
    kernels = our_profile(i3dconv, model, array, [], 1)["kernels"]
    print(f"{processor}; {THREADS} threads\ni3dconv {version}: kernels {kernels}")
    for runtime in (*RUNTIMES, "sgemm"):
        if runtime == "sgemm" or importlib.util.find_spec(runtime):
            result = peer(runtime, model, array, 1)
            print(f"{'OpenBLAS' if runtime == 'sgemm' else runtime} {result['version']}: kernels "
                  f"{result['kernels']}")


def main(i3dconv, rounds="5", *parts):
    with tempfile.TemporaryDirectory(prefix="i3dconv-bench-") as name:
        folder = pathlib.Path(name)
        prepare(i3dconv, folder)
        print_sides(i3dconv, folder)
        if not parts or "networks" in parts:
            compare_networks(i3dconv, folder, int(rounds))
        if not parts or "frames" in parts:
            compare_frames(i3dconv, folder, int(rounds))
        if not parts or "layers" in parts:
            compare_layers(i3dconv, folder, int(rounds))
        if not parts or "memory" in parts:
            compare_memory(i3dconv, folder)


main(*sys.argv[1:])
