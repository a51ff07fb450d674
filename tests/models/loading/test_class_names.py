"""Published networks bring the names of their classes, unless they have other outputs."""

from __future__ import annotations

import pytest

from torchlurk.model_session import ModelSession
from torchlurk.models.loading.class_names import published_names

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("spec", ["torchvision:squeezenet1_1", "timm:resnet18"])
def test_a_published_classifier_knows_what_its_outputs_are_called(spec):
    names = published_names(spec, 1000)
    assert names is not None
    assert names[:2] == ["tench", "goldfish"]
    assert names[217].startswith("English springer")


@pytest.mark.parametrize(
    ("spec", "outputs"),
    [("torchvision:squeezenet1_1", 10), ("torchvision:no_such", 1000), ("demo", 1000), ("net.py:net", 1000), ("hf:x/y", 1000)],
)
def test_of_other_outputs_and_other_models_nothing_is_known(spec, outputs):
    assert published_names(spec, outputs) is None


def test_predictions_are_called_by_names_without_a_file_of_them():
    session = ModelSession.load("torchvision:squeezenet1_1", "random", device="cpu")
    session.inspect(torch.zeros(1, 3, 64, 64))
    assert session.labels is not None
    assert session.labels[0] == "tench"
