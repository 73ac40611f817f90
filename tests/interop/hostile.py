"""Files made to mislead, of every container: absurd sizes, cycles and shared parts, names that
stand twice or are no UTF-8, tensors without elements, text nested without end. Each is read
as it should be, or refused in one line that says what is wrong; what stood under the output's
name is then still there."""

import common

common.need("h5py", "onnx", "torch")

import io
import json
import os
import pathlib
import struct
import subprocess
import warnings
import zipfile

import h5py
import numpy
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

import tables
from common import I3DCONV, require

READ, MALFORMED, UNSUPPORTED, SYSTEM = 0, 3, 4, 5
NUMBERS = numpy.arange(6, dtype="f4").reshape(2, 3)
KEPT = b"what stood here"


def run(*arguments):
    done = subprocess.run([I3DCONV, *map(str, arguments)], capture_output=True, timeout=60)
    said = done.stderr.decode()
    require("Sanitizer" not in said and "runtime error" not in said, said)
    return done.returncode, said


def complaint(file, status, words="", converted=None):
    """What is wrong in how two commands take the file, or nothing. words: of the message;
    converted: the status where writing ends otherwise than reading."""
    code, said = run("inspect", "--stats", file)
    print(f"# {file.name:<36} exit {code}  {said.strip().rpartition(file.name)[2][:120]}")
    if code != status or bool(said) != bool(status) or said.count("\n") > 1:
        return f"exit {code} where {status} was expected: {said}"
    if status and words not in said:
        return f"{words!r} is not said: {said}"
    status = status if converted is None else converted
    out = file.with_name("out.onnx" if onnx_or_keras(file) else "out.npz")
    out.write_bytes(KEPT)
    code, said = run("convert", file, "-o", out)
    if code != status or said.count("\n") > 1:
        return f"convert ends with exit {code}: {said}"
    if (out.read_bytes() == KEPT) != bool(status):
        return "what stood under the output's name is not as it should be"
    return ""


def onnx_or_keras(file):
    return file.suffix == ".onnx" or file.name.startswith("keras_")


def judge(complaints):
    """complaints: of each file by its name"""
    wrong = {name: said for name, said in complaints.items() if said}
    require(not wrong, "\n".join(f"{name}: {said}" for name, said in wrong.items()))


def judge_all(work, cases):
    """cases: {file's name: (bytes, status, words, status of convert)}"""
    found = {}
    for name, (content, *expected) in cases.items():
        (work / name).write_bytes(content)
        found[name] = complaint(work / name, *expected)
    judge(found)


