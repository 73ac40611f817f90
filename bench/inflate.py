"""Time and memory of inflating Inception-V1, beside a durable copy of the result and beside
a Python script doing the same.

    inflate.py I3DCONV [RUNS]        peers run with this Python: h5py, onnx, numpy

The three take turns; times are medians. A durable copy is cp and then sync of that file;
i3dconv syncs what it writes, the Python scripts do not. Memory is counted in two ways:
"process" is the largest resident set of any process (as /usr/bin/time has it), "tree" the
largest sum of proportional set sizes over the process and its children, sampled.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
MEBIBYTE = 1 << 20


def environment():
    """Ours without what pins OpenBLAS to old kernels."""
    return {name: value for name, value in os.environ.items()
            if name not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}


def run_timed(commands, result):
    """Wall-clock seconds of the commands, one after the other. The result of the run before
    is gone, and the disk is idle: nobody pays for another one's writing."""
    result.unlink(missing_ok=True)
    os.sync()
    start = time.perf_counter()
    for command in commands:
        subprocess.run(command, check=True, env=environment(), stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def largest_process(command):
    """Bytes. /usr/bin/time is small itself; a child of ours would inherit our peak."""
    with tempfile.NamedTemporaryFile() as report:
        subprocess.run(["/usr/bin/time", "-f", "%M", "-o", report.name, *command], check=True,
                       env=environment(), stdout=subprocess.DEVNULL)
        return int(report.read()) * 1024


def processes_below(pid):
    try:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return [pid] + [below for child in children for below in processes_below(int(child))]


def proportional_set(pid):
    try:
        for line in open(f"/proc/{pid}/smaps_rollup"):
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # it has ended meanwhile
    return 0


def largest_tree(command):
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
    largest = 0
    while process.poll() is None:
        total = sum(proportional_set(pid) for pid in processes_below(process.pid))
        largest = max(largest, total)
        time.sleep(0.0005)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return largest


def peak(measure, command, runs=3):
    return max(measure(command) for _ in range(runs))


def compare(i3dconv, suffix, folder, runs):
    """Prints the table of one container."""
    flat, inflated = (folder / f"{name}.{suffix}" for name in ("flat", "i3d"))
    subprocess.run([i3dconv, "zoo", "synth", "inception_v1", "-o", flat], check=True)
    peer = HERE / {"h5": "peer_hdf5.py", "onnx": "peer_onnx.py"}[suffix]
    result = folder / f"result.{suffix}"
    subprocess.run([i3dconv, "inflate", flat, "-o", inflated], check=True)
    contenders = {
        "i3dconv inflate": [[i3dconv, "inflate", flat, "-o", result]],
        "durable copy": [["cp", inflated, result], ["sync", result]],
        peer.name: [[sys.executable, peer, flat, result]],
    }
    for commands in contenders.values():
        run_timed(commands, result)  # warm caches
    times = {name: [] for name in contenders}
    for _ in range(runs):
        for name, commands in contenders.items():
            times[name].append(run_timed(commands, result))
    median = {name: statistics.median(values) for name, values in times.items()}

    print(f"\n{suffix}: {flat.stat().st_size / 1e6:.1f} MB to "
          f"{inflated.stat().st_size / 1e6:.1f} MB, {runs} runs each")
    print(f"{'':18}{'median s':>10}{'least':>8}{'most':>8}{'x copy':>8}"
          f"{'process MiB':>13}{'tree MiB':>10}")
    for name, commands in contenders.items():
        memory = ""
        if name != "durable copy":
            memory = (f"{peak(largest_process, commands[0]) / MEBIBYTE:13.1f}"
                      f"{peak(largest_tree, commands[0]) / MEBIBYTE:10.1f}")
        print(f"{name:18}{median[name]:10.3f}{min(times[name]):8.3f}{max(times[name]):8.3f}"
              f"{median[name] / median['durable copy']:8.2f}{memory}")


def main(i3dconv, runs="11"):
    version = [i3dconv, "--version"]
    with tempfile.TemporaryDirectory(prefix="i3dconv-bench-") as name:
        for suffix in ("h5", "onnx"):
            compare(i3dconv, suffix, pathlib.Path(name), int(runs))
    print(f"\n{'i3dconv --version':50}{'':4}"
          f"{peak(largest_process, version) / MEBIBYTE:11.1f}"
          f"{peak(largest_tree, version) / MEBIBYTE:10.1f}")
    print("The program's own peak is what it takes above --version.")


main(*sys.argv[1:])
