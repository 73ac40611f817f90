"""What the benchmarks share: running commands one after the other or sampled, on an idle disk.

Memory is counted in two ways: "process" is the largest resident set of any process (as
/usr/bin/time has it), "tree" the largest sum of proportional set sizes over the process and
its children, sampled.
"""

import os
import pathlib
import statistics
import subprocess
import tempfile
import time

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
        done = subprocess.run(command, env=environment(), capture_output=True)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stderr.decode(errors='replace')}")
    return time.perf_counter() - start


def largest_process(command):
    """Bytes. /usr/bin/time is small itself; a child of ours would inherit our peak."""
    with tempfile.NamedTemporaryFile() as report:
        subprocess.run(["/usr/bin/time", "-f", "%M", "-o", report.name, *command], check=True,
                       env=environment(), stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
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


def take_turns(contenders, result, runs):
    """Times of every contender (a name and its commands), which make result; a warm-up run
    first."""
    for commands in contenders.values():
        run_timed(commands, result)
    times = {name: [] for name in contenders}
    for _ in range(runs):
        for name, commands in contenders.items():
            times[name].append(run_timed(commands, result))
    return times


def median(values):
    return statistics.median(values)
