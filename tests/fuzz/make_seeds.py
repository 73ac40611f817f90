"""Writes the small valid files that the fuzz test damages: seeds/, several/ and pictures/ in
the folder given. Each shows one way of storing; those in several/ name other files, which lie
beside them. The files here were made by it (h5py 3.14, onnx 1.23, PyTorch 1.13, safetensors
0.8, TensorFlow 2.21, Pillow 9.4.0).

    make_seeds.py FOLDER
"""

import json
import pathlib
import sys
import zipfile

import h5py
import numpy
import onnx
import safetensors.numpy
import tensorflow
import torch
from PIL import Image
from onnx import TensorProto, helper, numpy_helper

KERNEL = numpy.arange(3 * 3 * 2 * 4, dtype="f4").reshape(3, 3, 2, 4) / 7
LAYERS = {
    "input": {},
    "conv": {"conv/kernel:0": KERNEL, "conv/bias:0": KERNEL[0, 0, 0]},
    "norm": {f"norm/{name}:0": KERNEL[0, 0, 1] + 1
             for name in ("beta", "moving_mean", "moving_variance")},
}


def variable_length(names):
    return numpy.array(names, dtype=h5py.string_dtype())


def fixed_length(names):
    return numpy.array(names, dtype="S") if names else numpy.zeros(0)


def keras_file(path, to_names, saved_model=False, libver="earliest", **storage):
    with h5py.File(path, "w", libver=libver) as file:
        root = file.create_group("model_weights") if saved_model else file
        root.attrs["layer_names"] = to_names(list(LAYERS))
        for layer, weights in LAYERS.items():
            group = root.create_group(layer)
            group.attrs["weight_names"] = to_names(list(weights))
            for name, values in weights.items():
                group.create_dataset(name, data=values, **storage)


def hdf5_seeds(folder):
    keras_file(folder / "contiguous.h5", fixed_length)
    keras_file(folder / "saved_model.h5", variable_length, saved_model=True)
    keras_file(folder / "chunked_gzip.h5", variable_length, chunks=True, compression="gzip",
               shuffle=True, fletcher32=True)
    keras_file(folder / "newest_format.h5", variable_length, libver="latest")


def described_layer(class_name, name, before, **config):
    calls = [[[before, 0, 0, {}]]] if before else []
    return {"class_name": class_name, "name": name, "config": {"name": name, **config},
            "inbound_nodes": calls}


DESCRIPTION = json.dumps({"class_name": "Functional", "config": {"name": "net", "layers": [
    described_layer("InputLayer", "input", None, batch_shape=[None, 8, 8, 2]),
    described_layer("Conv2D", "conv", "input", kernel_size=[3, 3], strides=[2, 2],
                    padding="same", activation="relu6"),
    described_layer("BatchNormalization", "norm", "conv", scale=False),
    described_layer("MaxPooling2D", "pool", "norm", pool_size=[2, 2]),
    described_layer("Reshape", "flat", "pool", target_shape=[2, 8]),
    described_layer("Permute", "turn", "flat", dims=[2, 1]),
    described_layer("Flatten", "all", "turn"),
], "input_layers": [["input", 0, 0]], "output_layers": [["all", 0, 0]]}})


def keras_seeds(folder):
    keras_file(folder / "described.h5", variable_length, saved_model=True, libver="latest")
    with h5py.File(folder / "described.h5", "r+") as file:
        file.attrs["keras_version"] = "2.15.0"
        file.attrs["model_config"] = DESCRIPTION
    with h5py.File(folder / "weights", "w", libver="latest") as file:
        for layer, key in (("conv", "conv2d"), ("norm", "batch_normalization")):
            for k, values in enumerate(LAYERS[layer].values()):
                file.create_dataset(f"layers/{key}/vars/{k}", data=values)
    with zipfile.ZipFile(folder / "network.keras", "w") as archive:
        for name, text in (("metadata.json", '{"keras_version": "3.0.0"}'),
                           ("config.json", DESCRIPTION)):
            archive.writestr(zipfile.ZipInfo(name), text)
        archive.writestr(zipfile.ZipInfo("model.weights.h5"),
                         (folder / "weights").read_bytes())
    (folder / "weights").unlink()


def typed(name, values):
    """A tensor in float_data rather than raw_data."""
    return helper.make_tensor(name, TensorProto.FLOAT, values.shape, values.ravel().tolist())


