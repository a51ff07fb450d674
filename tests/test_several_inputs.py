"""`explain`, `synthesize`, Image and Live on a network of several inputs: as of the same network with them built in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import torchlurk as tl
from torchlurk.anatomy import Change
from torchlurk.errors import MismatchError, ModelError, OptionError
from torchlurk.hierarchy.inspector import Inspector
from torchlurk.model_session import ModelSession
from torchlurk.models.taps.invocation import Invocation
from torchlurk.server.live.frame import Wanted, look
from torchlurk.server.running import Server

PLAIN = {"mean": (0, 0, 0), "std": (1, 1, 1)}


class Gated(nn.Module):
    """A picture whose channels are gated by a vector and scaled by a number."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.side, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(5, 4), nn.Linear(4, 3)

    def forward(self, image: Tensor, vector: Tensor, scale: float = 1.0) -> Tensor:
        gate = self.side(vector).relu()[:, :, None, None] * scale
        return self.head((self.conv(image).relu() * gate).mean((2, 3)))


class WithIn(Gated):
    """The same network with both built in."""

    def __init__(self, net: Gated, vector: Tensor, scale: float) -> None:
        super().__init__()
        self.load_state_dict(net.state_dict())
        self.vector, self.scale = vector, scale

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image, self.vector, self.scale)


@pytest.fixture(scope="module")
def net() -> Gated:
    torch.manual_seed(0)
    return Gated().eval()


@pytest.fixture(scope="module")
def image() -> Tensor:
    torch.manual_seed(1)
    return torch.rand(1, 3, 6, 7)


@pytest.fixture(scope="module")
def given() -> dict[str, Any]:
    torch.manual_seed(2)
    return {"further_inputs": {"vector": torch.randn(1, 5)}, "constants": {"scale": 3.0}}


@pytest.fixture(scope="module")
def built_in(net: Gated, given: dict[str, Any]) -> WithIn:
    return WithIn(net, given["further_inputs"]["vector"], 3.0).eval()


