"""The storage layouts that Keras files come in read the same."""

import common

common.need("h5py", "numpy", "safetensors")

import h5py
import numpy
from safetensors.numpy import load_file

from common import i3dconv, require


def prepare(work):
    """A weights file of ours, and its tensors as our pipe format has them."""
    flat, tensors = work / "flat.h5", work / "flat.safetensors"
    if not flat.exists():
        i3dconv("zoo", "synth", "inception_v1", "--classes", 10, "-o", flat)
        i3dconv("convert", flat, "-o", tensors)
    return flat, load_file(tensors)


def text(name):
    return name.decode() if isinstance(name, bytes) else name


def copy(source, target, names_as=None, **storage):
    """Copies layer groups with the storage options given. names_as turns a list of names
    into an attribute's value."""
    names_as = names_as or (lambda names: numpy.array(names, dtype=h5py.string_dtype()))
    layers = [text(name) for name in source.attrs["layer_names"]]
    target.attrs["layer_names"] = names_as(layers)
    for layer in layers:
        names = [text(name) for name in source[layer].attrs["weight_names"]]
        group = target.create_group(layer)
        group.attrs["weight_names"] = names_as(names) if names else numpy.zeros(0)
        for name in names:
            group.create_dataset(name, data=source[layer][name][()], **storage)


def require_same(work, write, libver="earliest"):
    flat, expected = prepare(work)
    with h5py.File(flat) as source, h5py.File(work / "copy.h5", "w", libver=libver) as target:
        write(source, target)
    i3dconv("convert", work / "copy.h5", "-o", work / "copy.safetensors")
    found = load_file(work / "copy.safetensors")
    require(found.keys() == expected.keys(),
            f"names: {sorted(found.keys() ^ expected.keys())[:6]}")
    for name, values in expected.items():
        require(numpy.array_equal(found[name], values), f"{name} differs")


def test_contiguous_as_written_by_i3dconv(work):
    flat, found = prepare(work)
    with h5py.File(flat) as file:
        expected = {}
        for layer in map(text, file.attrs["layer_names"]):
            for name in map(text, file[layer].attrs["weight_names"]):
                expected[name] = file[layer][name][()]
    require(len(expected) == 57 * 4 + 2, f"{len(expected)} datasets")
    require(len(found) == len(expected), f"{len(found)} tensors")
    for name, values in expected.items():
        match = [tensor for tensor in found if tensor.endswith(name)]
        require(len(match) == 1 and numpy.array_equal(found[match[0]], values), f"{name} differs")


def test_contiguous_fixed_length_names(work):
    require_same(work, lambda source, target: copy(
        source, target, names_as=lambda names: numpy.array(names, dtype="S")))


def test_contiguous_variable_length_names(work):
    require_same(work, copy)


def test_chunked(work):
    require_same(work, lambda source, target: copy(source, target, chunks=True))


def test_gzip(work):
    require_same(work, lambda source, target: copy(source, target, compression="gzip"))


def test_gzip_shuffle_checksum(work):
    require_same(work, lambda source, target: copy(source, target, compression="gzip",
                                                   shuffle=True, fletcher32=True))


def test_newest_file_format(work):
    require_same(work, copy, libver="latest")


def test_saved_model_group(work):
    def write(source, target):
        target.attrs["model_config"] = "{}"
        copy(source, target.create_group("model_weights"))
    require_same(work, write)


common.main()
