"""ONNX models whose weights lie in other files: written by the onnx package and read here, the
other way round, and names that lead out of the model's folder refused."""

import common

common.need("onnx", "onnxruntime")

import os
import pathlib
import shutil
import stat
import subprocess

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from common import i3dconv, refusal, require, require_close

PAGE = 4096


def network():
    """Two convolutions and a bias that is too small to leave the file."""
    generator = numpy.random.default_rng(3)
    weights = {
        "stem.kernel": generator.standard_normal((32, 3, 7, 7)),
        "stem.bias": generator.standard_normal(32),
        "last.kernel": generator.standard_normal((64, 32, 3, 3)) / 16,
    }
    nodes = [
        helper.make_node("Conv", ["image", "stem.kernel", "stem.bias"], ["stem"], name="stem",
                         kernel_shape=[7, 7], strides=[2, 2], pads=[3] * 4),
        helper.make_node("Relu", ["stem"], ["active"], name="active"),
        helper.make_node("Conv", ["active", "last.kernel"], ["last"], name="last",
                         kernel_shape=[3, 3], pads=[1] * 4),
    ]
    graph = helper.make_graph(
        nodes, "external",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("last", TensorProto.FLOAT, [1, 64, 16, 16])],
        [numpy_helper.from_array(value.astype("f4"), name) for name, value in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def save(path, **how):
    onnx.save_model(network(), path, save_as_external_data=True, size_threshold=1024, **how)


def tensors(model):
    return {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}


def require_same_weights(path):
    found, expected = tensors(onnx.load(path)), tensors(network())
    require(found.keys() == expected.keys(), f"{path.name} has {sorted(found)}")
    for name, value in expected.items():
        require(value.tobytes() == found[name].tobytes(), f"{name} changed in {path.name}")


def compute(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    image = numpy.random.default_rng(4).standard_normal((1, 3, 32, 32)).astype("f4")
    return image, session.run(None, {"image": image})[0]


def test_files_of_the_onnx_package_are_read(work):
    for name, how in {
        "one": {"all_tensors_to_one_file": True, "location": "one.onnx.data"},
        "each": {"all_tensors_to_one_file": False},
    }.items():
        folder = work / name
        folder.mkdir()
        path = folder / f"{name}.onnx"
        save(path, **how)
        require(len(list(folder.iterdir())) > 1, "the onnx package wrote no second file")
        i3dconv("convert", path, "-o", work / "inlined.onnx")
        require_same_weights(work / "inlined.onnx")
        image, expected = compute(path)
        numpy.save(work / "image.npy", image)
        i3dconv("run", path, work / "image.npy", "-o", work / "out.npy")
        require_close(numpy.load(work / "out.npy"), expected, f"{name}: run")


def test_what_is_written_is_read_elsewhere(work):
    onnx.save(network(), work / "plain.onnx")
    i3dconv("convert", work / "plain.onnx", "--to", "onnx-external", "-o", work / "out.onnx")
    onnx.checker.check_model(str(work / "out.onnx"), full_check=True)
    require_same_weights(work / "out.onnx")
    places = {}
    for tensor in onnx.load(work / "out.onnx", load_external_data=False).graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            places[tensor.name] = {entry.key: entry.value for entry in tensor.external_data}
    require(sorted(places) == ["last.kernel", "stem.kernel"], f"outside are {sorted(places)}")
    for name, place in places.items():
        require(place["location"] == "out.onnx.data", f"{name} lies in {place['location']}")
        require(int(place["offset"]) % PAGE == 0, f"{name} begins at {place['offset']}")
    require_close(compute(work / "out.onnx")[1], compute(work / "plain.onnx")[1], "ONNX Runtime")
    i3dconv("convert", work / "out.onnx", "-o", work / "back.onnx")
    i3dconv("convert", work / "plain.onnx", "-o", work / "again.onnx", quiet=True)
    require((work / "back.onnx").read_bytes() == (work / "again.onnx").read_bytes(),
            "the way there and back is not the same file")
    i3dconv("inflate", work / "out.onnx", "-o", work / "video.onnx", "--to", "onnx-external")
    onnx.checker.check_model(str(work / "video.onnx"), full_check=True)
    i3dconv("verify", work / "out.onnx", work / "video.onnx", "--frames", 4)


def test_nothing_is_replaced_that_is_read(work):
    work = work / "kept"
    work.mkdir()
    save(work / "m.onnx", location="m.onnx.data")
    before = {path.name: path.read_bytes() for path in work.iterdir()}
    for words in (["-o", work / "m.onnx"], ["--to", "onnx-external", "-o", work / "m.onnx"],
                  ["--to", "onnx-external", "-o", "-"]):
        refusal("convert", work / "m.onnx", *words, status=2)
    os.mkdir(work / "n.onnx.data")
    refusal("convert", work / "m.onnx", "--to", "onnx-external", "-o", work / "n.onnx", status=5)
    os.rmdir(work / "n.onnx.data")
    require(before == {path.name: path.read_bytes() for path in work.iterdir()},
            f"the folder now has {sorted(os.listdir(work))}")


def test_cache_of_links_works(work):
    """The layout of a Hugging Face cache."""
    blobs, snapshot = work / "blobs", work / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    save(work / "model.onnx", location="model.onnx_data")
    for name, blob in (("model.onnx", "111"), ("model.onnx_data", "222")):
        (work / name).rename(blobs / blob)
        (snapshot / name).symlink_to(f"../../blobs/{blob}")
    i3dconv("convert", snapshot / "model.onnx", "-o", work / "inlined.onnx")
    require_same_weights(work / "inlined.onnx")


def relocated(path, **places):
    """The model at path with other entries for its kernel; None drops one."""
    model = onnx.load(path, load_external_data=False)
    tensor = next(one for one in model.graph.initializer if one.name == "stem.kernel")
    entries = {entry.key: entry.value for entry in tensor.external_data}
    entries.update(places)
    del tensor.external_data[:]
    for key, value in entries.items():
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    changed = path.with_name("changed.onnx")
    changed.write_bytes(model.SerializeToString())
    return changed


def test_names_that_lead_elsewhere_are_refused(work):
    home = work / "home"
    (home / "in").mkdir(parents=True)
    save(home / "m.onnx", location="m.data")
    shutil.copy(home / "m.data", work / "secret")
    shutil.copy(home / "m.data", home / "in" / "m.data")
    shutil.copy(home / "m.data", home / "twice")
    os.link(home / "twice", work / "elsewhere")
    (home / "out").symlink_to("../secret")
    (home / "up").symlink_to("..")
    (home / "round").symlink_to("round")
    (home / "fine").symlink_to("in/m.data")
    os.mkfifo(home / "fifo")
    for location in ("in/m.data", "./m.data", "fine", "in//m.data"):
        i3dconv("inspect", relocated(home / "m.onnx", location=location), quiet=True)
    refused = ["../secret", "in/../../secret", "/etc/passwd", str(work / "secret"), "out",
               "up/secret", "twice", "fifo", "in", "", ".", ".."]
    for location in refused:
        said = refusal("inspect", relocated(home / "m.onnx", location=location), status=3)
        print(f"# {location}: {said.strip()}")
        require("stem.kernel" in said, f"{location}: the tensor is not named")
    for location in ("none", "round"):
        refusal("inspect", relocated(home / "m.onnx", location=location), status=5)
    with open(home / "m.onnx", "rb") as model:
        said = subprocess.run([common.I3DCONV, "inspect", "-"], stdin=model,
                              capture_output=True)
    require(said.returncode == 3 and b"standard input" in said.stderr, f"{said.stderr}")


def test_entries_that_lie_are_refused(work):
    save(work / "m.onnx", location="m.data")
    for places in ({"location": None}, {"length": "5"}, {"length": "x"}, {"offset": "-1"},
                   {"offset": "18446744073709551615"}, {"offset": "18446744073709551616"},
                   {"offset": str((work / "m.data").stat().st_size - 8)}, {"offset": ""}):
        said = refusal("inspect", relocated(work / "m.onnx", **places), status=3)
        print(f"# {places}: {said.strip()}")
    os.truncate(work / "m.data", 100)
    refusal("inspect", work / "m.onnx", status=3)


def test_more_than_2_gib(work):
    """A kernel of zeros that takes 2.2 GB, in a file with nothing but a hole."""
    if shutil.disk_usage(work).free < 6 << 30:
        common.lacking("6 GiB of free disk")
    channels = 24000
    size = channels * channels * 4
    tensor = TensorProto(name="kernel", data_type=TensorProto.FLOAT,
                         data_location=TensorProto.EXTERNAL, dims=[channels, channels, 1, 1])
    tensor.external_data.add(key="location", value="large.data")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "kernel"], ["y"])], "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, 1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, channels, 1, 1])], [tensor])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (work / "large.onnx").write_bytes(model.SerializeToString())
    with open(work / "large.data", "wb") as data:
        data.truncate(size)
        data.seek(size - 4)
        data.write(numpy.float32(3).tobytes())
    refusal("convert", work / "large.onnx", "--to", "onnx", "-o", "-", status=4)
    i3dconv("convert", work / "large.onnx", "-o", work / "out.onnx")
    require((work / "out.onnx.data").stat().st_size == size, "the second file's size")
    require((work / "out.onnx").stat().st_size < PAGE, "the first file's size")
    with open(work / "out.onnx.data", "rb") as data:
        data.seek(size - 8)
        require(data.read() == numpy.array([0, 3], "f4").tobytes(), "the last elements")
    require(stat.S_IMODE((work / "out.onnx.data").stat().st_mode) == 0o666 & ~umask(),
            "the second file's permissions")
    onnx.checker.check_model(str(work / "out.onnx"))
    for path in work.glob("*.data"):
        path.unlink()


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


common.main()
