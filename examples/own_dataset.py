"""Any model and any map-style data set: here a network for grey 28 × 28 pictures of two drawn shapes.

python examples/own_dataset.py [STUDY]
"""

import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

import torchlurk as tl

MEAN, STD = 0.2, 0.4


class Shapes(Dataset[tuple[Tensor, int]]):
    """Discs and bars somewhere on a dark ground, normalized."""

    classes = ("disc", "bar")

    def __len__(self) -> int:
        return 200

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        random = torch.Generator().manual_seed(index)
        x, y = (torch.randint(6, 22, (2,), generator=random)).tolist()
        rows, columns = torch.meshgrid(torch.arange(28), torch.arange(28), indexing="ij")
        disc = ((rows - y) ** 2 + (columns - x) ** 2 < 25).float()
        bar = ((rows - y).abs() < 2).float()
        picture = disc if index % 2 == 0 else bar
        return ((picture - MEAN) / STD)[None], index % 2


class Net(nn.Module):
    """Untrained, to keep the example short: the point is that nothing of it has to be changed."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(1, 8, 5), nn.Conv2d(8, 16, 3), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.gelu(self.second(x))
        return self.last(x.mean((2, 3)))


torch.manual_seed(0)
out = sys.argv[1] if len(sys.argv) > 1 else "shapes.lurk"
with tl.analyze(Net(), Shapes(), out, mean=[MEAN], std=[STD]) as study:
    print(study)
    for unit in study["second"][:4]:
        best = unit.exemplars("max")[0]
        print(unit.address, "likes", unit.classes("max")[0][0], f"(best: example {best.example}, box {best.box})")
