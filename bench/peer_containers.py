"""Reads a checkpoint and writes it again with the Python library of its format.

    peer_containers.py FROM TO
"""

import sys


def hdf5(source, target):
    import h5py

    with h5py.File(source) as before, h5py.File(target, "w") as after:
        for key, value in before.attrs.items():
            after.attrs[key] = value
        for name in before:
            before.copy(name, after)


def keras(source, target):
    import keras

    keras.models.load_model(source, compile=False).save(target)


def npz(source, target):
    import numpy

    numpy.savez(target, **numpy.load(source))


def onnx(source, target):
    import onnx

    onnx.save(onnx.load(source), target)


def pytorch(source, target):
    import torch

    torch.save(torch.load(source), target)


def safetensors(source, target):
    from safetensors.numpy import load_file, save_file

    save_file(load_file(source), target)


LIBRARIES = {"h5": hdf5, "keras": keras, "npz": npz, "onnx": onnx, "pt": pytorch,
             "safetensors": safetensors}


def main(source, target):
    LIBRARIES[source.rpartition(".")[2]](source, target)


main(*sys.argv[1:])
