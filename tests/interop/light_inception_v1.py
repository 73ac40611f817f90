"""The ONNX project's Inception-V1 (BVLC's: biases, LRN, 5x5), refilled from a seed."""

import common

common.need("onnx", "onnxruntime")

import onnx

import networks
import onnx_tools
from common import i3dconv, inflate_and_verify, require_close


# Its pools have no pads, so that 16 frames end as one, and the head wants two. A file
# made for 16 frames has a head for those.
SHORTEST_CLIP = 24


def require_inflates(model, work):
    flat = work / "flat.onnx"
    onnx.save(model, flat)
    onnx_tools.require_valid(inflate_and_verify(flat, work / "inflated.onnx",
                                                frames=SHORTEST_CLIP))

    i3dconv("inflate", flat, "-o", work / "edge.onnx", "--temporal-padding", "edge",
            "--frames", 16)
    common.verify(flat, work / "edge.onnx")
    onnx_tools.require_valid(work / "edge.onnx")
    image = onnx_tools.seeded_image()
    expected = onnx_tools.run(flat, image)[0]
    actual = onnx_tools.run(work / "edge.onnx", onnx_tools.boring_video(image, 16))[0]
    require_close(actual, expected, "edge padding, 16 frames")


def test_weights_as_initializers(work):
    require_inflates(networks.refill_light_model("light_inception_v1.onnx", seed=5), work)


def test_weights_made_by_constant_nodes(work):
    require_inflates(networks.refill_light_model("light_inception_v1.onnx", seed=6,
                                                 as_constants=True), work)


def test_weights_made_by_constant_of_shape_nodes(work):
    """As published: every weight is 0.02, so this shows that the file is read, no more.
    Sums of positive numbers only: Winograd's differences of them cost it digits (1.8e-5)."""
    flat = networks.find_light_model("light_inception_v1.onnx")
    i3dconv("inflate", flat, "-o", work / "inflated.onnx")
    i3dconv("verify", flat, work / "inflated.onnx", "--frames", SHORTEST_CLIP, "--engine",
            "reference", "--quiet")


common.main()
