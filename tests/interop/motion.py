"""The real-motion identity: on any video, with zero padding in time, every layer is the 2D
network's kernels applied frame by frame, then a window over time."""

import common

common.need("onnx")

import json
import subprocess

import onnx

import small_networks
from common import I3DCONV, i3dconv, require

LARGEST_ERROR = 1e-5


def require_identity(flat, work, recipe, frames):
    i3dconv("inflate", flat, "-o", work / "three.onnx", "--recipe", recipe)
    done = subprocess.run([I3DCONV, "verify", flat, work / "three.onnx", "--motion", "--frames",
                           str(frames), "--json"], capture_output=True)
    require(done.returncode == 0, f"exit {done.returncode}: {done.stderr.decode()}")
    layers = json.loads(done.stdout)["layers"]
    missing = [layer["name"] for layer in layers if not layer["motion"]]
    require(not missing, f"no reference for {missing}")
    worst = max(layer["motion"]["max_relative"] for layer in layers)
    print(f"# {recipe}, {frames} frames, {len(layers)} layers: worst {worst:.1e}")
    require(worst <= LARGEST_ERROR, f"a layer is off by {worst:.1e}")
    require(all(layer["motion"]["good"] for layer in layers), "a layer fails")


def synthetic(work, architecture):
    i3dconv("zoo", "synth", architecture, "--seed", 4, "-o", work / "flat.onnx")
    return work / "flat.onnx"


def test_i3d_at_16_and_64_frames(work):
    flat = synthetic(work, "inception_v1")
    for frames in (16, 64):
        require_identity(flat, work, "i3d", frames)


def test_resnet50(work):
    require_identity(synthetic(work, "resnet50"), work, "mmaction2-i3d", 16)


def test_mobilenet_v2(work):
    require_identity(synthetic(work, "mobilenet_v2"), work, "isotropic", 8)


def test_u_net(work):
    """Down by a pool, up by a transposed convolution, joined with what was there before."""
    net = small_networks.Builder(9)
    high = net.normalised(net.convolution("image", 3, 8, 3), 8)
    low = net.node("MaxPool", high, kernel_shape=[2, 2], strides=[2, 2])
    low = net.normalised(net.convolution(low, 8, 16, 3), 16)
    up = net.node("ConvTranspose", low, net.weight(16, 8, 2, 2, scale=0.2), kernel_shape=[2, 2],
                  strides=[2, 2])
    joined = net.node("Concat", up, high, axis=1)
    value = net.normalised(net.convolution(joined, 16, 8, 3), 8)
    onnx.save(net.model(net.classifier(value, 8)), work / "flat.onnx")
    require_identity(work / "flat.onnx", work, "isotropic", 8)


common.main()
