"""How a build of a zoo scales with its workers, and whether its memory stays flat.

    zoo.py I3DCONV [RUNS]        this Python needs numpy and onnx

Two zoos: small networks of several families, and Inception-V1s, whose files are large; each
worker has one engine thread. One worker and two take turns, and each build goes into a folder
of its own: nothing is deleted meanwhile, since ext4 looks long for places of files that were
deleted a moment ago. Times are medians. Memory is the sum over all processes of what they hold alone or share
(proportional set sizes), the largest in each quarter of the build. The reach: two workers
make at least 1.8 times as many products in the same time as one.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import onnx

import measure

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "interop"))
import small_networks

SMALL, LARGE = 120, 6


def write_manifest(folder, names, **more):
    entries = [{"name": path.stem, "path": path.name, **more} for path in names]
    manifest = folder / "zoo.json"
    manifest.write_text(json.dumps({"i3dconv_manifest": 1, "entries": entries}))
    return manifest


def make_small(folder):
    folder.mkdir()
    paths = [folder / f"n{number}.onnx" for number in range(SMALL)]
    for number, path in enumerate(paths):
        onnx.save(small_networks.FAMILIES[number % len(small_networks.FAMILIES)](number), path)
    return write_manifest(folder, paths)


def make_large(folder, i3dconv):
    folder.mkdir()
    paths = [folder / f"inception{number}.onnx" for number in range(LARGE)]
    for number, path in enumerate(paths):
        subprocess.run([i3dconv, "zoo", "synth", "inception_v1", "--seed", str(number), "-o",
                        path], check=True)
    return write_manifest(folder, paths, recipes=["i3d"])


def command(i3dconv, manifest, frames, workers, out):
    return [i3dconv, "zoo", "build", manifest, "--out", out, "--quiet", "--jobs", str(workers),
            "--threads", "1", "--frames", str(frames)]


def build(arguments):
    os.sync()
    start = time.perf_counter()
    subprocess.run(arguments, check=True, env=measure.environment(), stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def memory_by_quarter(arguments):
    """MiB, and of the process that builds alone."""
    process = subprocess.Popen(arguments, env=measure.environment(), stdout=subprocess.DEVNULL)
    samples = []
    while process.poll() is None:
        pids = measure.processes_below(process.pid)
        sizes = [measure.proportional_set(pid) for pid in pids]
        samples.append((sum(sizes) / measure.MEBIBYTE, sizes[0] / measure.MEBIBYTE))
        time.sleep(0.002)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    quarters = [samples[len(samples) * k // 4:len(samples) * (k + 1) // 4] for k in range(4)]
    return [[max(column) for column in zip(*quarter)] for quarter in quarters]


def report(name, count, times, quarters):
    one, two = (statistics.median(times[workers]) for workers in (1, 2))
    print(f"{name}: {count} products, one worker {one:.2f} s, two {two:.2f} s, "
          f"ratio {one / two:.2f}")
    print("  memory by quarter of the build with two workers: "
          + ", ".join(f"{whole:.0f} MiB (builder {own:.1f})" for whole, own in quarters))


def main(i3dconv, runs=5):
    i3dconv = os.path.abspath(i3dconv) if os.sep in i3dconv else i3dconv
    with tempfile.TemporaryDirectory(prefix="i3dconv-bench-") as folder:
        work = pathlib.Path(folder)
        for name, count, frames, manifest in (
                ("small networks", SMALL, 6, make_small(work / "small")),
                ("Inception-V1", LARGE, 32, make_large(work / "large", i3dconv))):
            times = {1: [], 2: []}
            for run in range(runs):
                for workers, seconds in times.items():
                    out = work / f"{manifest.parent.name}-{run}-{workers}"
                    seconds.append(build(command(i3dconv, manifest, frames, workers, out)))
            quarters = memory_by_quarter(command(i3dconv, manifest, frames, 2, work / name))
            report(name, count, times, quarters)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
