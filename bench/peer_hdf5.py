"""The work of `i3dconv inflate 2d.h5 -o 3d.h5` as a short h5py script does it."""

import sys

import h5py
import numpy


def inflate(values):
    if values.ndim != 4:
        return values
    size = values.shape[0]
    return numpy.repeat((values / numpy.float32(size))[None], size, axis=0)


def text(name):
    return name.decode() if isinstance(name, bytes) else name


def to_3d(name):
    return text(name).replace("Conv2d", "Conv3d")


def main(source_path, target_path):
    with h5py.File(source_path) as source, h5py.File(target_path, "w") as target:
        layers = source.attrs["layer_names"]
        target.attrs["layer_names"] = [to_3d(layer) for layer in layers]
        for layer in map(text, layers):
            names = [text(name) for name in source[layer].attrs["weight_names"]]
            group = target.create_group(to_3d(layer))
            group.attrs["weight_names"] = [to_3d(name) for name in names]
            for name in names:
                group[to_3d(name)] = inflate(source[layer][name][()])


main(*sys.argv[1:])
