"""A part of the campaign `hostile_disks`: what a disk does to an analysis is said in a line, and nothing finished is lost."""

import pytest
import torch

from campaigns import hostile_disks


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    torch.set_num_threads(1)
    return hostile_disks.Studies(tmp_path_factory.mktemp("disks"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "check", [hostile_disks.quota, hostile_disks.vanished, hostile_disks.two_at_once, hostile_disks.power_cut]
)
def test_what_the_disk_does_to_an_attribution_is_said_in_a_line(studies, check):
    check(studies, "attribute")