def safetensors_file(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def about(shape, offsets, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_safetensors(work):
    one = b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    nested = b'{"a":' + b"[" * 100000 + b"]" * 100000 + b"}"
    judge_all(work, {
        "empty.safetensors": (safetensors_file({"a": about([0, 3], [0, 0])}), READ),
        "header_length.safetensors": (struct.pack("<Q", 2**63) + b"{}", MALFORMED),
        "header_beyond.safetensors": (struct.pack("<Q", 1000) + b"{}" + bytes(90), MALFORMED),
        "twice.safetensors": (safetensors_file(b"{" + one + b"," + one + b"}", bytes(4)),
                              MALFORMED, "duplicate"),
        "shape.safetensors": (safetensors_file({"a": about([2**40, 2**40], [0, 4])}, bytes(4)),
                              MALFORMED, "too large"),
        "overflow.safetensors": (safetensors_file({"a": about([2**32, 2**32 + 1], [0, 4])},
                                                  bytes(4)), MALFORMED, "tensor a"),
        "rank.safetensors": (safetensors_file({"a": about([1] * 200, [0, 4])}, bytes(4)),
                             UNSUPPORTED, "tensor a"),
        "negative.safetensors": (safetensors_file({"a": about([-1], [0, 4])}, bytes(4)),
                                 MALFORMED, "tensor a"),
        "backwards.safetensors": (safetensors_file({"a": about([1], [4, 0])}, bytes(4)),
                                  MALFORMED, "tensor a"),
        "shared.safetensors": (safetensors_file({"a": about([1], [0, 4]), "b": about([1], [0, 4])},
                                                bytes(4)), MALFORMED, "tensor b"),
        "name.safetensors": (safetensors_file(one.replace(b"a", b"\xff\xfe", 1).join((b"{", b"}")),
                                              bytes(4)), MALFORMED, "byte"),
        "nested.safetensors": (safetensors_file(nested), MALFORMED),
    })


def test_sharded_safetensors(work):
    shard = safetensors_file({"a": about([1], [0, 4])}, bytes(4))
    (work / "shard.safetensors").write_bytes(shard)
    (work / "folder.safetensors").mkdir()
    os.mkfifo(work / "pipe.safetensors")

    def index(places):
        return json.dumps({"weight_map": places}).encode()

    judge_all(work, {
        "good.safetensors.index.json": (index({"a": "shard.safetensors"}), READ),
        "itself.safetensors.index.json": (index({"a": "itself.safetensors.index.json"}),
                                          MALFORMED),
        "absent.safetensors.index.json": (index({"b": "shard.safetensors"}), MALFORMED, "b"),
        "above.safetensors.index.json": (index({"a": "../shard.safetensors"}), MALFORMED),
        "root.safetensors.index.json": (index({"a": str(work / "shard.safetensors")}), MALFORMED),
        "folder.safetensors.index.json": (index({"a": "folder.safetensors"}), MALFORMED),
        "pipe.safetensors.index.json": (index({"a": "pipe.safetensors"}), MALFORMED),
        "number.safetensors.index.json": (index({"a": 7}), MALFORMED),
        "no_name.safetensors.index.json": (index({"a": ""}), MALFORMED),
    })


def npy(header, data=b"", version=1):
    text = header.encode("latin1") + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


def described(shape, descr="<f4"):
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"


def saved(values):
    stream = io.BytesIO()
    numpy.save(stream, values)
    return stream.getvalue()


def archive(*members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, content in members:
            file.writestr(name, content)
    return stream.getvalue()


def test_numpy(work):
    whole = saved(NUMBERS)
    zeros = npy(described("(25000000,)"), bytes(100_000_000))
    named = archive(("ab.npy", whole)).replace(b"ab.npy", b"\xff\xfe.npy")
    above = archive(("../../above.npy", whole))
    judge_all(work, {
        "empty.npy": (npy(described("(0, 3)")), READ),
        "scalar.npy": (npy(described("()"), bytes(4)), READ),
        "huge.npy": (npy(described("(9223372036854775807,)")), MALFORMED),
        "overflow.npy": (npy(described("(4294967296, 4294967296, 16)")), MALFORMED),
        "negative.npy": (npy(described("(-1,)"), bytes(4)), MALFORMED),
        "rank.npy": (npy(described("(" + "1," * 70 + ")"), bytes(4)), MALFORMED),
        "objects.npy": (npy(described("(1,)", "|O"), bytes(8)), UNSUPPORTED),
        "header.npy": (b"\x93NUMPY\x02\0" + struct.pack("<I", 2**32 - 1) + b"{", MALFORMED),
        "nested.npy": (npy("{'shape': " + "(" * 9000 + ")" * 9000 + "}"), MALFORMED),
        "code.npy": (npy("__import__('os').system('id')"), MALFORMED),
        "name.npz": (named, READ, "", UNSUPPORTED),
        "twice.npz": (archive(("a.npy", whole), ("a.npy", whole)), MALFORMED, "twice"),
        "empty.npz": (archive(("a.npy", npy(described("(0, 3)")))), READ),
        "huge.npz": (archive(("a.npy", npy(described("(9223372036854775807,)")))), MALFORMED),
        "compressed.npz": (archive(("a.npy", zeros), compression=zipfile.ZIP_DEFLATED), READ),
        "above.npz": (above, READ),
        "no_members.npz": (archive(), MALFORMED),
    })
    require(not (work.parent / "above.npy").exists(), "a member was written outside")


def pytorch_file(pickled, *members):
    return archive(("archive/data.pkl", pickled), ("archive/version", b"3\n"), *members)


def torch_saved(state, legacy):
    stream = io.BytesIO()
    torch.save(state, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def test_pytorch(work):
    """Cycles and nesting without end are pickles that Python itself loads."""
    judge_all(work, {
        "dict_in_itself.pt": (pytorch_file(b"\x80\x02}q\0X\x01\0\0\0ah\0s."), UNSUPPORTED),
        "state_in_itself.pt": (pytorch_file(b"\x80\x02}q\0X\x0a\0\0\0state_dicth\0s."),
                               UNSUPPORTED),
        "list_in_itself.pt": (pytorch_file(b"\x80\x02}q\0X\x0a\0\0\0state_dict]q\x01h\x01as."),
                              UNSUPPORTED),
        "nested.pt": (pytorch_file(b"\x80\x02" + b"]" * 100000 + b"a" * 99999 + b"."),
                      UNSUPPORTED),
        "system.pt": (pytorch_file(b"\x80\x02cposix\nsystem\nX\x02\0\0\0id\x85R."), UNSUPPORTED,
                      "posix.system"),
        "text_length.pt": (pytorch_file(b"\x80\x02X\xff\xff\xff\x7fabc."), MALFORMED, "byte 2"),
        "memo.pt": (pytorch_file(b"\x80\x02}r\xff\xff\xff\xffj\xfe\xff\xff\xff."), MALFORMED,
                    "byte 3"),
        "stack.pt": (pytorch_file(b"\x80\x02}aaa."), MALFORMED, "byte"),
        "no_end.pt": (pytorch_file(b"\x80\x02}"), MALFORMED),
        "no_pickle.pt": (archive(("archive/version", b"3\n")), MALFORMED),
        "twice.pt": (pytorch_file(b"\x80\x02}.", ("archive/data.pkl", b"\x80\x02}.")), MALFORMED,
                     "twice"),
    })
    line = torch.arange(6.0)
    states = {"shared": {"a": line, "b": line[2:], "c": line.view(2, 3).t()},
              "empty": {"a": torch.zeros(0, 3)},
              "expanded": {"a": torch.ones(1).expand(256, 1024)}}
    for legacy in (False, True):
        kind = "old" if legacy else "new"
        judge_all(work, {f"{name}_{kind}.pt": (torch_saved(state, legacy), READ)
                         for name, state in states.items()})
        judge_all(work, {f"escape_{kind}.pt": (torch_saved({"\x1b[31m\n": line}, legacy), READ, "",
                                               UNSUPPORTED)})
        judge_all(work, {f"nul_{kind}.pt": (torch_saved({"a\0b": line}, legacy), MALFORMED,
                                            "NUL")})


def test_absurd_numbers_in_an_old_pytorch_file(work):
    raw = torch_saved({"a": torch.arange(6.0)}, legacy=True)
    for number in (b"\xff" * 7 + b"\x7f", b"\0" * 7 + b"\x80"):
        for place in range(0, len(raw) - 8):
            file = work / "absurd.pt"
            file.write_bytes(raw[:place] + number + raw[place + 8:])
            code, said = run("inspect", "--stats", file)
            require(code in (READ, MALFORMED, UNSUPPORTED) and said.count("\n") == bool(code),
                    f"byte {place}: exit {code}: {said}")


def onnx_file(initializers, nodes=None):
    nodes = nodes or [helper.make_node("Add", ["x", "a"], ["y"])]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    return model.SerializeToString()


def tensor_of(dims, raw=b"", **fields):
    tensor = TensorProto(name="a", data_type=TensorProto.FLOAT, dims=dims, **fields)
    if raw:
        tensor.raw_data = raw
    return tensor


def nested_graphs(depth):
    """If nodes, each in a branch of the one around it, written inside out."""
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [], []) \
        .SerializeToString()

    def field(number, content):
        return tables.varint(number << 3 | 2) + tables.varint(len(content)) + content

    for _ in range(depth):
        attribute = (field(1, b"then_branch") + field(6, graph)
                     + tables.varint(20 << 3) + tables.varint(5))
        graph = field(1, field(1, b"x") + field(2, b"y") + field(4, b"If") + field(5, attribute))
    return tables.varint(1 << 3) + tables.varint(8) + field(7, graph) + field(8, b"\x10\x0d")


def test_onnx(work):
    good = numpy_helper.from_array(numpy.arange(3, dtype="f4"), "a")
    add = helper.make_node
    judge_all(work, {
        "twice.onnx": (onnx_file([good, good]), MALFORMED, "two tensors"),
        "cycle.onnx": (onnx_file([good], [add("Add", ["y", "a"], ["q"]),
                                          add("Add", ["q", "a"], ["y"])]), MALFORMED, "reads y"),
        "itself.onnx": (onnx_file([good], [add("Add", ["y", "a"], ["y"])]), MALFORMED,
                        "node 0 (Add): it reads y"),
        "produced_twice.onnx": (onnx_file([good], [add("Add", ["x", "a"], ["y"])] * 2), MALFORMED,
                                "produced elsewhere"),
        "huge.onnx": (onnx_file([tensor_of([2**62, 2**62], bytes(4))]), MALFORMED, "tensor a"),
        "overflow.onnx": (onnx_file([tensor_of([2**31, 2**31, 4], bytes(4))]), MALFORMED,
                          "tensor a"),
        "negative.onnx": (onnx_file([tensor_of([-3], bytes(4))]), MALFORMED, "tensor a"),
        "short.onnx": (onnx_file([tensor_of([3], bytes(4))]), MALFORMED, "tensor a"),
        "rank.onnx": (onnx_file([tensor_of([1] * 5000, bytes(4))]), UNSUPPORTED, "tensor a"),
        "empty.onnx": (onnx_file([good, TensorProto(name="none", data_type=1, dims=[0])]), READ),
        "name.onnx": (onnx_file([good]).replace(b"\x0a\x01x\x0a\x01a", b"\x0a\x01x\x0a\x01\xff")
                      .replace(b"\x42\x01a", b"\x42\x01\xff"), READ),
        "nested.onnx": (nested_graphs(3000), MALFORMED),
    })


def test_onnx_external_data(work):
    (work / "data").write_bytes(bytes(12))
    (work / "folder").mkdir()
    os.mkfifo(work / "pipe")

    def outside(**entries):
        tensor = tensor_of([3], data_location=TensorProto.EXTERNAL)
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=str(value))
        return onnx_file([tensor])

    judge_all(work, {
        "good.onnx": (outside(location="data"), READ),
        "end.onnx": (outside(location="data", offset=4), MALFORMED, "tensor a"),
        "offset.onnx": (outside(location="data", offset=2**64 - 4, length=12), MALFORMED),
        "length.onnx": (outside(location="data", length=2**63), MALFORMED),
        "number.onnx": (outside(location="data", offset="1e9"), MALFORMED),
        "minus.onnx": (outside(location="data", offset=-4), MALFORMED),
        "nowhere.onnx": (outside(offset=0), MALFORMED, "tensor a"),
        "absent.onnx": (outside(location="absent"), SYSTEM, "No such file"),
        "folder.onnx": (outside(location="folder"), MALFORMED),
        "pipe.onnx": (outside(location="pipe"), MALFORMED),
        "device.onnx": (outside(location="/dev/zero"), MALFORMED),
        "above.onnx": (outside(location="folder/../../data"), MALFORMED),
    })


def hdf5_file(path, fill):
    with h5py.File(path, "w") as file:
        fill(file)
    return path


def test_hdf5(work):
    def cycle(file):
        group = file.create_group("g")
        group["loop"], group["w"] = file["/"], NUMBERS

    def soft_cycle(file):
        file["a"], file["b"] = h5py.SoftLink("/b"), h5py.SoftLink("/a")
        file["w"] = NUMBERS

    def shared(file):
        file["w"] = NUMBERS
        file["v"] = file["w"]

    def external_link(file):
        file["v"], file["w"] = NUMBERS, h5py.ExternalLink("/etc/passwd", "/x")

    def deep(file):
        group = file
        for _ in range(3000):
            group = group.create_group("g")
        group["w"] = NUMBERS

    def many_ranks(file):
        file.create_dataset("w", shape=(1,) * 32, dtype="f4")

    cases = {
        "cycle.h5": (cycle, READ), "soft_cycle.h5": (soft_cycle, READ),
        "shared.h5": (shared, READ), "external_link.h5": (external_link, READ),
        "deep.h5": (deep, UNSUPPORTED), "rank.h5": (many_ranks, UNSUPPORTED),
        "empty.h5": (lambda file: file.create_dataset("w", data=numpy.zeros((0, 3), "f4")), READ),
        "name.h5": (lambda file: file.create_dataset(b"\xff\xfe", data=NUMBERS), READ, "",
                    UNSUPPORTED),
        "huge.h5": (lambda file: file.create_dataset("w", shape=(2**31, 2**20), dtype="f4",
                                                     chunks=(1, 1024)), MALFORMED),
        "other_file.h5": (lambda file: file.create_dataset(
            "w", shape=(10,), dtype="u1", external=[("/etc/hostname", 0, 10)]), UNSUPPORTED),
    }
    judge({name: complaint(hdf5_file(work / name, fill), *expected)
           for name, (fill, *expected) in cases.items()})


def keras_layer(class_name, name, before, **config):
    calls = [[[before, 0, 0, {}]]] if before else []
    return {"class_name": class_name, "name": name, "config": {"name": name, **config},
            "inbound_nodes": calls}


def keras_file(*layers, end="y", text=None):
    """Whole models: one convolution's weights, whatever is said of the layers."""
    def fill(file):
        network = {"name": "net", "layers": list(layers), "input_layers": [["x", 0, 0]],
                   "output_layers": [[end, 0, 0]]}
        file.attrs["model_config"] = text or json.dumps({"class_name": "Functional",
                                                         "config": network})
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [b"y"]
        group = weights.create_group("y")
        group.attrs["weight_names"] = [b"y/kernel:0"]
        group["y/kernel:0"] = numpy.ones((3, 3, 2, 4), "f4")
    return fill


def test_keras(work):
    start = keras_layer("InputLayer", "x", None, batch_shape=[None, 8, 8, 2])
    conv = {"filters": 4, "kernel_size": [3, 3], "use_bias": False}

    def layers_twice(file):
        keras_file(start, keras_layer("Conv2D", "y", "x", **conv))(file)
        file["model_weights"].attrs["layer_names"] = [b"y", b"y"]

    def absent_layer(file):
        keras_file(start, keras_layer("Conv2D", "y", "x", **conv))(file)
        file["model_weights"].attrs["layer_names"] = [b"y", b"z"]

    cycle = keras_layer("Add", "z", "y")
    cycle["inbound_nodes"] = [[["y", 0, 0, {}], ["z", 0, 0, {}]]]
    deep = '{"class_name":"Sequential","config":{"layers":[' * 2000 + "]}}" * 2000
    cases = {
        "good.h5": (keras_file(start, keras_layer("Conv2D", "y", "x", **conv)), READ, ""),
        "itself.h5": (keras_file(start, keras_layer("Conv2D", "y", "y", **conv)), MALFORMED, "y"),
        "cycle.h5": (keras_file(start, keras_layer("Conv2D", "y", "z", **conv),
                                keras_layer("ReLU", "z", "y")), MALFORMED, ""),
        "added_to_itself.h5": (keras_file(start, keras_layer("Conv2D", "y", "x", **conv), cycle,
                                          end="z"), MALFORMED, "z"),
        "nobody.h5": (keras_file(start, keras_layer("Conv2D", "y", "nobody", **conv)), MALFORMED,
                      "nobody"),
        "two_of_a_name.h5": (keras_file(start, keras_layer("Conv2D", "y", "x", **conv),
                                        keras_layer("Conv2D", "y", "x", **conv)), MALFORMED, "y"),
        "stride.h5": (keras_file(start, keras_layer("Conv2D", "y", "x", strides=[0, -1], **conv)),
                      MALFORMED, "y"),
        "pool.h5": (keras_file(start, keras_layer("Conv2D", "y", "x", **conv),
                               keras_layer("MaxPooling2D", "z", "y", pool_size=[2**40, 2]),
                               end="z"), MALFORMED, "z"),
        "deep.h5": (keras_file(text=deep), MALFORMED, ""),
        "no_json.h5": (keras_file(text='{"class_name": '), MALFORMED, ""),
        "not_utf8.h5": (keras_file(text=numpy.bytes_(b'{"class_name": "\xff"}')), MALFORMED, ""),
        "layers_twice.h5": (layers_twice, MALFORMED, "y"),
        "absent_layer.h5": (absent_layer, MALFORMED, "z"),
    }
    judge({name: complaint(hdf5_file(work / f"keras_{name}", fill), *expected)
           for name, (fill, *expected) in cases.items()})


def test_tensorflow(work):
    """Tables with checksums that are right, so that what lies behind them is reached."""
    kernel = numpy.arange(6, dtype="f4").tobytes()
    found = {}

    def bundle(name, entries, *expected, data=kernel, **table):
        (work / f"{name}.data-00000-of-00001").write_bytes(data)
        file = work / f"{name}.index"
        file.write_bytes(tables.table([(b"", tables.bundle_header()), *entries], **table))
        found[name] = complaint(file, *expected)

    entry = tables.bundle_entry
    good = (b"a", entry([2, 3], kernel))
    bundle("good", [good], READ)
    bundle("compressed", [good], READ, compress=tables.snappy)
    bundle("empty", [(b"a", entry([0, 3], b""))], READ)
    bundle("shared", [good, (b"b", entry([6], kernel))], READ)
    bundle("name", [(b"\xff\xfe", entry([2, 3], kernel))], READ, "", UNSUPPORTED)
    bundle("twice", [good, good], MALFORMED, "twice")
    bundle("order", [(b"b", entry([2, 3], kernel)), good], MALFORMED, "order")
    bundle("huge", [(b"a", entry([2**62, 2**62], kernel))], MALFORMED, "a")
    bundle("overflow", [(b"a", entry([2**32, 2**32, 4], kernel))], MALFORMED, "a")
    bundle("negative", [(b"a", entry([-2, 3], kernel))], MALFORMED, "a")
    bundle("rank", [(b"a", entry([1] * 300, kernel))], UNSUPPORTED, "a")
    bundle("offset", [(b"a", entry([2, 3], kernel, offset=2**63 - 8))], MALFORMED, "a")
    bundle("size", [(b"a", entry([2, 3], kernel, size=2**40))], MALFORMED, "a")
    bundle("shard", [(b"a", entry([2, 3], kernel, shard=2**31 - 1))], MALFORMED, "a")
    bundle("checksum", [(b"a", entry([2, 3], bytes(24)))], MALFORMED, "a")
    bundle("bomb", [good], MALFORMED, compress=lambda block: b"\xff\xff\xff\xff\x0f" + block)
    bundle("prefix", [good], MALFORMED, shared=9)
    bundle("restarts", [good], MALFORMED, restarts=2**31)
    bundle("nested", [(b"a", b"\x12" + tables.varint(2) + b"\x12\x7f")], MALFORMED)
    judge(found)


def test_damage_under_good_checksums(work):
    """Bytes of the first block and of the index, replaced at random and sealed again."""
    random = numpy.random.default_rng(11)
    kernel = numpy.arange(6, dtype="f4").tobytes()
    entries = [(b"", tables.bundle_header()),
               *((f"layer/{name}".encode(), tables.bundle_entry([2, 3], kernel))
                 for name in "abc")]
    raw = tables.table(entries)
    (work / "sealed.data-00000-of-00001").write_bytes(kernel)
    codes = {READ: 0, MALFORMED: 0, UNSUPPORTED: 0, SYSTEM: 0}
    for turn in range(300):
        damaged, block = bytearray(raw), tables.blocks(raw)[turn % 8 == 0]
        for _ in range(random.integers(1, 4)):
            place = block[0] + int(random.integers(block[1]))
            damaged[place] = int(random.choice([0, 1, 0x7F, 0x80, 0xFF, random.integers(256)]))
        tables.seal(damaged, block)
        (work / "sealed.index").write_bytes(damaged)
        code, said = run("inspect", work / "sealed.index")
        require(code in codes and said.count("\n") == bool(code), f"turn {turn}: {code} {said}")
        codes[code] += 1
    print(f"# exit codes: {codes}")
    require(codes[MALFORMED] > 50, "damage is not seen")


common.main()
