"""Checkpoints that TensorFlow writes, of both kinds, are read bit for bit: every type,
partitioned variables, several data files, what tf.train.Checkpoint calls things; optimizers'
slots stay out. The I3D of Sonnet's names is recognised in them and goes into other dialects.
What was damaged since is refused with the tensor's name."""

import os

import common

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
common.need("tensorflow", "torch", "safetensors")

import logging
import pathlib
import shutil

import numpy
import safetensors
import tensorflow
import torch

from common import i3dconv, refusal, require

v1 = tensorflow.compat.v1
logging.getLogger("tensorflow").setLevel(logging.ERROR)
VERSIONS = {"v1": v1.train.SaverDef.V1, "v2": v1.train.SaverDef.V2}
TYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16",
         "bool")
# TensorFlow's V1 writer knows none of these.
NEW_TYPES = ("bfloat16", "uint32", "uint64")


def values(kind):
    """Negative numbers where the type has them, of a length that is no power of two."""
    if kind == "bool":
        return numpy.array([[True, False, True]])
    numbers = numpy.arange(-60, 61) if not kind.startswith("u") else numpy.arange(121)
    if kind == "bfloat16":
        return (numbers / 7).astype(tensorflow.bfloat16.as_numpy_dtype)
    return (numbers / 7 if kind.startswith("float") else numbers * 2).astype(kind).reshape(11, 11)


def variables(version):
    """Variables of every kind, and {name: values} as they are after initialisation."""
    kinds = TYPES + (NEW_TYPES if version == "v2" else ())
    made = [v1.get_variable(f"of/{kind}", initializer=values(kind)) for kind in kinds]
    made.append(v1.get_variable("scalar", initializer=numpy.float32(2.5)))
    made.append(v1.get_variable("empty", initializer=numpy.zeros((0, 3), "f4")))
    made.append(v1.get_variable("of/large", initializer=tensorflow.random.normal((300, 1001))))
    made.append(v1.get_variable("Adam", initializer=numpy.float32(1)))  # a layer's name
    parts = [v1.get_variable("rows", (10, 6, 2),
                             partitioner=v1.fixed_size_partitioner(3)),
             v1.get_variable("columns", (300, 170),
                             partitioner=v1.fixed_size_partitioner(2, axis=1))]
    return made, parts


def same(actual, expected, what):
    require(actual.dtype == expected.dtype and actual.shape == expected.shape
            and actual.tobytes() == expected.tobytes(), f"{what} differs")


def read_npz(path, expected):
    i3dconv("convert", path, "-o", path.parent / "read.npz")
    read = numpy.load(path.parent / "read.npz")
    require(set(read) == set(expected), f"{sorted(set(read) ^ set(expected))}")
    for name, tensor in expected.items():
        same(read[name], tensor, name)


def save(folder, version, sharded=False):
    """A training's checkpoint: {name: values} of what is not the optimizer's."""
    folder.mkdir()
    prefix = folder / "model.ckpt-7"
    with tensorflow.Graph().as_default():
        made, parts = variables(version)
        step = v1.train.get_or_create_global_step()
        loss = sum(tensorflow.reduce_sum(part) for whole in parts for part in whole)
        v1.train.AdamOptimizer().minimize(loss + made[1][0, 0])
        v1.train.MomentumOptimizer(0.1, 0.9).minimize(loss)
        v1.train.ExponentialMovingAverage(0.9).apply(made[:2])
        saver = v1.train.Saver(write_version=VERSIONS[version], sharded=sharded)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            saver.save(session, str(prefix), write_meta_graph=False)
            expected = {variable.op.name: session.run(variable) for variable in made}
            expected |= {whole.name: session.run(whole.as_tensor()) for whole in parts}
            expected["global_step"] = session.run(step)
    return prefix, expected


def check_reading(prefix, expected):
    if "of/bfloat16" in expected:
        read_safetensors(prefix, expected)
    else:
        read_npz(prefix, expected)


