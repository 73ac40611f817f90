"""I3D in PyTorch with the parameter names of pytorch-i3d or of hassony2's port, so that
load_state_dict(strict=True) and a forward pass show what their code would see."""

import torch
from torch import nn
from torch.nn import functional

# Channels of each block: branch 0; 1a, 1b; 2a, 2b; 3b.
BLOCKS = {
    "3b": (64, 96, 128, 16, 32, 32), "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64), "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64), "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128), "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}
NAMES = {
    "pytorch-i3d": {
        "stem": "Conv3d_{}", "block": "Mixed_{}", "batch_norm": "bn", "logits": "logits",
        "branches": ("b0", "b1a", "b1b", "b2a", "b2b", "b3b"),
    },
    "hassony2-i3d": {
        "stem": "conv3d_{}", "block": "mixed_{}", "batch_norm": "batch3d",
        "logits": "conv3d_0c_1x1",
        "branches": ("branch_0", "branch_1.0", "branch_1.1", "branch_2.0", "branch_2.1",
                     "branch_3.1"),
    },
}


def pad_same(x, kernel, stride):
    """Zeros as TensorFlow's SAME puts them: the smaller half first."""
    pads = []
    for size, k, s in reversed(list(zip(x.shape[2:], kernel, stride))):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        pads += [total // 2, total - total // 2]
    return functional.pad(x, pads)


def max_pool(x, kernel, stride):
    return functional.max_pool3d(pad_same(x, kernel, stride), kernel, stride)


class I3D(nn.Module):
    def __init__(self, dialect, channels, classes):
        super().__init__()
        self.names = NAMES[dialect]
        for unit, made, taken, kernel in (("1a_7x7", 64, channels, 7), ("2b_1x1", 64, 64, 1),
                                          ("2c_3x3", 192, 64, 3)):
            self.put_unit(self.names["stem"].format(unit), made, taken, kernel)
        taken = 192
        for block, made in BLOCKS.items():
            inputs = (taken, taken, made[1], taken, made[3], taken)
            for i, branch in enumerate(self.names["branches"]):
                self.put_unit(self.names["block"].format(block) + "." + branch, made[i],
                              inputs[i], 3 if i in (2, 4) else 1)
            taken = made[0] + made[2] + made[4] + made[5]
        self.put(self.names["logits"] + ".conv3d", nn.Conv3d(taken, classes, 1))

    def put(self, path, module):
        *folders, name = path.split(".")
        parent = self
        for folder in folders:
            if folder not in parent._modules:
                parent.add_module(folder, nn.Module())
            parent = parent._modules[folder]
        parent.add_module(name, module)

    def put_unit(self, path, made, taken, kernel):
        self.put(path + ".conv3d", nn.Conv3d(taken, made, kernel, bias=False))
        self.put(f"{path}.{self.names['batch_norm']}", nn.BatchNorm3d(made, eps=1e-3))

    def unit(self, x, path, stride=1):
        conv = self.get_submodule(path + ".conv3d")
        norm = self.get_submodule(f"{path}.{self.names['batch_norm']}")
        steps = (stride,) * 3
        x = pad_same(x, conv.kernel_size, steps)
        return functional.relu(norm(functional.conv3d(x, conv.weight, stride=steps)))

    def stem(self, x, unit, stride=1):
        return self.unit(x, self.names["stem"].format(unit), stride)

    def block(self, x, name):
        b0, b1a, b1b, b2a, b2b, b3b = (self.names["block"].format(name) + "." + branch
                                       for branch in self.names["branches"])
        return torch.cat([self.unit(x, b0), self.unit(self.unit(x, b1a), b1b),
                          self.unit(self.unit(x, b2a), b2b),
                          self.unit(max_pool(x, (3, 3, 3), (1, 1, 1)), b3b)], 1)

    def forward(self, x):
        x = max_pool(self.stem(x, "1a_7x7", 2), (1, 3, 3), (1, 2, 2))
        x = self.stem(self.stem(x, "2b_1x1"), "2c_3x3")
        x = max_pool(x, (1, 3, 3), (1, 2, 2))
        for name in BLOCKS:
            if name == "4b":
                x = max_pool(x, (3, 3, 3), (2, 2, 2))
            if name == "5b":
                x = max_pool(x, (2, 2, 2), (2, 2, 2))
            x = self.block(x, name)
        x = functional.avg_pool3d(x, (2, 7, 7), stride=1)
        return self.get_submodule(self.names["logits"] + ".conv3d")(x).mean((2, 3, 4))
