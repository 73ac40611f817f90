"""torchvision's googlenet, exported to ONNX by PyTorch, inflates, verifies, and runs in
ONNX Runtime as the 2D network does."""

import common

common.need("torch", "torchvision", "onnx", "onnxruntime")

import networks
import onnx_tools
from common import i3dconv, inflate_and_verify, require_close


def require_inflates(flat, work):
    """Verify passes, the file is valid, and on a boring video with edge padding in time the
    runtime gives the 2D logits."""
    inflated = inflate_and_verify(flat, work / "inflated.onnx")
    onnx_tools.require_valid(inflated)

    i3dconv("inflate", flat, "-o", work / "edge.onnx", "--temporal-padding", "edge",
            "--frames", 16)
    onnx_tools.require_valid(work / "edge.onnx")
    image = onnx_tools.seeded_image()
    expected = onnx_tools.run(flat, image)[0]
    actual = onnx_tools.run(work / "edge.onnx", onnx_tools.boring_video(image, 16))[0]
    require_close(actual, expected, "edge padding, 16 frames")


def test_batch_norm_folded_by_the_exporter(work):
    require_inflates(networks.torchvision_googlenet(work / "flat.onnx", seed=1), work)


def test_batch_norm_nodes_kept(work):
    require_inflates(networks.torchvision_googlenet(work / "flat.onnx", seed=2, fold=False), work)


def test_transform_input_and_open_batch(work):
    require_inflates(networks.torchvision_googlenet(work / "flat.onnx", seed=3, opset=17,
                                                    transform_input=True, dynamic_batch=True),
                     work)


def test_identity_aliases_of_initializers(work):
    flat = networks.torchvision_googlenet(work / "flat.onnx", seed=4, random_statistics=False,
                                          opset=11)
    aliases = [node for node in onnx_tools.onnx.load(flat).graph.node
               if node.op_type == "Identity"]
    common.require(aliases, "the exporter wrote no Identity aliases; nothing is shown")
    require_inflates(flat, work)


common.main()
