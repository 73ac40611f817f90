"""Weights without a graph: names stay, kernels get the axis that numpy computes, and a 3D
class of the user's own loads the result strictly."""

import common

common.need("torch", "torchvision")

import importlib.util

import numpy
import torch
import torchvision
from torch import nn

from common import i3dconv, refusal, require

SEED = 31


def seeded(name):
    torch.manual_seed(SEED)
    network = getattr(torchvision.models, name)()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


def inflated(kernel, frames, center=False):
    """N slices of w/N, or w in the middle one; the division in the kernel's own type."""
    slices = numpy.zeros((*kernel.shape[:2], frames, *kernel.shape[2:]), kernel.dtype)
    if center:
        slices[:, :, (frames - 1) // 2] = kernel
    else:
        slices[:] = (kernel / kernel.dtype.type(frames))[:, :, None]
    return slices


def require_equal(name, actual, expected):
    require(actual.shape == expected.shape and actual.dtype == expected.dtype
            and actual.tobytes() == expected.tobytes(), f"{name} differs")


def test_every_key_is_kept(work):
    for name in ("resnet50", "mobilenet_v2", "densenet121", "resnext50_32x4d"):
        state = seeded(name).state_dict()
        for recipe, frames in (("isotropic", lambda kernel: kernel.shape[-1]),
                               ("framewise", lambda kernel: 1)):
            torch.save(state, work / "2d.pth")
            i3dconv("inflate", work / "2d.pth", "-o", work / "3d.pth", "--recipe", recipe)
            found = torch.load(work / "3d.pth", weights_only=True)
            require(list(found) == list(state), "the keys differ")
            for key, value in state.items():
                value = value.numpy()
                require_equal(key, found[key].numpy(),
                              inflated(value, frames(value)) if value.ndim == 4 else value)


def test_rules_and_types(work):
    state = {key: value.half() if value.is_floating_point() else value
             for key, value in seeded("resnet50").state_dict().items()}
    torch.save({"epoch": 7, "state_dict": state}, work / "2d.pth")
    i3dconv("inflate", work / "2d.pth", "-o", work / "3d.npz", "--recipe", "slowonly", "--init",
            "center", "--set", "layer1.*.conv2=5x3x3", "--in-channels", 2)
    found = numpy.load(work / "3d.npz")
    for key, value in state.items():
        value = value.numpy()
        if key == "conv1.weight":
            mean = value.astype("f8").sum(1, keepdims=True) / 2
            value = inflated(numpy.repeat(mean, 2, 1).astype("f2"), 1)
        elif value.ndim == 4:
            stage, place = key.split(".")[0], key.split(".")[-2]
            frames = 3 if stage in ("layer3", "layer4") and place == "conv1" else 1
            value = inflated(value, 5 if stage == "layer1" and place == "conv2" else frames, True)
        require_equal(key, found[key], value)


def test_refusals(work):
    torch.save({"fc.weight": torch.zeros(3, 4)}, work / "flat.pth")
    require("no tensor is a kernel" in refusal("inflate", work / "flat.pth", "-o", work / "no.pth",
                                               "--recipe", "isotropic", status=4), "why?")
    torch.save({"conv.weight": torch.zeros(3, 4, 1, 1, 1)}, work / "3d.pth")
    require("3D already" in refusal("inflate", work / "3d.pth", "-o", work / "no.pth",
                                    "--recipe", "isotropic", status=4), "why?")
    require(not (work / "no.pth").exists(), "something was written")


class OwnResNet(nn.Module):
    """A 3D ResNet-50 as a user may write one: (2+1) in its names, N of its own choice."""

    def __init__(self, classes=1000):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv3d(3, 64, (5, 7, 7), (1, 2, 2), (2, 3, 3), bias=False),
                                  nn.BatchNorm3d(64))
        width = 64
        for number, (blocks, channels) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
            stage = nn.ModuleList()
            for block in range(blocks):
                stage.append(self.block(width, channels, block, number))
                width = 4 * channels
            setattr(self, f"stage{number + 1}", stage)
        self.head = nn.Linear(2048, classes)

    @staticmethod
    def block(width, channels, block, stage):
        frames = 3 if block % 2 == 0 else 1
        unit = nn.ModuleDict({
            "a": nn.Conv3d(width, channels, (frames, 1, 1), bias=False),
            "a_bn": nn.BatchNorm3d(channels),
            "b": nn.Conv3d(channels, channels, (1, 3, 3), bias=False),
            "b_bn": nn.BatchNorm3d(channels),
            "c": nn.Conv3d(channels, 4 * channels, 1, bias=False),
            "c_bn": nn.BatchNorm3d(4 * channels)})
        if not block:
            unit["short"] = nn.Conv3d(width, 4 * channels, 1, bias=False)
            unit["short_bn"] = nn.BatchNorm3d(4 * channels)
        return unit


