"""HDF5 between i3dconv and Keras: what Keras saved inflates and verifies and gives Keras'
own logits; what i3dconv wrote loads into Keras' I3D and computes the same there."""

import os

import common

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
common.need("keras", "tensorflow", "h5py", "onnx", "onnxruntime")

import functools

import h5py
import numpy
from keras.src.legacy.saving import legacy_h5_format

import networks
import onnx_tools
from common import i3dconv, inflate_and_verify, require, require_close

CLASSES = 1000
FRAMES = 16


@functools.cache
def keras_network():
    model = networks.KerasInception(axes=2, channels=3, classes=CLASSES).model
    networks.fill_keras(model, seed=11)
    return model


def saved_model(work):
    path = work / "saved.h5"
    if not path.exists():
        keras_network().save(path)
    return path


def require_inflates(flat, work):
    """Verify passes, and on a boring video ONNX Runtime gives the logits that Keras computes
    for the image."""
    inflated = inflate_and_verify(flat, work / "inflated.onnx")
    onnx_tools.require_valid(inflated)
    i3dconv("inflate", flat, "-o", work / "edge.onnx", "--temporal-padding", "edge",
            "--frames", FRAMES)
    image = onnx_tools.seeded_image()
    expected = keras_network().predict(numpy.moveaxis(image, 1, -1), verbose=0)
    actual = onnx_tools.run(work / "edge.onnx", onnx_tools.boring_video(image, FRAMES))[0]
    require_close(actual.reshape(expected.shape), expected, "against Keras' own 2D logits")


def test_model_saved_by_keras(work):
    require_inflates(saved_model(work), work)


def test_weights_saved_by_keras(work):
    path = work / "weights.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, keras_network())
    require_inflates(path, work)


def require_runs_in_keras(work, channels, *options):
    """The HDF5 file, loaded by Keras into I3D built of Keras layers, computes what the ONNX
    file of the same inflation computes in ONNX Runtime, for a random clip and the zero
    padding that both have."""
    for name in ("i3d.h5", "i3d.onnx"):
        i3dconv("inflate", saved_model(work), "-o", work / name, *options)
    model = networks.KerasInception(axes=3, channels=channels, classes=CLASSES,
                                    frames=FRAMES).model
    model.load_weights(work / "i3d.h5")
    clip = numpy.random.default_rng(12).standard_normal(
        (1, channels, FRAMES, 224, 224)).astype("f4")
    expected = model.predict(numpy.moveaxis(clip, 1, -1), verbose=0)
    actual = onnx_tools.run(work / "i3d.onnx", clip)[0]
    require_close(actual.reshape(expected.shape), expected, "ONNX Runtime against Keras' I3D")


def test_rgb_stream_loads_into_keras(work):
    require_runs_in_keras(work, 3)


def test_flow_stream_loads_into_keras(work):
    require_runs_in_keras(work, 2, "--stream", "flow")


def test_flow_stream_names_and_shapes(work):
    i3dconv("inflate", saved_model(work), "-o", work / "flow.h5", "--stream", "flow")
    found = {}
    with h5py.File(work / "flow.h5") as file:
        for layer in file.attrs["layer_names"]:
            layer = layer.decode() if isinstance(layer, bytes) else layer
            for weight in file[layer].attrs["weight_names"]:
                weight = weight.decode() if isinstance(weight, bytes) else weight
                found[f"{layer}/{weight}"] = file[layer][weight].shape
    expected = networks.keras_parameters(axes=3, channels=2, classes=CLASSES)
    require(found == expected, f"they differ in {sorted(found.items() ^ expected.items())[:6]}")


common.main()
