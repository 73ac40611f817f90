"""A 3D network that a script in PyTorch inflated, rightly and in the ways such scripts go
wrong, exported by PyTorch: pairing by structure, and the verdict on each."""

import common

common.need("torch", "onnx")

import torch
from torch import nn

import onnx
from common import i3dconv, require

FRAMES, SIZE = 8, 24


class Network(nn.Module):
    """The same network in two and three dimensions."""

    def __init__(self, three):
        super().__init__()
        conv, norm, pool = (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d) if three \
            else (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d)
        self.three = three
        self.conv1 = conv(3, 8, 5, stride=2, padding=2, bias=False)
        self.bn1 = norm(8, eps=1e-3)
        self.pool = pool(3, 2, 1)
        self.conv2 = conv(8, 8, 3, padding=1)
        self.bn2 = norm(8)
        self.conv3 = conv(8, 8, 1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        x = x + self.conv3(torch.relu(self.bn2(self.conv2(x))))
        return self.fc(x.mean((2, 3, 4) if self.three else (2, 3)))


def inflated(flat, change=None):
    """As scripts do it: repeat along axis 2, divide; change works on the state dict."""
    network = Network(True)
    state = {}
    for name, value in flat.state_dict().items():
        if value.ndim == 4:
            depth = value.shape[2]
            value = value.unsqueeze(2).repeat(1, 1, depth, 1, 1) / depth
        state[name] = value.clone()
    if change:
        change(state)
    network.load_state_dict(state)
    return network


def undivided(state):
    state["conv2.weight"] *= 3


def without_bias(state):
    state["conv2.bias"].zero_()


def bgr(state):
    state["conv1.weight"] = state["conv1.weight"].flip(1)


def transposed(state):
    state["conv2.weight"] = state["conv2.weight"].transpose(3, 4).contiguous()


def gamma_forgotten(state):
    state["bn2.weight"].fill_(1)


def epsilon_forgotten(network):
    network.bn1.eps = 1e-5


def export(network, path, three):
    network.eval()
    shape = (1, 3, FRAMES, SIZE, SIZE) if three else (1, 3, SIZE, SIZE)
    # PyTorch folds BatchNorm into both networks' kernels as it exports them.
    torch.onnx.export(network, torch.zeros(shape), str(path), opset_version=13,
                      input_names=["video" if three else "image"], output_names=["scores"],
                      training=torch.onnx.TrainingMode.EVAL)
    if three:
        model = onnx.load(str(path))
        model.metadata_props.append(onnx.StringStringEntryProto(key="i3dconv.time_axis",
                                                                value="2"))
        onnx.save(model, str(path))


def flat_network():
    torch.manual_seed(5)
    network = Network(False)
    for norm in (network.bn1, network.bn2):
        nn.init.normal_(norm.weight, 1, 0.2)
        nn.init.normal_(norm.bias, 0, 0.2)
        nn.init.normal_(norm.running_mean, 0, 0.2)
        nn.init.uniform_(norm.running_var, 0.5, 1.5)
    return network


def verdict(work, network):
    export(network, work / "three.onnx", True)
    status = 0
    try:
        text = i3dconv("verify", work / "flat.onnx", work / "three.onnx", "--motion", "--quiet",
                       quiet=True)
    except AssertionError:
        status = 1
        text = i3dconv("verify", work / "flat.onnx", work / "three.onnx", "--motion", "--quiet",
                       status=1, quiet=True)
    line = text.decode().strip()
    print("#", line, flush=True)
    return status, line


def test_right(work):
    flat = flat_network()
    export(flat, work / "flat.onnx", False)
    status, line = verdict(work, inflated(flat))
    require(status == 0 and line.startswith("PASS"), line)


def test_wrong(work):
    flat = flat_network()
    export(flat, work / "flat.onnx", False)
    epsilon = inflated(flat)
    epsilon_forgotten(epsilon)
    wrong = {undivided: "not divided by 3", without_bias: "", bgr: "opposite order", transposed: "transposed",
             gamma_forgotten: ""}
    networks = [(change.__name__, inflated(flat, change), text) for change, text in wrong.items()]
    for name, network, text in [*networks, ("epsilon", epsilon, "")]:
        status, line = verdict(work, network)
        require(status == 1 and line.startswith("FAIL first at"), f"{name} passes: {line}")
        require(text in line, f"{name}: {line}")


common.main()
