"""Long clips in windows: the numbers of the whole clip and of ONNX Runtime, in memory that
does not grow with the clip."""

import common

common.need("numpy", "onnxruntime")

import numpy
import onnxruntime

from common import i3dconv, peak_memory, require, require_close

SHORT, LONG, WINDOW = 96, 192, 16


def i3d(work):
    i3dconv("zoo", "synth", "inception_v1", "--seed", "3", "-o", work / "2d.onnx")
    i3dconv("inflate", work / "2d.onnx", "-o", work / "i3d.onnx")
    return work / "i3d.onnx"


def clip(work, frames):
    path = work / f"{frames}.npy"
    if not path.exists():
        numpy.save(path, numpy.random.default_rng(frames).standard_normal(
            (1, 3, frames, 224, 224), dtype="f4"))
    return path


def run(work, model, frames, window, name="out.npy", *options):
    i3dconv("run", model, clip(work, frames), "--window", window, "-o", work / name, *options)
    return numpy.load(work / name)


def test_windows_change_nothing(work):
    model = i3d(work)
    whole = run(work, model, 73, "all")
    for window in (7, 32, 64):
        require(numpy.array_equal(run(work, model, 73, window), whole),
                f"windows of {window} frames differ")
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    expected = session.run(None, {session.get_inputs()[0].name: numpy.load(clip(work, 73))})
    require_close(whole, expected[0], "ONNX Runtime")


def test_memory_is_flat(work):
    model = i3d(work)
    peaks = {}
    for frames in (SHORT, LONG):
        for window in (WINDOW, "all"):
            peaks[frames, window] = peak_memory("run", model, clip(work, frames), "--window",
                                                window, "-o", work / "out.npy")
            print(f"{frames} frames, windows of {window}: {peaks[frames, window] / 2**20:.0f} MiB")
    require(peaks[LONG, WINDOW] < 1.1 * peaks[SHORT, WINDOW], "windows: memory grows")
    require(peaks[LONG, "all"] > 1.5 * peaks[SHORT, "all"],
            "the whole clip's memory does not grow: this test tells nothing")


common.main()