RENAMES = [r"^layer([1-4])\.=stage\1.", r"^conv1\.=stem.0.", r"^bn1\.=stem.1.", "^fc=head",
           r"downsample\.0=short", r"downsample\.1=short_bn",
           *(rf"\.conv{number}\.=.{letter}." for number, letter in enumerate("abc", 1)),
           *(rf"\.bn{number}\.=.{letter}_bn." for number, letter in enumerate("abc", 1))]


def as_options(renames):
    return [word for rename in renames for word in ("--rename", rename)]


def test_like_ones_own_class(work):
    flat = seeded("resnet50").state_dict()
    own = OwnResNet()
    torch.save(flat, work / "2d.pth")
    torch.save({"state_dict": own.state_dict(), "epoch": 0}, work / "own.pt")
    said = i3dconv("inflate", work / "2d.pth", "--like", work / "own.pt", "-o", work / "3d.pt",
                   *as_options(RENAMES)).decode()
    require(said == "320 of 320 filled\n", said)
    found = torch.load(work / "3d.pt")["state_dict"]
    own.load_state_dict(found, strict=True)
    sources = iter(flat.values())
    for key, value in own.state_dict().items():
        kernel = next(sources).numpy()
        require_equal(key, value.numpy(),
                      inflated(kernel, value.shape[2]) if kernel.ndim == 4 else kernel)


def test_like_what_does_not_fit(work):
    torch.save(seeded("resnet50").state_dict(), work / "2d.pth")
    own = OwnResNet(classes=5)
    torch.save(own.state_dict(), work / "own.pt")
    command = ("inflate", work / "2d.pth", "--like", work / "own.pt", "-o", work / "head.pt",
               *as_options(RENAMES))
    said = i3dconv(*command, status=1).decode()
    require(said.splitlines() == [
        "318 of 320 filled; left as they were: head.weight, head.bias",
        "does not fit: head.weight, 5x2048 there, 1000x2048 here",
        "does not fit: head.bias, 5 there, 1000 here",
        "not used: head.weight, 1000x2048", "not used: head.bias, 1000"], said)
    require(not (work / "head.pt").exists(), "something was written")
    i3dconv(*command, "--allow-missing", "head.*")
    found = torch.load(work / "head.pt")
    require(torch.equal(found["head.weight"], own.head.weight), "the head is not its own")
    own.load_state_dict(found, strict=True)


def test_like_monai(work):
    if not importlib.util.find_spec("monai"):
        common.lacking("Python package monai")
    from monai.networks.nets import resnet50

    flat = seeded("resnet50").state_dict()
    torch.save(flat, work / "2d.pth")
    for channels in (3, 1):
        own = resnet50(spatial_dims=3, n_input_channels=channels, num_classes=1000,
                       bias_downsample=False)
        torch.save(own.state_dict(), work / "own.pt")
        said = i3dconv("inflate", work / "2d.pth", "--like", work / "own.pt", "-o",
                       work / "3d.pt").decode()
        require(said == "320 of 320 filled\n", said)
        own.load_state_dict(torch.load(work / "3d.pt"), strict=True)
        kernel = flat["conv1.weight"].numpy()
        if channels == 1:
            kernel = kernel.astype("f8").sum(1, keepdims=True).astype("f4")
        require_equal("conv1.weight", own.conv1.weight.detach().numpy(), inflated(kernel, 7))


common.main()
