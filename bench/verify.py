"""Time and memory of verify on I3D, beside the two forward passes that it compares.

    verify.py I3DCONV [FRAMES [RUNS]]        this Python needs numpy

verify proves the boring video and audits the kernels; run computes the same image and video,
with the same engine, of the whole clip and without use of equal slices. They take turns;
times are medians, of the wall clock and of the processors. The reach: 1.1 times the two
passes' time, 1.3 times the memory of the 3D one.
"""

import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy


def measure(command):
    """Seconds on the clock, seconds of processors, MiB resident."""
    with tempfile.NamedTemporaryFile() as report:
        subprocess.run(["/usr/bin/time", "-f", "%e %U %S %M", "-o", report.name, *command],
                       check=True, stdout=subprocess.DEVNULL)
        elapsed, user, system, kibibytes = map(float, report.read().split())
    return elapsed, user + system, kibibytes / 1024


def main(i3dconv, frames=128, runs=3):
    with tempfile.TemporaryDirectory(prefix="i3dconv-bench-") as folder:
        work = pathlib.Path(folder)
        flat, three = work / "flat.h5", work / "three.onnx"
        subprocess.run([i3dconv, "zoo", "synth", "inception_v1", "-o", flat], check=True)
        subprocess.run([i3dconv, "inflate", flat, "-o", three], check=True)
        image = numpy.random.default_rng(0).standard_normal((1, 3, 1, 224, 224)).astype("f4")
        numpy.save(work / "image.npy", image[:, :, 0])
        numpy.save(work / "video.npy", image.repeat(frames, 2))
        passes = ["--engine", "direct", "--no-factored", "--window", "all"]
        commands = {
            "verify": [i3dconv, "verify", flat, three, "--frames", str(frames), "--quiet"],
            "run 3D": [i3dconv, "run", three, work / "video.npy", *passes],
            "run 2D": [i3dconv, "run", flat, work / "image.npy", *passes],
        }
        measured = {name: [] for name in commands}
        for _ in range(runs):
            for name, command in commands.items():
                measured[name].append(measure(command))
    medians = {name: [statistics.median(values) for values in zip(*rows)]
               for name, rows in measured.items()}
    print(f"I3D, {frames} frames of 224×224, {runs} runs")
    for name, (elapsed, processors, memory) in medians.items():
        print(f"{name}  {elapsed:7.2f} s  {processors:7.2f} s of processors  {memory:6.0f} MiB")
    both = [a + b for a, b in zip(medians["run 3D"], medians["run 2D"])]
    print(f"verify / both passes: {medians['verify'][0] / both[0]:.2f} by the clock, "
          f"{medians['verify'][1] / both[1]:.2f} by processors; "
          f"memory / run 3D: {medians['verify'][2] / medians['run 3D'][2]:.2f}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:4]))
