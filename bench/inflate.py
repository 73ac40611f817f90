"""Time and memory of inflating Inception-V1, beside a durable copy of the result and beside
a Python script doing the same.

    inflate.py I3DCONV [RUNS]        peers run with this Python: h5py, onnx, numpy

The three take turns; times are medians. A durable copy is cp and then sync of that file;
i3dconv syncs what it writes, the Python scripts do not. Memory as in measure.py.
"""

import pathlib
import subprocess
import sys
import tempfile

from measure import MEBIBYTE, largest_process, largest_tree, median, peak, take_turns

HERE = pathlib.Path(__file__).parent


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
    times = take_turns(contenders, result, runs)
    medians = {name: median(values) for name, values in times.items()}

    print(f"\n{suffix}: {flat.stat().st_size / 1e6:.1f} MB to "
          f"{inflated.stat().st_size / 1e6:.1f} MB, {runs} runs each")
    print(f"{'':18}{'median s':>10}{'least':>8}{'most':>8}{'x copy':>8}"
          f"{'process MiB':>13}{'tree MiB':>10}")
    for name, commands in contenders.items():
        memory = ""
        if name != "durable copy":
            memory = (f"{peak(largest_process, commands[0]) / MEBIBYTE:13.1f}"
                      f"{peak(largest_tree, commands[0]) / MEBIBYTE:10.1f}")
        print(f"{name:18}{medians[name]:10.3f}{min(times[name]):8.3f}{max(times[name]):8.3f}"
              f"{medians[name] / medians['durable copy']:8.2f}{memory}")


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
