"""What fails in the middle of a scan is named: the examples, and the first error."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import torchlurk as tl
from torchlurk.errors import DataError, ModelError
from torchlurk.scanning.failures import naming_failures
from torchlurk.store.reading import Reader


class Moody(nn.Module):
    """Fails on an example whose largest value is above its limit."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.rnn, self.limit = nn.GRU(2, 3, batch_first=True), limit

    def forward(self, series: Tensor) -> Tensor:
        if series.max() > self.limit:
            raise ZeroDivisionError("too loud")
        found: Tensor = self.rnn(series)[0]
        return found


class Louder(Dataset[Tensor]):
    """Series, each louder than the one before; `typo` is from where on reading them fails."""

    def __init__(self, typo: int = 1000) -> None:
        self.typo = typo

    def __len__(self) -> int:
        return 300

    def __getitem__(self, index: int) -> Tensor:
        if index >= self.typo:
            return torch.rand(serie_length, 2)
        series = torch.linspace(0, 1, 10).reshape(5, 2).clone()
        series[0, 0] = index
        return series


def test_a_forward_that_fails_in_a_later_batch_is_one_line_that_names_it(tmp_path):
    with pytest.raises(ModelError, match=r"Moody failed on example 260: ZeroDivisionError: too loud") as caught:
        tl.analyze(Moody(259.5), Louder(), tmp_path / "s.lurk", batch_size=4, input_axes="btc")
    assert "the same command continues" in caught.value.hint
    assert caught.value.exit_status == 2


@pytest.mark.slow
def test_what_was_scanned_before_a_failure_is_kept_and_continued(tmp_path):
    out, net = tmp_path / "s.lurk", Moody(259.5)
    with pytest.raises(ModelError):
        tl.analyze(net, Louder(), out, batch_size=4, input_axes="btc")
    with Reader(out) as reader:
        assert not reader.runs()["scan"].finished
    net.limit = 1000
    tl.analyze(net, Louder(), out, batch_size=4, input_axes="btc").close()
    tl.analyze(net, Louder(), tmp_path / "whole.lurk", batch_size=4, input_axes="btc").close()
    with tl.open(out) as continued, tl.open(tmp_path / "whole.lurk") as whole:
        assert continued.unit("rnn.l0:1").to_json() == whole.unit("rnn.l0:1").to_json()


def test_examples_that_cannot_be_read_are_listed_with_their_own_error(tmp_path):
    with tl.analyze(Moody(1000), Louder(typo=290), tmp_path / "s.lurk", batch_size=4, input_axes="btc") as study:
        assert len(study.skipped) == 10
        assert {one.reason for one in study.skipped} == {"NameError: name 'serie_length' is not defined"}


def test_a_data_set_of_which_nothing_can_be_read_says_why(tmp_path):
    with pytest.raises(DataError, match="NameError: name 'serie_length' is not defined"):
        tl.analyze(Moody(1000), Louder(typo=0), tmp_path / "s.lurk")


def test_a_fault_of_the_package_itself_keeps_its_traceback():
    ours = {"__name__": "torchlurk.somewhere"}
    exec("def fail(): raise RuntimeError('a fault of our own')", ours)
    with pytest.raises(RuntimeError, match="of our own"), naming_failures(nn.Identity(), lambda: "example 1"):
        ours["fail"]()


class TooShort(nn.Module):
    """Fails in an operation of torch's, beside one that is watched for what follows it."""

    def __init__(self):
        super().__init__()
        self.c, self.fc = nn.Conv1d(2, 4, 9), nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(self.c(x.transpose(1, 2)).relu().mean(2))


def test_an_operation_that_is_watched_is_the_networks_own(tmp_path):
    series = [(torch.randn(steps, 2), index % 2) for index, steps in enumerate((15, 15, 15, 5))]
    with pytest.raises(ModelError, match="TooShort failed on example 3: RuntimeError: Calculated padded"):
        tl.analyze(TooShort().eval(), series, out=tmp_path / "short.lurk")
