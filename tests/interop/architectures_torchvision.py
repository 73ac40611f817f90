"""The architectures against torchvision: each parameter has the name and shape that it has
there, torchvision loads what was made, and computes what ONNX Runtime computes from the graph
that the weights are bound to."""

import common

common.need("torch", "torchvision", "onnx", "onnxruntime", "safetensors")

import safetensors.numpy
import torch
import torchvision

import networks
import onnx_tools
from common import i3dconv, refusal, require, require_close

CLASSES = 7
TORCHVISION = ("resnet18", "resnet50", "vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn",
               "vgg16_bn", "vgg19_bn", "densenet121", "mobilenet_v2", "squeezenet1_1")
EXPORTED = ("vgg11", "vgg11_bn", "densenet121", "mobilenet_v2", "squeezenet1_1")
IMAGE = onnx_tools.seeded_image()


def torchvision_network(name):
    return getattr(torchvision.models, name)(weights=None, num_classes=CLASSES).eval()


def torch_logits(network):
    with torch.no_grad():
        return network(torch.from_numpy(IMAGE)).numpy()


def bound_logits(path, work):
    graph = work / "bound.onnx"
    i3dconv("convert", path, "-o", graph)
    onnx_tools.require_valid(graph)
    logits = onnx_tools.run(graph, IMAGE)[0].reshape(1, -1)
    graph.unlink()
    return logits


def test_torchvision_loads_and_computes_the_same(work):
    for name in TORCHVISION:
        path = work / "made.pt"
        i3dconv("zoo", "synth", name, "--seed", 3, "--classes", CLASSES, "-o", path)
        made = torch.load(path, weights_only=True)
        network = torchvision_network(name)
        wanted = network.state_dict()
        require(set(made) == set(wanted), f"{name}: the names differ by "
                f"{sorted(set(made) ^ set(wanted))[:4]}")
        for key, value in wanted.items():
            require(made[key].shape == value.shape, f"{name}: {key} is {made[key].shape}")
        network.load_state_dict(made, strict=True)
        require_close(bound_logits(path, work), torch_logits(network), name)
        path.unlink()


def test_export_of_torchvision_gets_its_names_back(work):
    for name in EXPORTED:
        network = torchvision_network(name)
        with torch.no_grad():
            generator = torch.Generator().manual_seed(2)
            for module in network.modules():
                networks.randomise(module, generator, True)
        exported, back = work / "exported.onnx", work / "back.safetensors"
        torch.onnx.export(network, torch.from_numpy(IMAGE), exported, opset_version=13)
        said = i3dconv("inspect", exported).decode()
        require(f"architecture  {name.removesuffix('_bn')}" in said, said[:300])
        dialect = "torchvision-" + {"vgg11": "vgg", "vgg11_bn": "vgg", "densenet121": "densenet",
                                    "squeezenet1_1": "squeezenet"}.get(name, name)
        i3dconv("convert", exported, "-o", back, "--dialect", dialect)
        require_close(bound_logits(back, work), torch_logits(network), name)
        exported.unlink()


def test_published_densenet_names(work):
    """The file that torchvision publishes has names that torchvision renames on loading."""
    made, old = work / "densenet.safetensors", work / "published.safetensors"
    i3dconv("zoo", "synth", "densenet121", "--seed", 3, "--classes", CLASSES, "-o", made)
    tensors = safetensors.numpy.load_file(made)
    renamed = {name: value for name, value in tensors.items() if "num_batches" not in name}
    for part in ("norm", "conv"):
        for number in "12":
            renamed = {name.replace(f".{part}{number}.", f".{part}.{number}."): value
                       for name, value in renamed.items()}
    safetensors.numpy.save_file(renamed, old)
    require("torchvision-densenet-2017" in i3dconv("inspect", old).decode(), "not recognised")
    require((bound_logits(old, work) == bound_logits(made, work)).all(), "other logits")


def test_between_the_two(work):
    """The same geometry: VGG-16 goes from one to the other; what pads otherwise does not."""
    keras_file, torch_file, back = work / "k.h5", work / "t.safetensors", work / "back.h5"
    i3dconv("zoo", "synth", "vgg16", "--seed", 5, "--classes", CLASSES, "-o", keras_file,
            "--dialect", "keras-applications-vgg16")
    i3dconv("convert", keras_file, "-o", torch_file, "--dialect", "torchvision-vgg")
    i3dconv("convert", torch_file, "-o", back, "--dialect", "keras-applications-vgg16")
    require(back.read_bytes() == keras_file.read_bytes(), "not the same after there and back")
    network = torchvision_network("vgg16")
    network.load_state_dict({name: torch.from_numpy(value) for name, value in
                             safetensors.numpy.load_file(torch_file).items()}, strict=True)
    require_close(bound_logits(keras_file, work), torch_logits(network), "VGG-16 of both")
    made = work / "mobilenet.safetensors"
    i3dconv("zoo", "synth", "mobilenet_v2", "--seed", 5, "-o", made)
    said = refusal("convert", made, "-o", work / "x.h5", "--dialect",
                   "keras-applications-mobilenet_v2", status=4)
    require("only the pads differ" in said, said)


def test_inflated_from_weights_alone(work):
    """MobileNetV2 is not compared here: with seeded weights rounding grows from layer to layer
    beyond the tolerance; any_network.py compares it with others."""
    for name in ("mobilenet_v2", "squeezenet1_1"):
        made, inflated = work / f"{name}.safetensors", work / f"{name}.3d.safetensors"
        i3dconv("zoo", "synth", name, "--seed", 6, "--classes", CLASSES, "-o", made)
        i3dconv("inflate", made, "-o", inflated)
        if name == "squeezenet1_1":
            require(common.verify(made, inflated, frames=32).startswith("PASS"), "it fails")
        said = i3dconv("inspect", inflated).decode()
        require(f"architecture  {name}, inflated to 3D" in said, said[:300])


common.main()
