"""A few of the network families of `campaigns/families.py`: hooks alone and beside a mode, convolutions, windows and tokens."""

from __future__ import annotations

import pytest

from campaigns.families import FAMILIES, HEADER, INTRODUCTION, TABLE, Family, check, rows

SAMPLE = {
    "torchvision:resnet18",
    "torchvision:squeezenet1_1",
    "torchvision:googlenet",
    "torchvision:swin_t",
    "timm:convnext_atto",
    "timm:vit_tiny_patch16_224",
    "timm:ghostnet_100",
    "timm:mobilevit_xxs",
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:timm.*")
@pytest.mark.parametrize("family", [one for one in FAMILIES if one.spec in SAMPLE], ids=lambda family: family.spec)
def test_layers_are_found_and_taps_change_nothing(family: Family) -> None:
    check(family)


def test_the_table_has_each_model_once_and_no_other() -> None:
    text = TABLE.read_text()
    assert text.startswith(INTRODUCTION + HEADER)
    assert list(rows()) == [family.spec for family in FAMILIES]
    assert len(text.splitlines()) == len((INTRODUCTION + HEADER).splitlines()) + len(FAMILIES)
