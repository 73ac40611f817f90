"""verify --audit of state_dicts whose networks i3dconv does not know: tensors paired by name."""

import common

common.need("torch")

import json

import torch
from torch import nn

from common import i3dconv, require


def prepare(work):
    torch.manual_seed(7)
    flat = nn.Sequential(nn.Conv2d(3, 6, 7), nn.BatchNorm2d(6), nn.Conv2d(6, 8, 3, bias=False),
                         nn.Conv2d(8, 8, 1), nn.Linear(8, 5)).state_dict()
    for name, value in flat.items():
        if value.is_floating_point():
            value.uniform_(0.1, 1)
    torch.save(flat, work / "flat.pth")
    return flat


def inflated(flat):
    """As scripts do it: repeat, divide."""
    return {name: value.unsqueeze(2).repeat(1, 1, value.shape[2], 1, 1) / value.shape[2]
            if value.ndim == 4 else value.clone() for name, value in flat.items()}


def audit(work, state, status):
    torch.save(state, work / "three.pth")
    report = i3dconv("verify", "--audit", work / "flat.pth", work / "three.pth",
                     status=status).decode().rstrip().split("\n")
    print("#", report[-1])
    return report


def test_right_ones_pass(work):
    flat = prepare(work)
    report = audit(work, inflated(flat), 0)
    require(report[-1] == "PASS weights of 11 tensors audited; nothing was run", report[-1])
    state = inflated(flat)
    for name in ("0.weight", "2.weight"):  # centre instead of repeat is a way, too
        state[name].zero_()
        state[name][:, :, (state[name].shape[2] - 1) // 2] = flat[name]
    require(any("center: one slice of 7" in line for line in audit(work, state, 0)), "no note")
    state = inflated(flat)
    state["1.num_batches_tracked"] += 5
    audit(work, state, 0)
    i3dconv("inflate", work / "flat.pth", "-o", work / "ours.pth", "--recipe", "isotropic")
    i3dconv("verify", "--audit", work / "flat.pth", work / "ours.pth")


def test_wrong_ones_are_named(work):
    flat = prepare(work)

    def change(name, what):
        state = inflated(flat)
        state[name] = what(state[name])
        return state

    def slice_of(tensor):
        tensor[:, :, 4] *= 1.25
        return tensor

    def uneven(tensor):
        tensor[:, :, 0] *= 1.5
        tensor[:, :, 2] *= 0.5
        return tensor

    wrong = [
        ("0.weight", slice_of, "slice 5 of 7 is 1.25"),
        ("0.weight", lambda tensor: tensor * 7, "not divided by 7"),
        ("0.weight", lambda tensor: tensor.flip(1), "(RGB and BGR)"),
        ("2.weight", uneven, ""),
        ("2.weight", lambda tensor: tensor / 3, ""),
        ("2.weight", lambda tensor: tensor[:, :, 0, :2], "cannot come from one of 8x6x3x3"),
        ("1.running_var", lambda tensor: tensor * 1.01, "the value of channel 0 is"),
        ("4.bias", lambda tensor: tensor[:4], "cannot come from one of 5"),
    ]
    for name, what, reason in wrong:
        last = audit(work, change(name, what), 1)[-1]
        require(last.startswith(f"FAIL first at {name}: ") and reason in last, last)


def test_missing_and_unexpected_are_listed(work):
    state = inflated(prepare(work))
    state["5.weight"] = state.pop("4.weight")
    report = audit(work, state, 1)
    require("only in 2D: 4.weight" in report and "only in 3D: 5.weight" in report, report)
    require(report[-1].startswith("FAIL 1 tensors are only in 2D, 1 only in 3D"), report[-1])
    found = json.loads(i3dconv("verify", "--audit", work / "flat.pth", work / "three.pth",
                               "--json", status=1))
    require(found["only_2d"] == ["4.weight"] and found["only_3d"] == ["5.weight"]
            and not found["pass"], found)


def test_strangers_are_refused(work):
    flat = prepare(work)
    torch.save({f"backbone.{name}": value for name, value in inflated(flat).items()},
               work / "other.pth")
    said = common.refusal("verify", "--audit", work / "flat.pth", work / "other.pth", status=4)
    require("no kernel of the 2D file is there with one axis more, by name" in said, said)
    torch.save(inflated(flat), work / "three.pth")
    common.refusal("verify", work / "flat.pth", work / "three.pth", status=4)
    common.refusal("verify", "--audit", "--recipe", "isotropic", work / "flat.pth",
                   work / "three.pth", status=4)


common.main()
