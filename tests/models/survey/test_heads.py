"""The linear map that a network of tokens ends in: found where there is one, however it is written, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from torchlurk.models.survey.axes import Axes
from torchlurk.models.survey.layers import survey

TOKENS, UNITS, STEPS = 11, 4, 6


class Language(nn.Module):
    """An embedding, a recurrent module, and a head on its states; `head` does what is between these and the output."""

    def __init__(self, head: Callable[[Language, Tensor], Tensor], *, width: int = UNITS, **settings: object) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(TOKENS, UNITS)
        self.rnn = nn.LSTM(UNITS, UNITS, batch_first=True, **settings)
        self.dropout, self.norm, self.middle = nn.Dropout(0.5), nn.LayerNorm(width), nn.Linear(width, width)
        self.decoder = nn.Linear(width, TOKENS)
        self._head = head

    def forward(self, x: Tensor) -> Tensor:
        return self._head(self, self.rnn(self.embedding(x))[0])


def packed(net: Language, x: Tensor) -> Tensor:
    lengths = torch.full((len(x),), x.shape[1])
    states = pad_packed_sequence(net.rnn(pack_padded_sequence(net.embedding(x), lengths, batch_first=True))[0], True)[0]
    return net.decoder(states)


class Packed(Language):
    def forward(self, x: Tensor) -> Tensor:
        return packed(self, x)


class Last(Language):
    """Reads the state after the last step, as the module gives it."""

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.rnn(self.embedding(x))[1][0][-1])


class Looped(Language):
    """A cell that is called in a loop, with the head after each step."""

    def __init__(self) -> None:
        super().__init__(lambda net, h: h)
        self.cell = nn.GRUCell(UNITS, UNITS)

    def forward(self, x: Tensor) -> Tensor:
        h, scores = torch.zeros(len(x), UNITS), []
        for step in self.embedding(x).unbind(1):
            h = self.cell(step, h)
            scores.append(self.decoder(h))
        return torch.stack(scores, 1).log_softmax(-1)


def found(net: nn.Module) -> dict[str, Tensor]:
    return dict(survey(net.eval(), torch.randint(0, TOKENS, (1, STEPS)), axes=Axes.of("bt")).head)


def tied(net: Language, h: Tensor) -> Tensor:
    return linear(h, net.embedding.weight)


def multiplied(net: Language, h: Tensor) -> Tensor:
    return h @ net.embedding.weight.T


@pytest.mark.parametrize(
    ("net", "weight", "layers"),
    [
        (Language(lambda net, h: net.decoder(h)), "decoder", ["rnn.l0"]),
        (Language(lambda net, h: net.decoder(net.dropout(h)).log_softmax(-1).transpose(1, 2)), "decoder", ["rnn.l0"]),
        (Language(lambda net, h: net.decoder(h.reshape(-1, UNITS))), "decoder", ["rnn.l0"]),
        (Language(lambda net, h: net.decoder(h[:, -1])), "decoder", ["rnn.l0"]),
        (Language(lambda net, h: net.decoder(h), num_layers=2), "decoder", ["rnn.l1"]),
        (Language(lambda net, h: net.decoder(h), bidirectional=True, width=8), "decoder", ["rnn.l0", "rnn.l0_reverse"]),
        (Language(lambda net, h: net.decoder(h), proj_size=3, width=3), "decoder", ["rnn.l0"]),
        (Language(tied), "embedding", ["rnn.l0"]),
        (Language(multiplied), "embedding", ["rnn.l0"]),
        (Language(lambda net, h: net.decoder(net.middle(h).relu())), "decoder", ["middle"]),
        (Packed(lambda net, h: h), "decoder", ["rnn.l0"]),
        (Last(lambda net, h: h), "decoder", ["rnn.l0"]),
        (Looped(), "decoder", ["cell"]),
    ],
    ids=[
        "plain", "dropout, softmax", "folded", "last step", "two layers", "both directions", "projection",
        "tied", "tied product",
        "a layer between", "packed", "final state", "cell",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_the_weights_of_a_linear_head_are_found(net: nn.Module, weight: str, layers: list[str]) -> None:
    heads = found(net)
    assert set(layers) <= set(heads) <= {*layers, "dropout"}
    torch.testing.assert_close(torch.cat([heads[layer] for layer in layers], 1), getattr(net, weight).weight.detach())


@pytest.mark.parametrize(
    "head",
    [
        lambda net, h: net.decoder(net.norm(h)),
        lambda net, h: net.decoder(h.tanh()),
        lambda net, h: net.decoder(h * h.softmax(1)),
        lambda net, h: net.decoder(h) + net.decoder(h * 2),
        lambda net, h: h,
        lambda net, h: net.decoder(h).tanh(),
    ],
    ids=["norm", "nonlinearity", "attention", "sum", "none", "after"],
)
def test_a_head_that_is_not_linear_has_no_weights(head: Callable[[Language, Tensor], Tensor]) -> None:
    assert not set(found(Language(head))) - {"norm"}


def test_a_weight_is_what_a_unit_adds_to_an_output() -> None:
    net = Language(lambda net, h: net.decoder(h)).eval()
    states = torch.randn(1, 1, UNITS, dtype=torch.float64)
    moved = states.clone()
    moved[..., 2] += 0.5
    net.decoder.double()
    change = net.decoder(moved) - net.decoder(states)
    torch.testing.assert_close(change[0, 0], 0.5 * found(Language(lambda net, h: net.decoder(h)))["rnn.l0"][:, 2].double())