def read_safetensors(prefix, expected):
    """NumPy's files hold no bfloat16, safetensors hold all."""
    path = prefix.parent / "read.safetensors"
    i3dconv("convert", prefix, "-o", path)
    with safetensors.safe_open(path, "np") as file:
        require(set(file.keys()) == set(expected), f"{set(file.keys()) ^ set(expected)}")
        for name, tensor in expected.items():
            if tensor.dtype != tensorflow.bfloat16.as_numpy_dtype:
                same(file.get_tensor(name), tensor, name)
    with safetensors.safe_open(path, "pt") as file:
        same(file.get_tensor("of/bfloat16").view(torch.int16).numpy(),
             expected["of/bfloat16"].view("int16"), "of/bfloat16")


def test_v2(work):
    prefix, expected = save(work / "v2", "v2")
    check_reading(prefix, expected)
    require("TensorFlow checkpoint" in i3dconv("inspect", prefix).decode(), "not named")


def test_v2_of_several_data_files(work):
    folder = work / "sharded"
    folder.mkdir()
    left = tensorflow.Variable(tensorflow.random.normal((7, 5)))
    right = tensorflow.Variable(tensorflow.range(9))
    prefixes = []
    for number, (name, variable) in enumerate({"left": left, "right": right}.items()):
        prefixes.append(str(folder / f"part-{number}"))
        tensorflow.raw_ops.SaveV2(prefix=prefixes[-1], tensor_names=[name],
                                  shape_and_slices=[""], tensors=[variable.value()])
    tensorflow.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=prefixes,
                                          destination_prefix=str(folder / "whole"))
    require(len(list(folder.glob("whole.data-*-of-00002"))) == 2, "TensorFlow made one file")
    read_npz(folder / "whole", {"left": left.numpy(), "right": right.numpy()})
    (folder / "whole.data-00001-of-00002").unlink()
    message = refusal("convert", folder / "whole", "-o", work / "none.npz", status=5)
    require("whole.data-00001-of-00002" in message, message)


def test_v1(work):
    prefix, expected = save(work / "v1", "v1")
    check_reading(prefix, expected)


def test_ways_to_name_it(work):
    prefix, _ = save(work / "named", "v2")
    whole = i3dconv("inspect", prefix)
    require(i3dconv("inspect", f"{prefix}.index") == whole, "the index is read otherwise")
    require(i3dconv("inspect", prefix.parent) == whole, "the folder is read otherwise")
    listed = prefix.parent / "checkpoint"
    for path in ("model.ckpt-7", "/home/else/where/model.ckpt-7"):
        listed.write_text(f'model_checkpoint_path: "{path}"\n')
        require(i3dconv("inspect", prefix.parent) == whole, f"{path} is not found")
    listed.write_text('model_checkpoint_path: "../named/model.ckpt-7"\n')
    message = refusal("inspect", prefix.parent, status=3)
    require("inside its folder" in message, message)
    shutil.copy(f"{prefix}.index", work / "renamed")
    require("index" in refusal("inspect", work / "renamed", status=4), "not explained")


def test_object_names(work):
    class Net(tensorflow.Module):
        def __init__(self):
            self.kernel = tensorflow.Variable(tensorflow.random.normal((3, 3, 2, 4)))
            self.inner = tensorflow.Module()
            self.inner.bias = tensorflow.Variable(tensorflow.zeros(4))

    net = Net()
    checkpoint = tensorflow.train.Checkpoint(net=net)
    saved = checkpoint.save(str(work / "objects"))
    read_npz(pathlib.Path(saved), {"net/kernel": net.kernel.numpy(),
                                          "net/inner/bias": net.inner.bias.numpy()})


def save_i3d(path, names, version):
    """Weights of those names with a training's slots beside them."""
    with tensorflow.Graph().as_default(), v1.Session() as session:
        for name, tensor in names.items():
            variable = v1.get_variable(name, initializer=tensor)
            slot = v1.get_variable(name + "/Momentum", initializer=tensor * 0)
            session.run([variable.initializer, slot.initializer])
        session.run(v1.train.get_or_create_global_step().initializer)
        v1.train.Saver(write_version=VERSIONS[version]).save(session, str(path),
                                                             write_meta_graph=False)


