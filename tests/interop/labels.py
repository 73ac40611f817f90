"""The lists of labels beside torchvision's: the same names in the same order."""

import os
import pathlib

import common

common.need("torchvision")

from torchvision.models import ResNet50_Weights
from torchvision.models.video import R3D_18_Weights

from common import require

FOLDER = pathlib.Path(os.environ["srcdir"]) / "zoo" / "labels"


def names(path):
    return path.read_text().splitlines()


def test_imagenet_and_kinetics(work):
    for name, weights in (("imagenet-1k", ResNet50_Weights.IMAGENET1K_V2),
                          ("kinetics-400", R3D_18_Weights.KINETICS400_V1)):
        require(names(FOLDER / f"{name}.txt") == weights.meta["categories"], f"{name} differs")


common.main()
