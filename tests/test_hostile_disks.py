"""A part of the campaign `hostile_disks`: what a disk does to an analysis is said in a line, and nothing finished is lost."""

import pytest
import torch

from campaigns import hostile_disks


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    torch.set_num_threads(1)
    return hostile_disks.Studies(tmp_path_factory.mktemp("disks"))


@pytest.mark.slow
@pytest.mark.parametrize("check", ["quota", "folder that vanishes", "two analyses of one study"])
def test_what_the_disk_does_to_an_attribution_is_said_in_a_line(studies, check, monkeypatch):
    monkeypatch.setattr(hostile_disks, "ROOM", (0, 100 << 10))
    monkeypatch.setattr(hostile_disks, "MOMENTS", 2)
    hostile_disks.CHECKS[check](studies, "attribute")


@pytest.mark.slow
def test_a_power_cut_loses_nothing_that_was_finished(studies):
    hostile_disks.power_cut(studies, "attribute", every=5)
