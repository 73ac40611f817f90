"""The architectures against keras.applications: each parameter has the name and shape that it
has there, Keras loads what was made, what Keras saved binds, and both compute what ONNX Runtime
computes from the graph that the weights are bound to."""

import os

import common

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
common.need("keras", "tensorflow", "h5py", "onnx", "onnxruntime")

import h5py
import keras
import numpy
from keras.src.legacy.saving import legacy_h5_format

import networks
import onnx_tools
from common import i3dconv, require, require_close

CLASSES = 7
KERAS = {"ResNet50": "resnet50_keras", "VGG16": "vgg16", "VGG19": "vgg19",
         "DenseNet121": "densenet121", "MobileNetV2": "mobilenet_v2_keras"}
IMAGE = onnx_tools.seeded_image()


def bound_logits(path, work):
    graph = work / "bound.onnx"
    i3dconv("convert", path, "-o", graph)
    onnx_tools.require_valid(graph)
    logits = onnx_tools.run(graph, IMAGE)[0].reshape(1, -1)
    graph.unlink()
    return logits


def keras_network(name):
    application = getattr(keras.applications, name)
    return application(weights=None, classes=CLASSES, classifier_activation=None)


def keras_logits(network):
    return network.predict(numpy.moveaxis(IMAGE, 1, -1), verbose=0)


def test_keras_loads_and_computes_the_same(work):
    for name, architecture in KERAS.items():
        path = work / "made.h5"
        i3dconv("zoo", "synth", architecture, "--seed", 4, "--classes", CLASSES, "-o", path,
                "--dialect", "keras-applications-" + architecture.removesuffix("_keras"))
        network = keras_network(name)
        with h5py.File(path) as file:
            for layer in network.layers:
                for weight in layer.weights:
                    key = f"{layer.name}/{layer.name}/{weight.name}:0"
                    require(key in file, f"{name}: no {key}")
                    require(file[key].shape == tuple(weight.shape), f"{name}: {key}")
        network.load_weights(path)
        with h5py.File(path) as file:
            for layer in network.layers:
                for weight in layer.weights:
                    value = file[f"{layer.name}/{layer.name}/{weight.name}:0"][()]
                    require((weight.numpy() == value).all(), f"{name}: {layer.name} got another")
        require_close(bound_logits(path, work), keras_logits(network), name)
        path.unlink()


def test_what_keras_saved_binds(work):
    for name, architecture in KERAS.items():
        path = work / "saved.h5"
        network = keras_network(name)
        networks.fill_keras(network, seed=11)
        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, network)
        said = i3dconv("inspect", path).decode()
        require(f"architecture  {architecture}, 2D" in said, said[:300])
        require_close(bound_logits(path, work), keras_logits(network), name)
        path.unlink()


common.main()