@pytest.fixture(scope="module")
def study(net: Gated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of the network on pictures, each with a vector of its own."""
    torch.manual_seed(3)
    data = [((torch.rand(3, 6, 7), torch.randn(5)), number % 3) for number in range(9)]
    out = tmp_path_factory.mktemp("several") / "a.lurk"
    tl.analyze(net, data, out, stages=["scan"], constants={"scale": 3.0}, top=2, **PLAIN).close()
    return out


def same(one: Any, other: Any) -> None:
    """Whether two documents hold the same words, and the same numbers up to rounding."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            same(one[name], other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            same(mine, theirs)
    else:
        assert one == (pytest.approx(other, abs=1e-5) if isinstance(one, float) else other)


def test_an_image_is_explained_as_in_the_network_that_has_the_others_built_in(net, built_in, image, given):
    found, expected = tl.explain(net, image, "head:1", **given), tl.explain(built_in, image, "head:1")
    ours, theirs = found.to_json(), expected.to_json()
    # What depends on the vector alone is a constant in the other network, and no layer.
    ours["layers"] = [layer for layer in ours["layers"] if layer["layer"] != "side"]
    same(ours["layers"], theirs["layers"])
    same(ours["predictions"], theirs["predictions"])
    own = {node.branch.last: node for node in found.root.nodes()}
    beneath = next(node for node in expected.root.nodes() if node.branch.last.layer == "conv")
    np.testing.assert_allclose(found.root.picture.values, expected.root.picture.values, atol=1e-6)
    assert own[beneath.branch.last].makeup.rest == pytest.approx(beneath.makeup.rest, abs=1e-6)
    sides = [node for node in found.root.nodes() if node.branch.last.layer == "side"]
    assert sides
    for node in sides:
        assert not node.children
        assert node.makeup.rest == pytest.approx(node.makeup.value)
        assert not node.picture.values.any()


def test_questions_about_an_image_leave_the_network_as_found(net, built_in, image, given):
    ours = Inspector(net, image, invocation=Invocation.of(net, **given))
    theirs = Inspector(built_in, image)
    unit = "conv:2"
    assert ours.activation(ours.branch(unit).root) == pytest.approx(theirs.activation(theirs.branch(unit).root))
    np.testing.assert_allclose(
        ours.pictures([ours.branch("head:0")])[0].values, theirs.pictures([theirs.branch("head:0")])[0].values, atol=1e-6
    )
    used, expected = ours.uses(unit), theirs.uses(unit)
    assert [one.unit for one in used["head"]] == [one.unit for one in expected["head"]]
    assert [one.contribution for one in used["head"]] == pytest.approx([one.contribution for one in expected["head"]], abs=1e-6)
    change = [[Change(ours.branch(unit).root)]]
    changed, alike = ours.effects(change)[0].predictions_after[0], theirs.effects(change)[0].predictions_after[0]
    assert changed.output == pytest.approx(alike.output, abs=1e-6)
    assert ours.on(1 - image).predictions()[0].output == pytest.approx(theirs.on(1 - image).predictions()[0].output, abs=1e-6)
    assert "forward" not in vars(net)


def test_each_of_several_images_has_its_own_row(net, image, given):
    images, vectors = torch.cat([image, 1 - image]), torch.randn(2, 5)
    found = tl.explain(net, images, "head:1", further_inputs={"vector": vectors}, depth=0)
    with torch.no_grad():
        assert found.root.activation == pytest.approx(float(net(images, vectors)[:, 1].mean()), abs=1e-6)
    with pytest.raises(OptionError, match=r"further_inputs\['vector'\] has 2 rows, and there are 3 inputs"):
        tl.explain(net, torch.cat([images, image]), further_inputs={"vector": vectors})


def test_a_frame_is_of_the_network_with_what_is_given_beside_it(net, built_in, image, given):
    ours, theirs = ModelSession(net, **given), ModelSession(built_in)
    for method in ("deconv", "gradient"):
        seen, expected = (
            look(one, one.ready(image), image, Wanted("conv", ours.inspect(image).branch("head:1").root, method))
            for one in (ours, theirs)
        )
        torch.testing.assert_close(seen.maps, expected.maps)
        torch.testing.assert_close(seen.projection, expected.projection)
        assert seen.predictions[0].output == pytest.approx(expected.predictions[0].output)


def test_a_synthesis_is_of_the_network_with_what_is_given_beside_it(net, built_in, given):
    plain = {**PLAIN, "size": 12, "steps": 4}
    ours, theirs = tl.synthesize(net, "head:1", **plain, **given), tl.synthesize(built_in, "head:1", **plain)
    torch.testing.assert_close(ours.image, theirs.image)
    with torch.no_grad():
        reached = net(ours.image[None], given["further_inputs"]["vector"], 3.0)[0, 1]
    assert ours.activation == pytest.approx(float(reached), abs=1e-5)
    assert "forward" not in vars(net)


@pytest.mark.slow
def test_a_dream_and_a_change_are_of_the_network_with_what_is_given_beside_it(net, built_in, given):
    torch.manual_seed(4)
    picture = torch.rand(3, 16, 16)
    dreams = [tl.dream(one, picture, "conv:1", scales=2, steps=2, **own) for one, own in ((net, given), (built_in, {}))]
    torch.testing.assert_close(dreams[0].image, dreams[1].image)
    pushed = [tl.toward(one, picture, "head:1", steps=2, **own) for one, own in ((net, given), (built_in, {}))]
    torch.testing.assert_close(pushed[0].after, pushed[1].after)


@pytest.mark.parametrize("ask", [tl.explain, lambda net, image: tl.synthesize(net, "head:1")])
def test_what_is_not_given_is_named_with_how_to_give_it(net, image, ask):
    with pytest.raises(ModelError, match=r"of Gated needs vector in addition to its input.*further_inputs=\{…\}.*constants="):
        ask(net, image)
    with pytest.raises(OptionError, match=r"further_inputs\['vector'\] has 2 rows, and there are 1 inputs"):
        tl.synthesize(net, "head:1", further_inputs={"vector": torch.zeros(2, 5)})


def test_beside_a_study_its_further_inputs_and_constants_are_asked_for(net, image, given, study):
    with pytest.raises(MismatchError, match=r"the model is given vector beside its image.*further_inputs="):
        tl.explain(net, image, study=study, constants=given["constants"])
    with pytest.raises(MismatchError, match=r"was made with other constants: scale"):
        tl.explain(net, image, study=study, further_inputs=given["further_inputs"], constants={"scale": 2.0})
    assert tl.explain(net, image, study=study, depth=0, **given).predictions


def test_a_study_is_served_with_its_own_model(net, image, given, study):
    with tl.open(study) as opened:
        with pytest.raises(MismatchError, match="given vector beside its image"):
            opened.serve(0, model=net)
        server: Server = opened.serve(0, model=net, device="cpu", **given)
    try:
        desk = server._beside.desk
        found = desk.open("a", [np.zeros((6, 7, 3), np.uint8)]).inspector.predictions(1)[0]
        with torch.no_grad():
            expected = net(torch.zeros(1, 3, 6, 7), given["further_inputs"]["vector"], 3.0)[0]
        assert found.index == int(expected.argmax())
    finally:
        server.stop()
