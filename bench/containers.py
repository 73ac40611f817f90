"""Time and memory of reading an I3D and writing it again, container by container, beside a
durable copy of the result and beside the Python library of the format.

    containers.py I3DCONV [RUNS]     the libraries run with this Python

The three take turns; times are medians. A durable copy is cp and then sync of that file;
i3dconv syncs what it writes, the libraries do not. Memory as in measure.py, its largest
tensor being the 3x3x3 kernel of Mixed_5c with 8.0 MiB.
"""

import importlib.util
import pathlib
import subprocess
import sys
import tempfile

from measure import MEBIBYTE, largest_process, largest_tree, median, peak, take_turns

HERE = pathlib.Path(__file__).parent
# What each container holds, and the library that is timed beside us.
CONTAINERS = {
    "onnx": ([], "onnx"),
    "safetensors": ([], "safetensors"),
    "pt": (["--dialect", "pytorch-i3d"], "torch"),
    "npz": (["--dialect", "sonnet"], "numpy"),
    "h5": (["--dialect", "keras-i3d"], "h5py"),
    "keras": ([], "keras"),
}


def rewrite(i3dconv, suffix, folder, runs):
    """One line of the table."""
    options, library = CONTAINERS[suffix]
    source, result = folder / f"i3d.{suffix}", folder / f"result.{suffix}"
    subprocess.run([i3dconv, "convert", folder / "i3d.onnx", *options, "-o", source]
                   if suffix != "onnx" else ["true"], check=True, stderr=subprocess.DEVNULL)
    ours, again = [i3dconv, "convert", source, "-o", result], folder / f"again.{suffix}"
    subprocess.run([i3dconv, "convert", source, "-o", again], check=True,
                   stderr=subprocess.DEVNULL)
    contenders = {"ours": [ours], "copy": [["cp", again, result], ["sync", result]]}
    if importlib.util.find_spec(library):
        contenders[library] = [[sys.executable, HERE / "peer_containers.py", source, result]]
    times = {name: median(values)
             for name, values in take_turns(contenders, result, runs).items()}
    theirs = times.get(library)
    print(f"{suffix:12}{again.stat().st_size / 1e6:8.1f}{times['copy']:9.3f}{times['ours']:9.3f}"
          f"{times['ours'] / times['copy']:8.2f}"
          f"{peak(largest_process, ours) / MEBIBYTE:13.1f}{peak(largest_tree, ours) / MEBIBYTE:10.1f}"
          f"   {library:12}" + (f"{theirs:9.3f}{theirs / times['copy']:8.2f}"
                                f"{peak(largest_process, contenders[library][0]) / MEBIBYTE:13.1f}"
                                if theirs else "  not there"), flush=True)


def main(i3dconv, runs="11"):
    print(f"\n{'container':12}{'MB':>8}{'copy s':>9}{'ours s':>9}{'x copy':>8}{'process MiB':>13}"
          f"{'tree MiB':>10}   {'library':12}{'s':>9}{'x copy':>8}{'process MiB':>13}")
    with tempfile.TemporaryDirectory(prefix="i3dconv-bench-") as name:
        folder = pathlib.Path(name)
        subprocess.run([i3dconv, "zoo", "synth", "inception_v1", "--classes", "400", "-o",
                        folder / "flat.h5"], check=True)
        subprocess.run([i3dconv, "inflate", folder / "flat.h5", "-o", folder / "i3d.onnx"],
                       check=True)
        for suffix in CONTAINERS:
            rewrite(i3dconv, suffix, folder, int(runs))


main(*sys.argv[1:])