def small_graph():
    oihw = numpy.ascontiguousarray(KERNEL.transpose(3, 2, 0, 1))
    nodes = [
        helper.make_node("Constant", [], ["bias"], value=typed("", KERNEL[0, 0, 0])),
        helper.make_node("Identity", ["scale"], ["variance"]),
        helper.make_node("Conv", ["image", "kernel", "bias"], ["a"], name="conv",
                         kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("BatchNormalization", ["a", "scale", "bias", "bias", "variance"], ["b"],
                         epsilon=1e-3),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("MaxPool", ["c"], ["d"], kernel_shape=[3, 3], auto_pad="SAME_UPPER"),
        helper.make_node("Concat", ["c", "d"], ["e"], axis=1),
        helper.make_node("GlobalAveragePool", ["e"], ["f"]),
        helper.make_node("Reshape", ["f", "shape"], ["scores"]),
    ]
    return helper.make_graph(
        nodes, "seed",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 2, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(oihw, "kernel"), typed("scale", KERNEL[0, 0, 1] + 1),
         numpy_helper.from_array(numpy.array([0, -1]), "shape")],
        doc_string="a small network")


def onnx_seeds(folder):
    model = helper.make_model(small_graph(), opset_imports=[helper.make_opsetid("", 13)],
                              producer_name="make_seeds")
    helper.set_model_props(model, {"key": "value"})
    onnx.save(model, folder / "network.onnx")


def archive_seeds(folder):
    numpy.savez(folder / "arrays.npz", kernel=KERNEL, bias=KERNEL[0, 0, 0].astype(">f8"))
    state = {"conv.weight": torch.from_numpy(KERNEL).permute(3, 2, 0, 1),
             "norm.mean": torch.from_numpy(KERNEL)[0, 0, 1].half(),
             "norm.batches": torch.tensor(7)}
    torch.save({"epoch": 1, "state_dict": state}, folder / "checkpoint.pt")
    torch.save(state, folder / "before_1_6.pt", _use_new_zipfile_serialization=False)
    numpy.save(folder / "array.npy", KERNEL)
    tensors = {"kernel": KERNEL, "bias": KERNEL[0, 0, 0].astype("f2")}
    safetensors.numpy.save_file(tensors, folder / "tensors.safetensors", {"key": "value"})


def save_checkpoint(path, version):
    v1 = tensorflow.compat.v1
    with tensorflow.Graph().as_default(), v1.Session() as session:
        v1.get_variable("conv/kernel", initializer=KERNEL)
        v1.get_variable("rows", (10, 6), partitioner=v1.fixed_size_partitioner(3))
        v1.get_variable("step", initializer=numpy.int64(-7))
        session.run(v1.global_variables_initializer())
        v1.train.Saver(write_version=version).save(
            session, str(path), latest_filename="latest", write_meta_graph=False)
    (path.parent / "latest").unlink()


def checkpoint_seeds(folder, several):
    """TensorFlow's checkpoints. Their blocks are plain, as TensorFlow writes them today."""
    version = tensorflow.compat.v1.train.SaverDef
    save_checkpoint(folder / "variables.ckpt", version.V1)
    save_checkpoint(several / "bundle", version.V2)


def seeds_of_several_files(folder):
    model = helper.make_model(small_graph(), opset_imports=[helper.make_opsetid("", 13)])
    onnx.save(model, folder / "external.onnx", save_as_external_data=True,
              location="external.data", size_threshold=0)
    places = {}
    for number, (name, values) in enumerate((("kernel", KERNEL), ("bias", KERNEL[0, 0, 0])), 1):
        places[name] = f"model-{number:05d}-of-00002.safetensors"
        safetensors.numpy.save_file({name: values}, folder / places[name])
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": 304}, "weight_map": places}))


def picture_seeds(folder):
    values = numpy.arange(9 * 13 * 4, dtype="u1").reshape(9, 13, 4) * 7
    rgba = Image.fromarray(values)
    rgb, grey = rgba.convert("RGB"), rgba.convert("L")
    rgba.save(folder / "rgba.png")
    rgb.save(folder / "rgb.png")
    rgb.quantize(16).save(folder / "palette.png", transparency=3)
    grey.convert("1").save(folder / "one_bit.png")
    Image.fromarray(values[:, :, 0].astype("u2") * 257).save(folder / "sixteen_bits.png")
    rgb.save(folder / "baseline.jpg", quality=80)
    rgb.save(folder / "progressive.jpg", progressive=True, subsampling=0)
    grey.save(folder / "grey.jpg", optimize=True)


def main(folder):
    folder = pathlib.Path(folder)
    seeds, several, pictures = folder / "seeds", folder / "several", folder / "pictures"
    for each in (seeds, several, pictures):
        each.mkdir(parents=True, exist_ok=True)
    hdf5_seeds(seeds)
    keras_seeds(seeds)
    onnx_seeds(seeds)
    archive_seeds(seeds)
    checkpoint_seeds(seeds, several)
    seeds_of_several_files(several)
    picture_seeds(pictures)


main(sys.argv[1])
