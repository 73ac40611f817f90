"""The two temporal paddings in ONNX Runtime, on the network with SAME padding that I3D was
inflated from: with edges every clip gives the 2D logits, with zeros the clean frames do."""

import common

common.need("onnx", "onnxruntime")

import json

import numpy
import onnx

import onnx_tools
from common import TOLERANCE, i3dconv, relative_error, require, require_close


def prepare(work):
    flat, onnx_flat = work / "flat.h5", work / "flat.onnx"
    if not flat.exists():
        i3dconv("zoo", "synth", "inception_v1", "--seed", 7, "-o", flat)
        i3dconv("convert", flat, "-o", onnx_flat)
    return flat, onnx_flat


def test_edge_padding_at_16_frames(work):
    flat, onnx_flat = prepare(work)
    inflated = work / "edge.onnx"
    i3dconv("inflate", flat, "-o", inflated, "--temporal-padding", "edge", "--frames", 16)
    onnx_tools.require_valid(inflated)
    image = onnx_tools.seeded_image()
    expected = onnx_tools.run(onnx_flat, image)[0]
    actual = onnx_tools.run(inflated, onnx_tools.boring_video(image, 16))[0]
    require_close(actual, expected, "edge padding, 16 frames")


def test_zero_padding_at_128_frames(work):
    """Of the 15 frames of logits, 6 to 8 have windows inside the clip through all layers."""
    flat, onnx_flat = prepare(work)
    i3dconv("inflate", flat, "-o", work / "zero.onnx")
    model = onnx.load(work / "zero.onnx")
    onnx_tools.expose_frame_logits(model)
    image = onnx_tools.seeded_image()
    expected = onnx_tools.run(onnx_flat, image)[0].reshape(-1)
    logits = onnx_tools.run(model, onnx_tools.boring_video(image, 128))[-1]
    require(logits.shape == (1, expected.size, 15, 1, 1), f"logits are {logits.shape}")
    errors = [relative_error(logits[0, :, frame, 0, 0], expected) for frame in range(15)]
    print("# relative error by frame:", " ".join(f"{error:.1e}" for error in errors))
    worst_clean = max(errors[6:9])
    require(worst_clean <= TOLERANCE / 10, "a frame that sees no zeros differs")
    # The neighbours see zeros through a thin thread of layers only: 3e-6 to 1.5e-5.
    require(min(errors[:6] + errors[9:]) > 3 * worst_clean, "a frame that sees zeros agrees")
    require(min(errors[:4] + errors[11:]) > TOLERANCE, "the frames near the ends agree")


def test_deviation_is_that_of_onnx_runtime(work):
    """What verify says of each frame of logits as deployed is what ONNX Runtime computes, from
    the very input that verify takes: the noise of its seed."""
    flat, onnx_flat = prepare(work)
    i3dconv("inflate", flat, "-o", work / "zero.onnx")
    report = json.loads(i3dconv("verify", flat, work / "zero.onnx", "--as-deployed", "--frames",
                                128, "--json"))
    result = report["result"]
    require((result["clean_first"], result["clean_last"], result["frames"]) == (6, 8, 15),
            f"clean frames {result}")
    require(result["shortest_clip"] == 109, f"shortest clip {result['shortest_clip']}")
    model = onnx.load(work / "zero.onnx")
    onnx_tools.expose_frame_logits(model)
    name = model.graph.output[-1].name
    ours = next(layer["deviation"] for layer in report["layers"] if layer["twin"] == name)
    # One image of the seed is what the 2D network alone takes, too.
    i3dconv("verify", onnx_flat, "--dump", work / "image.npz", "--quiet")
    image = numpy.load(work / "image.npz")[onnx.load(onnx_flat).graph.input[0].name]
    expected = onnx_tools.run(onnx_flat, image)[0].reshape(-1)
    logits = onnx_tools.run(model, onnx_tools.boring_video(image, 128))[-1]
    theirs = [relative_error(logits[0, :, frame, 0, 0], expected) for frame in range(15)]
    print("# frame by frame:", " ".join(f"{a:.1e}/{b:.1e}" for a, b in zip(ours, theirs)))
    require(len(ours) == 15 and max(ours[6:9]) < 1e-5, "a clean frame is off")
    require(max(ours) > 1e-2, "no frame deviates")
    require(max(abs(a - b) for a, b in zip(ours, theirs)) < 1e-4, "the deviations differ")


common.main()
