"""Networks of many families inflate under every recipe, and keep the fixed point in ONNX
Runtime on a boring video: with edge padding in time every value at every frame, with zero
padding the deepest value that has a clean frame. Their kernels are numpy's, bit for bit."""

import common

common.need("torch", "torchvision", "onnx", "onnxruntime")

import concurrent.futures
import os
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


def check(path, flat, name, recipe):
    """One line of the table."""
    frames = families.frames(name, recipe)
    inflated = path.with_name(f"{name}-{recipe}.onnx")
    channels_last = flat.image.shape[-1] == 3
    size = ",".join(map(str, flat.image.shape[1:3] if channels_last else flat.image.shape[2:]))
    inflate(path, inflated, recipe, size, "--temporal-padding", "edge", "--frames", frames)
    worst, count = fixed_point.compare(flat, inflated, frames)
    if name not in families.HEAVY or recipe == "keep-frames":
        back = path.with_name(f"{name}-back.onnx")
        i3dconv("deflate", inflated, "-o", back, "--like", path, quiet=True)
        expected_kernels.require_deflated(flat.model, back, 1)
        back.unlink()
        i3dconv("verify", path, inflated, "--frames", frames, "--input-shape", size,
                "--tolerance", common.TOLERANCE, "--quiet", quiet=True)
    inflate(path, inflated, recipe, size)
    expected_kernels.require_kernels(flat.model, inflated)
    zero = fixed_point.Zero(flat, inflated, families.frames(name, recipe, "zero"))
    inflated.unlink()
    result = "none at any length" if zero.never else "clean" if zero.clean.all() else "longer"
    return (f"{name:20} {recipe:12} {frames:3} {worst:8.1e} at {count:3} | {zero.error:8.1e} at "
            f"{zero.deepest:40} {result}")


def check_half(path, name):
    """In float16, down from 3D again: 3 units in the last place."""
    half, inflated, back = (path.with_name(f"{name}-{stage}.onnx")
                            for stage in ("half", "half3d", "halfback"))
    i3dconv("convert", path, "-o", half, "--dtype", "float16", quiet=True)
    i3dconv("inflate", half, "-o", inflated, "--recipe", "isotropic", quiet=True)
    i3dconv("deflate", inflated, "-o", back, "--like", half, quiet=True)
    worst = expected_kernels.require_deflated(half, back, 3)
    for file in (half, inflated, back):
        file.unlink()
    return f"{name:20} float16: {worst:.2f} units in the last place off after deflate"


def check_family(work, name):
    """A network's lines of the table, and how many recipes failed."""
    lines, failed = [], 0
    path, image = families.make(work, name)
    flat = fixed_point.Flat(path, image)
    lines.append(check_half(path, name))
    for recipe in RECIPES:
        try:
            lines.append(check(path, flat, name, recipe))
        except Exception as failure:  # the table goes on
            lines += [f"{name:20} {recipe:12} FAILED", *str(failure).splitlines()]
            failed += 1
    families.forget(work, name)
    return lines, failed


def test_every_family(work):
    """One process a processor: exporting and comparing do not share well among threads."""
    os.environ["OMP_NUM_THREADS"] = "1"
    names = sorted(sys.argv[1:] or families.NAMES, key=lambda name: name not in families.HEAVY)
    begun, failed = time.monotonic(), 0
    print("# network              recipe       T, edge padding: error at values | zero padding: "
          "error at the deepest clean value, clean frames of the result")
    with concurrent.futures.ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for lines, failures in pool.map(check_family, [work] * len(names), names):
            print(*(f"# {line}" for line in lines), sep="\n", flush=True)
            failed += failures
    print(f"# {time.monotonic() - begun:.0f} seconds")
    require(not failed, f"{failed} of {len(names) * len(RECIPES)} failed")


common.main()