def test_sonnet_i3d(work):
    for stream, dialect, classes in (("rgb", "sonnet", 400), ("flow", "sonnet", 400),
                                     ("rgb", "sonnet-kin600", 600)):
        flat, inflated = work / "flat.h5", work / "i3d.safetensors"
        i3dconv("zoo", "synth", "inception_v1", "--seed", 31, "--classes", classes, "-o", flat)
        i3dconv("inflate", flat, "--stream", stream, "-o", inflated)
        i3dconv("convert", inflated, "-o", work / "names.npz", "--dialect", dialect)
        i3dconv("convert", inflated, "-o", work / "expected.pt", "--dialect", "pytorch-i3d")
        names = dict(numpy.load(work / "names.npz"))
        for version in VERSIONS if stream == "flow" else ("v2",):
            path = work / f"{stream}-{classes}-{version}"
            save_i3d(path, names, version)
            said = i3dconv("inspect", path).decode()
            require(dialect in said and stream in said and str(classes) in said, said[:400])
            read_npz(path, names | {"global_step": numpy.int64(0)})
            i3dconv("convert", path, "-o", work / "out.pt", "--dialect", "pytorch-i3d")
            actual, expected = (torch.load(work / name) for name in ("out.pt", "expected.pt"))
            require(set(actual) == set(expected)
                    and all(torch.equal(actual[name], expected[name]) for name in expected),
                    f"{stream} of {version} differs in PyTorch's names")


def test_damaged_elements(work):
    prefix, _ = save(work / "damaged", "v2")
    data = work / "damaged" / "model.ckpt-7.data-00000-of-00001"
    whole = data.read_bytes()
    large = len(whole) // 2  # of/large is by far the largest
    data.write_bytes(whole[:large] + bytes([whole[large] ^ 1]) + whole[large + 1:])
    message = refusal("convert", prefix, "-o", work / "out.safetensors", status=3)
    require("tensor of/large" in message and "checksum" in message, message)
    require(not (work / "out.safetensors").exists(), "something was written")
    data.write_bytes(whole[:-1])
    require("ends ahead" in refusal("inspect", prefix, status=3), "a cut file is not named")


def test_links_out_of_the_folder(work):
    """A data file may be a link to its neighbour, but not to what lies elsewhere."""
    prefix = save_small(work / "linked", "v2")
    data = prefix.with_name("linked.data-00000-of-00001")
    (work / "elsewhere").mkdir()
    outside = work / "elsewhere" / "data"
    data.rename(outside)
    (work / "inside").mkdir()
    shutil.copy(outside, work / "inside" / "data")
    data.symlink_to("inside/data")
    i3dconv("convert", prefix, "-o", work / "out.safetensors")
    (work / "home").mkdir()
    home = work / "home" / "linked"
    shutil.copy(f"{prefix}.index", f"{home}.index")
    link = home.with_name(data.name)
    link.symlink_to("../elsewhere/data")
    message = refusal("inspect", home, status=3)
    require("leaves the model's folder" in message, message)
    link.unlink()
    os.link(outside, link)
    require("hard links" in refusal("inspect", home, status=3), "a hard link is followed")


def save_small(prefix, version):
    with tensorflow.Graph().as_default(), v1.Session() as session:
        v1.get_variable("kernel", (3, 3, 2, 4))
        v1.get_variable("rows", (10, 6), partitioner=v1.fixed_size_partitioner(3))
        session.run(v1.global_variables_initializer())
        v1.train.Saver(write_version=VERSIONS[version]).save(session, str(prefix),
                                                             write_meta_graph=False)
    return prefix


def test_cut_anywhere(work):
    """No table is one whose end is missing; with a bit turned anywhere a checksum, or what
    no checksum covers, tells."""
    for version, suffix in (("v2", ".index"), ("v1", "")):
        prefix = save_small(work / f"cut-{version}", version)
        file = prefix.with_name(prefix.name + suffix)
        whole = file.read_bytes()
        step = max(1, len(whole) // 60)
        for length in [*range(1, len(whole), step), *range(len(whole) - 60, len(whole), 7)]:
            file.write_bytes(whole[:length])
            refusal("convert", file, "-o", work / "out.safetensors", status=3)
        for place in [*range(0, len(whole) - 48, step), len(whole) - 48, len(whole) - 1]:
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1:])
            refusal("convert", file, "-o", work / "out.safetensors", status=3)
        file.write_bytes(whole)
        i3dconv("convert", prefix, "-o", work / "out.safetensors")
        (work / "out.safetensors").unlink()


common.main()
