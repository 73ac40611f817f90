"""Networks of many families inflate under every recipe, and keep the fixed point in ONNX
Runtime on a boring video: with edge padding in time every value at every frame, with zero
padding the deepest value that has a clean frame. Their kernels are numpy's, bit for bit."""

import common

common.need("torch", "torchvision", "onnx", "onnxruntime")

import sys

import time

import onnx

import expected_kernels
import families
import fixed_point
from common import i3dconv, require

RECIPES = ["isotropic", "keep-frames", "framewise"]


def inflate(flat, inflated, recipe, size, *options):
    i3dconv("inflate", flat, "-o", inflated, "--recipe", recipe, "--input-shape", size, *options,
            quiet=True)
    onnx.checker.check_model(str(inflated), full_check=True)


def check(work, name, recipe):
    """One line of the table."""
    flat, image = families.make(work, name)
    frames = families.frames(name, recipe)
    inflated = work / f"{name}-{recipe}.onnx"
    channels_last = image.shape[-1] == 3
    size = ",".join(map(str, image.shape[1:3] if channels_last else image.shape[2:]))
    inflate(flat, inflated, recipe, size, "--temporal-padding", "edge", "--frames", frames)
    worst, count = fixed_point.compare(flat, inflated, image, frames)
    if name not in families.HEAVY or recipe == "keep-frames":
        i3dconv("verify", flat, inflated, "--frames", frames, "--input-shape", size, "--tolerance",
                common.TOLERANCE, "--quiet", quiet=True)
    inflate(flat, inflated, recipe, size)
    expected_kernels.require_kernels(flat, inflated)
    zero = fixed_point.Zero(flat, inflated, image, families.frames(name, recipe, "zero"))
    inflated.unlink()
    result = "none at any length" if zero.never else "clean" if zero.clean.all() else "longer"
    print(f"# {name:20} {recipe:12} {frames:3} {worst:8.1e} at {count:3} | {zero.error:8.1e} at "
          f"{zero.deepest:40} {result}", flush=True)


def test_every_family(work):
    failures = []
    begun = time.monotonic()
    print("# network              recipe       T, edge padding: error at values | zero padding: "
          "error at the deepest clean value, clean frames of the result")
    for name in sys.argv[1:] or families.NAMES:
        for recipe in RECIPES:
            try:
                check(work, name, recipe)
            except Exception as failure:  # the table goes on
                print(f"# {name:24} {recipe:12} FAILED", flush=True)
                print("#   ", "\n#    ".join(str(failure).splitlines()), flush=True)
                failures.append(name)
        families.forget(work, name)
    print(f"# {time.monotonic() - begun:.0f} seconds")
    require(not failures, f"failed: {failures}")


common.main()
