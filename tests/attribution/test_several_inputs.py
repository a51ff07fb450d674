"""`attribute` on networks of several inputs: by autograd by hand, by Captum, and by closed forms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import torchlurk as tl
from torchlurk.errors import ModelError, OptionError
from torchlurk.models.taps.invocation import Invocation


class Gated(nn.Module):
    """A picture whose channels are gated by a vector, and a mask over its positions that may be left out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.side, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(5, 4), nn.Linear(4, 3)

    def forward(self, image: Tensor, vector: Tensor, mask: Tensor | None = None) -> Tensor:
        gate = self.side(vector).sigmoid()[:, :, None, None]
        found = self.conv(image).relu() * (gate if mask is None else gate * mask[:, None])
        return self.head(found.flatten(2).amax(2))


class Encoder(nn.Module):
    """Embeddings of tokens and segments, and attention that leaves out what is masked; ids come second, time first."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.segments = nn.Embedding(11, 8), nn.Embedding(2, 8)
        self.inner, self.head = nn.TransformerEncoderLayer(8, 2, 12), nn.Linear(8, 3)

    def forward(self, attention_mask: Tensor, ids: Tensor, segments: Tensor) -> Tensor:
        found = self.tokens(ids) + self.segments(segments)
        return self.head(self.inner(found, src_key_padding_mask=attention_mask == 0)[0])


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Gated().double().eval()


@pytest.fixture
def given() -> dict[str, Tensor]:
    torch.manual_seed(1)
    drawn = {"image": torch.rand(3, 3, 6, 7), "vector": torch.randn(3, 5), "mask": torch.rand(3, 6, 7)}
    return {name: one.double() for name, one in drawn.items()}


def by_hand(net: nn.Module, unit: int, of: str, **given: Tensor) -> Tensor:
    """The gradient of an output of each example, one after the other."""
    found = []
    for row in range(len(given[of])):
        own = {name: one[row : row + 1].clone().requires_grad_(name == of) for name, one in given.items()}
        net(**own)[0, unit].backward()
        found.append(own[of].grad)
    return torch.cat(found)


@pytest.mark.parametrize("of", ["image", "vector", "mask"])
def test_any_input_is_attributed_to_with_the_others_held(net, given, of):
    others = {name: one for name, one in given.items() if name != of}
    before = {name: one.clone() for name, one in given.items()}
    found = tl.attribute(net, given[of], "head:1", "gradient", further_inputs=others)
    torch.testing.assert_close(found, by_hand(net, 1, of, **given))
    assert all(torch.equal(one, given[name]) and not one.requires_grad for name, one in before.items())
    assert "forward" not in vars(net)


def test_one_row_goes_with_all_examples_and_what_is_optional_may_be_left_out(net, given):
    one = given["vector"][:1]
    found = tl.attribute(net, given["image"], "head:2", "gradient", further_inputs={"vector": one})
    torch.testing.assert_close(found, by_hand(net, 2, "image", image=given["image"], vector=one.expand(3, -1)))
    as_constant = tl.attribute(net, given["image"], "head:2", "gradient", constants={"vector": one})
    torch.testing.assert_close(as_constant, found)


@pytest.mark.parametrize(
    ("name", "ours"), [("InputXGradient", "input_x_gradient"), ("IntegratedGradients", "captum:IntegratedGradients")]
)
def test_captum_gives_the_same(net, given, name, ours):
    captum = pytest.importorskip("captum.attr")
    image = given["image"].clone().requires_grad_()
    expected = getattr(captum, name)(net).attribute(image, target=1, additional_forward_args=(given["vector"],))
    found = tl.attribute(net, given["image"], "head:1", ours, further_inputs={"vector": given["vector"]})
    torch.testing.assert_close(found, expected.detach())


def test_the_gradient_of_a_gated_convolution_is_its_kernel_times_the_gate(given):
    torch.manual_seed(0)

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, strength: Tensor, image: Tensor) -> Tensor:
            return self.conv(image * strength[:, None, None, None])

    net = Scaled().double().eval()
    strengths = torch.tensor([0.5, 2.0, -1.0]).double()
    found = tl.attribute(net, given["image"], "conv:1", "gradient", position=(2, 3), further_inputs={"strength": strengths})
    torch.testing.assert_close(found[:, :, 2:5, 3:6], strengths[:, None, None, None] * net.conv.weight[1])
    assert not found[:, :, :2].any()


def test_texts_have_their_masks_and_segments(given):
    torch.manual_seed(0)
    net = Encoder().double().eval()
    ids, segments = torch.randint(0, 11, (3, 6)), torch.randint(0, 2, (3, 6))
    mask = (torch.arange(6) < torch.tensor([[6], [4], [3]])).long()
    beside = {"attention_mask": mask, "segments": segments}
    found = tl.attribute(net, ids, "head:1", "input_x_gradient", input_axes="tb", further_inputs=beside)
    for row in range(3):
        looked_up: list[Tensor] = []

        def keep(module: nn.Module, args: Any, output: Tensor, kept: list[Tensor] = looked_up) -> Tensor:
            kept.append(output.detach().requires_grad_())
            return kept[0]

        handle = net.tokens.register_forward_hook(keep)
        other = net.segments.register_forward_hook(lambda module, args, output: output.detach())
        net(mask[row : row + 1], ids[row : row + 1].T, segments[row : row + 1].T)[0, 1].backward()
        handle.remove(), other.remove()
        expected = (looked_up[0] * looked_up[0].grad).sum(2)[:, 0]
        torch.testing.assert_close(found[row], expected)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({}, ModelError, r"the forward of Gated needs vector in addition to its input.*further_inputs=.*constants="),
        ({"vektor": torch.zeros(1, 5)}, ModelError, "no parameter 'vektor'.*available: mask, vector"),
        ({"vector": torch.zeros(2, 5)}, OptionError, r"further_inputs\['vector'\] has 2 rows, and there are 3 inputs"),
        ({"mask": torch.zeros(1, 6, 7)}, OptionError, "'mask' is in constants and in further_inputs"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(given, error, words):
    with pytest.raises(error, match=words) as told:
        tl.attribute(Gated(), torch.rand(3, 3, 6, 7), "head:0", constants={"mask": None}, further_inputs=given)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(("value", "words"), [([0.0] * 5, "is a list"), (torch.zeros(()), "is a tensor without axes")])
def test_a_further_input_is_a_batch(value, words):
    with pytest.raises(OptionError, match=rf"further_inputs\['vector'\] {words}   \(give a tensor with a row for each input"):
        Invocation.of(Gated(), None, {"vector": value})
