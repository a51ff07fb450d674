"""The demo's network for text: it predicts the next character of the text world's documents."""

from __future__ import annotations

from importlib.resources import as_file, files

from jaxtyping import Float, Int64
from safetensors.torch import load_file
from torch import Tensor, nn

TOKENS = ("<unk>", "\n", *' !",.()/:?{}', *"01234", *"abcdefghijklmnopqrstuvwxyz", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""The characters that it knows, by index; the first stands for all others."""
EMBEDDED, UNITS = 32, 128
WEIGHTS = "demo_text.safetensors"
"""The file beside this module, written by training/train_demo_text.py; half precision."""


class DemoTextNetwork(nn.Module):
    """An LSTM over characters. Every document begins with a state of zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(TOKENS), EMBEDDED)
        self.lstm = nn.LSTM(EMBEDDED, UNITS, batch_first=True)
        self.head = nn.Linear(UNITS, len(TOKENS))

    def forward(self, tokens: Int64[Tensor, "batch time"]) -> Float[Tensor, "batch time token"]:
        """After each character, the logit of each that may come next."""
        states, _ = self.lstm(self.embedding(tokens))
        logits: Tensor = self.head(states)
        return logits


def demo_text_network() -> DemoTextNetwork:
    """The trained network in eval mode, in single precision."""
    network = DemoTextNetwork()
    with as_file(files("torchlurk.models.loading") / WEIGHTS) as path:
        network.load_state_dict(load_file(path))
    return network.eval()
