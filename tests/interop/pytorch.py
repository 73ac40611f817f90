"""PyTorch's checkpoints of both forms are read bit for bit, PyTorch loads what we write,
and what is no checkpoint is refused by name."""

import common

common.need("torch", "torchvision", "safetensors")

import collections
import struct
import types
import zipfile

import numpy
import safetensors.torch
import torch
import torchvision

from common import i3dconv, refusal, require


def tensors():
    """Every type, and windows of all kinds on storages, some of them shared."""
    base = torch.arange(24.).reshape(2, 3, 4) / 7
    named = collections.OrderedDict(
        whole=base, turned=base.permute(2, 0, 1), stepped=base[:, 1:, ::2], part=base[1],
        column=base[:, :, 2], spread=torch.ones(3, 1).expand(3, 4), empty=torch.zeros(0, 3),
        scalar=torch.tensor(5), parameter=torch.nn.Parameter(base), name_é=base[0])
    kinds = ("float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
    for kind in kinds:
        named[f"of {kind}"] = (base * 9).to(getattr(torch, kind))
    return named


def require_same(expected, actual):
    require(list(expected) == list(actual), f"{list(actual)}")
    for name, tensor in expected.items():
        other = actual[name]
        require(tensor.dtype == other.dtype and tensor.shape == other.shape
                and torch.equal(tensor, other), f"{name} differs")


def read_back(path):
    """What i3dconv reads, through safetensors and through a PyTorch file of its own."""
    i3dconv("convert", path, "-o", path.with_suffix(".safetensors"), quiet=True)
    i3dconv("convert", path, "-o", path.with_suffix(".copy.pt"), quiet=True)
    return (safetensors.torch.load_file(path.with_suffix(".safetensors")),
            torch.load(path.with_suffix(".copy.pt")))


def ways(work):
    yield work / "zip.pt", {}
    yield work / "protocol4.pt", {"pickle_protocol": 4}
    yield work / "protocol5.pt", {"pickle_protocol": 5}
    yield work / "old.pt", {"_use_new_zipfile_serialization": False}
    yield work / "old4.pt", {"_use_new_zipfile_serialization": False, "pickle_protocol": 4}


def test_every_type_and_window(work):
    expected = tensors()
    for path, how in ways(work):
        torch.save(expected, path, **how)
        plain, copy = read_back(path)
        require_same({name: expected[name] for name in plain}, plain)
        require(set(plain) == set(expected), f"{sorted(plain)}")
        require_same(expected, copy)


def test_weights_only(work):
    """torch.load with weights_only=True runs nothing but what it knows."""
    torch.save(tensors(), work / "in.pt")
    i3dconv("convert", work / "in.pt", "-o", work / "out.pt")
    require_same(tensors(), torch.load(work / "out.pt", weights_only=True))
    i3dconv("convert", work / "out.pt", "-o", work / "again.pt")
    require((work / "out.pt").read_bytes() == (work / "again.pt").read_bytes(),
            "the copy of a copy differs")
    with zipfile.ZipFile(work / "out.pt") as archive:
        require(archive.testzip() is None, "a checksum is wrong")
        for entry in archive.infolist():
            with open(work / "out.pt", "rb") as file:
                file.seek(entry.header_offset + 26)
                start = entry.header_offset + 30 + sum(struct.unpack("<HH", file.read(4)))
            require(start % 64 == 0, f"{entry.filename} starts at {start}")


def test_checkpoint_of_a_training(work):
    """The state_dict is found beside an optimizer's, and stays under its key."""
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    model(torch.zeros(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    for key in ("state_dict", "model", "ema_model"):
        for path, how in ways(work):
            torch.save({"epoch": 3, "best": 71.25, "name": "x", "seen": {1, 2}, "none": None,
                        "size": torch.Size([1, 2]), "device": torch.device("cpu"),
                        key: model.state_dict(), "optimizer": optimizer.state_dict()}, path, **how)
            _, copy = read_back(path)
            require(list(copy) == [key], f"{list(copy)}")
            require_same(model.state_dict(), copy[key])


def test_resnet_binds(work):
    """Names with a wrapper's prefix are recognised, and the network computes the same."""
    torch.manual_seed(3)
    model = torchvision.models.resnet18().eval()
    torch.save(torch.nn.DataParallel(model).state_dict(), work / "wrapped.pth")
    said = i3dconv("inspect", work / "wrapped.pth").decode()
    require("resnet18, 2D" in said and "torchvision-resnet" in said, said[:500])
    image = torch.randn(2, 3, 64, 64)
    numpy.save(work / "image.npy", image.numpy())
    i3dconv("run", work / "wrapped.pth", work / "image.npy", "-o", work / "logits.npy")
    with torch.no_grad():
        expected = model(image).numpy()
    error = numpy.abs(numpy.load(work / "logits.npy") - expected).max() / numpy.abs(expected).max()
    print(f"# logits differ by {error:.1e} of the largest")
    require(error < 1e-5, f"relative error {error:.1e}")


class Foreign:
    """Of no module that anyone else has."""

    def __init__(self):
        self.weight = torch.zeros(1)


class Calls:
    def __reduce__(self):
        return print, ("this must not be printed",)


def test_what_is_no_checkpoint(work):
    whole = torchvision.models.squeezenet1_1()
    for content, named in ((whole, "torchvision.models.squeezenet.SqueezeNet"),
                           ({"a": Foreign()}, "Foreign"),
                           ({"a": torch.zeros(1), "b": Calls()}, "print"),
                           ({"args": types.SimpleNamespace(a=1)}, "SimpleNamespace"),
                           ({"c": torch.zeros(2, dtype=torch.complex64)}, "ComplexFloatStorage"),
                           ({"a": 1}, "no state_dict"),
                           ({"generator": {"w": torch.zeros(1)}, "critic": {"w": torch.zeros(1)}},
                            "several")):
        for path, how in ways(work):
            torch.save(content, path, **how)
            message = refusal("inspect", path, status=4)
            require(named in message and "must not" not in message, message)
    script = torch.jit.trace(torch.nn.ReLU(), torch.zeros(1))
    torch.jit.save(script, work / "script.pt")
    require("TorchScript" in refusal("inspect", work / "script.pt", status=4), "not named")


def test_cut_anywhere(work):
    """At every length an error of one line, or the same tensors: of the older form nothing
    stands behind the last storage."""
    expected = tensors()
    for path, how in ways(work):
        torch.save(expected, path, **how)
        whole = path.read_bytes()
        cut = work / "cut.pt"
        for length in range(1, len(whole), max(1, len(whole) // 150)):
            cut.write_bytes(whole[:length])
            refusal("convert", cut, "-o", work / "out.safetensors", status=3)
            require(not (work / "out.safetensors").exists(), "something was written")


common.main()
