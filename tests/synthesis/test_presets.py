"""The presets hold the numbers of their authors, and one of one's own goes wherever a name goes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from torchlurk.errors import OptionError
from torchlurk.synthesis.objectives import Channel, Neuron
from torchlurk.synthesis.optimizers import Adam, GradientStep, NAdam, TargetStep
from torchlurk.synthesis.parameterizations import Fourier, Phase, Pixels
from torchlurk.synthesis.presets import LUCID, preset
from torchlurk.synthesis.regularizers import Blur, Clip, Decay, SmallContribution, SmallNorm
from torchlurk.synthesis.transforms import Crop, Jitter, Pad, Rotate, Scale, Views
from torchlurk.tables import PRESETS


def test_there_are_six() -> None:
    assert sorted(PRESETS) == ["lucid", "maco", "yosinski-1", "yosinski-2", "yosinski-3", "yosinski-4"]
    assert all(one.name == name for name, one in PRESETS.items())


# Yosinski et al. 2015, table 1: decay, (blur radius, every), small norm, small contribution, steps, rate.
TABLE = {
    "yosinski-1": (0, (0.5, 4), 50, None, 500, ("progress", 100, 2.0)),
    "yosinski-2": (0.3, None, 20, None, 750, ("constant", 100)),
    "yosinski-3": (0.0001, (1.0, 4), None, None, 1000, ("constant", 100)),
    "yosinski-4": (0, (0.5, 4), None, 90, 1000, ("progress", 1e8, 2.0)),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_four_sets_of_yosinski_are_as_in_their_table(name) -> None:
    decay, blur, norm, contribution, steps, rate = TABLE[name]
    one = preset(name)
    of = {type(correction): correction for correction in one.corrections}
    assert len(of) == len(one.corrections)
    assert of.get(Decay, Decay(0)) == Decay(decay)
    assert of.get(Blur) == (Blur(*blur) if blur else None)
    assert of.get(SmallNorm) == (SmallNorm(norm) if norm else None)
    assert of.get(SmallContribution) == (SmallContribution(contribution) if contribution else None)
    assert of[Clip] == Clip()
    assert (one.steps, one.bulk_steps) == (steps, steps)
    assert (one.parameterization, one.objective, one.views) == (Pixels(10.0), Neuron(), Views())
    if rate[0] == "progress":
        assert isinstance(one.climb, TargetStep)
        assert (one.climb.most, one.climb.desired) == rate[1:]
    else:
        assert isinstance(one.climb, GradientStep)
        assert one.climb.rate == rate[1]


def test_corrections_come_in_the_order_of_the_paper_s_loop() -> None:
    order = [Decay, Clip, Blur, SmallNorm, SmallContribution]
    for name in TABLE:
        kinds = [order.index(type(one)) for one in preset(name).corrections]
        assert kinds == sorted(kinds)


def test_lucid_has_the_constants_of_lucid() -> None:
    one = preset("lucid")
    assert (one.parameterization, one.objective, one.climb) == (Fourier(0.01, 1.0), Channel(), Adam(0.05))
    assert one.views == Views((Pad(12), Jitter(8), Scale(0.9, 1.1), Rotate(10), Jitter(4)))
    assert (one.steps, one.bulk_steps, one.redirected) == (512, 128, 16)
    assert one.corrections == one.penalties == ()


def test_maco_has_the_constants_of_its_authors() -> None:
    one = preset("maco")
    assert (one.parameterization, one.objective, one.climb) == (Phase(1.0), Channel(), NAdam(1.0))
    assert one.views == Views((Crop(0.5, 0.05, 0.15),), count=32, noise=0.08)
    assert (one.steps, one.transparency) == (256, True)


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(OptionError, match="no preset 'yosinski-5'; nearest: yosinski") as caught:
        preset("yosinski-5")
    assert "maco" in caught.value.hint
    with pytest.raises(OptionError, match="no preset 'lucit'; nearest: lucid"):
        preset("lucit")


def test_a_preset_of_one_s_own_is_taken_as_it_is() -> None:
    own = replace(LUCID, name="mine", objective=-Channel())
    assert preset(own) is own
