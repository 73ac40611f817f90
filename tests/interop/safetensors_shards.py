"""Models in several safetensors files under one index, as Hugging Face's libraries keep them."""

import common

common.need("safetensors", "onnx")

import json
import shutil
import struct

import numpy
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from common import i3dconv, refusal, require


def tensors():
    generator = numpy.random.default_rng(5)
    return {f"layer{k}.weight": generator.standard_normal((4, 3, k, k)).astype("f4")
            for k in (1, 3, 5)}


def write_index(path, places, **metadata):
    path.write_text(json.dumps({"metadata": metadata, "weight_map": places}, indent=2))


def save(folder):
    """Two shards in the usual names; the path of their index."""
    folder.mkdir()
    values = tensors()
    first, *rest = values
    names = [f"model-0000{k}-of-00002.safetensors" for k in (1, 2)]
    save_file({first: values[first]}, folder / names[0], {"format": "pt"})
    save_file({name: values[name] for name in rest}, folder / names[1], {"format": "pt"})
    index = folder / "model.safetensors.index.json"
    write_index(index, {first: names[0]} | {name: names[1] for name in rest},
                total_size=sum(value.nbytes for value in values.values()), total_parameters=420)
    return index


def require_same(found):
    expected = tensors()
    require(found.keys() == expected.keys(), f"tensors {sorted(found)}")
    for name, value in expected.items():
        require(found[name].tobytes() == value.tobytes(), f"{name} changed")


def test_shards_are_read(work):
    index = save(work / "two")
    i3dconv("convert", index, "-o", work / "one.safetensors")
    require_same(load_file(work / "one.safetensors"))
    require(not safe_open(work / "one.safetensors", "numpy").metadata(),
            "the count became metadata")


def test_written_shards_are_read(work):
    (work / "out").mkdir()
    index = work / "out" / "net.safetensors.index.json"
    i3dconv("convert", work / "one.safetensors", "-o", index)
    told = json.loads(index.read_text())
    require(told["metadata"]["total_size"] == sum(v.nbytes for v in tensors().values()),
            "total_size")
    shard = "net-00001-of-00001.safetensors"
    require(set(told["weight_map"].values()) == {shard}, f"files {told['weight_map']}")
    require_same(load_file(index.with_name(shard)))
    with safe_open(index.with_name(shard), "numpy") as file:
        require(file.metadata()["format"] == "pt", "the shard does not tell its format")


def test_a_graph_survives(work):
    i3dconv("zoo", "synth", "inception_v1", "--classes", 10, "-o", work / "flat.safetensors")
    i3dconv("convert", work / "flat.safetensors", "-o", work / "g.safetensors.index.json")
    for name in ("flat.safetensors", "g.safetensors.index.json"):
        i3dconv("convert", work / name, "-o", work / f"{name}.onnx")
    require((work / "flat.safetensors.onnx").read_bytes()
            == (work / "g.safetensors.index.json.onnx").read_bytes(), "the graph changed")


def test_more_than_a_shard_holds(work):
    """1.2 GB of zeros out of a hole become two shards."""
    if shutil.disk_usage(work).free < 4 << 30:
        common.lacking("4 GiB of free disk")
    size, header = 400_000_000, {}
    for k in range(3):
        header[f"w{k}"] = {"dtype": "F32", "shape": [size // 4],
                           "data_offsets": [k * size, (k + 1) * size]}
    text = json.dumps(header).encode()
    with open(work / "large.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + 3 * size)
    i3dconv("convert", work / "large.safetensors", "-o", work / "large.safetensors.index.json")
    places = json.loads((work / "large.safetensors.index.json").read_text())["weight_map"]
    first, second = (f"large-0000{k}-of-00002.safetensors" for k in (1, 2))
    require(places == {"w0": first, "w1": first, "w2": second}, f"{places}")
    with safe_open(work / second, "numpy") as file:
        require(file.get_slice("w2").get_shape() == [size // 4], "the last tensor")
    for path in work.glob("large*"):
        path.unlink()


def test_indexes_that_lie_are_refused(work):
    index = save(work / "lies")
    good = json.loads(index.read_text())["weight_map"]
    first = next(iter(good))
    (work / "lies" / "text.safetensors").write_text("no tensors")
    shutil.copy(index.parent / good[first], work / "outside.safetensors")
    (work / "lies" / "link.safetensors").symlink_to("../outside.safetensors")
    for location, status in (("none.safetensors", 5), ("../outside.safetensors", 3),
                             (str(work / "outside.safetensors"), 3), ("link.safetensors", 3),
                             ("text.safetensors", 3), (7, 3), ("", 3), (None, 3),
                             (good["layer3.weight"], 3), (index.name, 3)):
        write_index(index, good | {first: location})
        print(f"# {location}:", refusal("inspect", index, status=status).strip())
    write_index(index, good | {"layer9.weight": good[first]})
    said = refusal("inspect", index, status=3)
    require("layer9.weight" in said, said)
    index.write_text('{"weight_map": {"a": "x", "a": "y"}}')
    refusal("inspect", index, status=3)
    index.write_text('{"weight_map": ["a"]}')
    refusal("inspect", index, status=3)
    index.write_text('{"metadata": [1], "weight_map": {}}')
    refusal("inspect", index, status=3)


def test_cut_indexes_and_shards_are_refused(work):
    index = save(work / "cut")
    whole = index.read_bytes()
    for length in range(0, len(whole.rstrip()), 7):
        index.write_bytes(whole[:length])
        refusal("inspect", index, status=3)
    index.write_bytes(whole)
    shard = index.with_name("model-00002-of-00002.safetensors")
    content = shard.read_bytes()
    for length in range(0, len(content), 37):
        shard.write_bytes(content[:length])
        said = refusal("inspect", index, status=3)
        require(shard.name in said, said)


def test_a_pipe_has_no_second_file(work):
    refusal("convert", work / "one.safetensors", "--to", "safetensors-index", "-o", "-", status=2)


common.main()
