"""Arrays of NumPy's own writer read bit for bit, and NumPy reads ours."""

import common

common.need("numpy", "safetensors")

import warnings
import zipfile

import numpy
from safetensors.numpy import load_file, save_file

from common import i3dconv, refusal, require


def there(work, array, **how):
    """What i3dconv reads from the .npy of an array, through safetensors."""
    numpy.save(work / "in.npy", array, **how)
    i3dconv("convert", work / "in.npy", "-o", work / "out.safetensors")
    found = load_file(work / "out.safetensors")
    require(list(found) == ["array"], f"{list(found)}")
    return found["array"]


def test_every_type_and_order(work):
    generator = numpy.random.default_rng(1)
    for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"):
        values = (generator.standard_normal((3, 4, 5)) * 40).astype(kind)
        for order in "CF":
            for end in "<>":
                array = numpy.asarray(values.astype(values.dtype.newbyteorder(end)), order=order)
                found = there(work, array)
                require(found.shape == values.shape and found.dtype == values.dtype,
                        f"{kind}: {found.dtype} {found.shape}")
                require(numpy.array_equal(found, values), f"{kind} {order} {end} differs")


def test_shapes_and_versions(work):
    for shape in ((), (1,), (7,), (0, 3), (1, 2, 3, 4, 5, 6, 7, 8)):
        array = numpy.arange(numpy.prod(shape, dtype=int), dtype="f4").reshape(shape)
        require(numpy.array_equal(there(work, array), array), f"{shape} differs")
    for version in ((1, 0), (2, 0), (3, 0)):
        array = numpy.arange(6, dtype="i8").reshape(2, 3)
        with open(work / "in.npy", "wb") as file:
            numpy.lib.format.write_array(file, array, version=version)
        i3dconv("convert", work / "in.npy", "-o", work / "out.safetensors")
        require(numpy.array_equal(load_file(work / "out.safetensors")["array"], array),
                f"version {version} differs")


def test_numpy_reads_ours(work):
    generator = numpy.random.default_rng(2)
    for kind in ("f2", "f4", "f8", "i1", "i4", "i8", "u1", "u8", "?"):
        for shape in ((), (5,), (2, 3, 4)):
            values = (generator.standard_normal(shape) * 40).astype(kind)
            save_file({"x": numpy.atleast_1d(values) if shape == () else values},
                      work / "in.safetensors")
            i3dconv("convert", work / "in.safetensors", "-o", work / "out.npy")
            found = numpy.load(work / "out.npy")
            require(found.dtype == values.dtype and numpy.array_equal(found.reshape(shape), values),
                    f"{kind} {shape} differs")
    piped = i3dconv("convert", work / "out.npy", "--to", "npy", "-o", "-")
    require(piped == (work / "out.npy").read_bytes(), "the pipe has other bytes")


def test_archives(work):
    """.npz in both directions, compressed and stored; names as TensorFlow has them."""
    generator = numpy.random.default_rng(3)
    arrays = {f"RGB/unit_{kind}/w": (generator.standard_normal((3, 4, 5)) * 40).astype(kind)
              for kind in ("f2", "f4", "f8", "i1", "i4", "i8", "u1", "u8", "?")}
    arrays |= {"empty": numpy.zeros((0, 3), "f4"), "scalar": numpy.array(5),
               "columns": numpy.asarray(arrays["RGB/unit_f4/w"], order="F"),
               "turned": arrays["RGB/unit_f8/w"].astype(">f8")}
    for save in (numpy.savez, numpy.savez_compressed):
        save(work / "in.npz", **arrays)
        i3dconv("convert", work / "in.npz", "-o", work / "out.npz")
        i3dconv("convert", work / "out.npz", "-o", work / "again.npz")
        found = numpy.load(work / "out.npz")
        require(list(found) == list(arrays), f"{list(found)}")
        for name, array in arrays.items():
            require(found[name].dtype == array.dtype.newbyteorder("=")
                    and numpy.array_equal(found[name], array), f"{name} differs")
        require((work / "out.npz").read_bytes() == (work / "again.npz").read_bytes(),
                "the copy of a copy differs")


def test_broken_archives(work):
    array = numpy.arange(24, dtype="f4").reshape(2, 3, 4)
    numpy.savez(work / "good.npz", first=array, second=array)
    good, bad = (work / "good.npz").read_bytes(), work / "bad.npz"
    for length in range(40, len(good)):
        bad.write_bytes(good[:length])
        refusal("convert", bad, "-o", work / "no.safetensors", status=3)
    for old, new in ((array.tobytes(), bytes(array.nbytes)),
                     (b"'<f4'", b"'<f8'"), (b"(2, 3, 4)", b"(9, 9, 9)")):
        bad.write_bytes(good.replace(old, new))
        refusal("convert", bad, "-o", work / "no.safetensors", status=3)
    with zipfile.ZipFile(bad, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            archive.write(work / "in.npy", "twice.npy")
    require("twice" in refusal("convert", bad, "-o", work / "no.safetensors", status=3), "why?")
    require(not (work / "no.safetensors").exists(), "something was written")


def test_malformed(work):
    array = numpy.arange(24, dtype="f4").reshape(2, 3, 4)
    numpy.save(work / "good.npy", array)
    good = (work / "good.npy").read_bytes()
    bad = work / "bad.npy"
    for length in [*range(6, 12), 40, 100, 127, len(good) - 1]:
        bad.write_bytes(good[:length])
        i3dconv("convert", bad, "-o", work / "no.safetensors", status=3)
    headers = {b"(2, 3, 4)": [b"(2, 3, 5)", b"(2, -3, 4", b"2, 3, 4, ", b"(2, 3, 4 "],
               b"'<f4'": [b"'<f9'", b"'<O4'", b"[<f4]"], b"False": [b"Maybe"],
               b"'shape'": [b"'shapo'", b"'descr'"]}
    for word, others in headers.items():
        for other in others:
            bad.write_bytes(good.replace(word, other))
            done = i3dconv_fails(bad, work / "no.safetensors")
            require(done in (3, 4), f"{other}: exit {done}")
    require(not (work / "no.safetensors").exists(), "something was written")


def i3dconv_fails(source, target):
    import subprocess

    return subprocess.run([common.I3DCONV, "convert", source, "-o", target],
                          capture_output=True).returncode


common.main()
