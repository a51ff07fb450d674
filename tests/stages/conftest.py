"""Stages that are interrupted where they write, and what makes two studies the same."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest

from torchlurk.store.writing import Writer
from torchlurk.study import Study
from torchlurk.units import Unit

Interrupted = Callable[[str, int], AbstractContextManager[None]]


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Interrupted:
    """Within it, a method of the writer works so many times and is then interrupted, as by Ctrl-C, which must come."""

    @contextmanager
    def after(method: str, times: int) -> Iterator[None]:
        usual, calls = getattr(Writer, method), iter(range(times))

        def failing(self, *given):
            if next(calls, None) is None:
                raise KeyboardInterrupt
            usual(self, *given)

        with monkeypatch.context() as patched:
            patched.setattr(Writer, method, failing)
            with pytest.raises(KeyboardInterrupt):
                yield

    return after


@pytest.fixture
def same_scan() -> Callable[..., None]:
    """Compares two studies: what is chosen or ranked is the same, sums are to `sums`, relative."""
    return _same_scan


@pytest.fixture
def same_pictures() -> Callable[[Study, Study], None]:
    """Compares the attributions and syntheses of two studies, of which every unit has some."""
    return _same_pictures


def _same_scan(left: Study, right: Study, sums: float = 1e-12) -> None:
    assert [layer.record for layer in left.layers] == [layer.record for layer in right.layers]
    assert (left.classes, left.skipped, left.notes) == (right.classes, right.skipped, right.notes)
    count = left.reader.example_count()
    assert left.reader.examples(range(count)) == right.reader.examples(range(count))
    assert [left.reader.picture(index) for index in range(count)] == [right.reader.picture(index) for index in range(count)]
    assert np.array_equal(left.reader.sample_examples(), right.reader.sample_examples())
    for mine, theirs in (pair for layer in left.layers for pair in zip(layer, right[layer.name], strict=True)):
        assert mine.record.exemplars == theirs.record.exemplars
        np.testing.assert_array_equal(mine.sample, theirs.sample)
        statistics = [list(one.statistics.values()) for one in (mine, theirs)]
        np.testing.assert_allclose(*statistics, rtol=sums, atol=0)
        for ranking in ("max", "mean"):  # kept in single precision
            np.testing.assert_allclose(mine.record.classes[ranking], theirs.record.classes[ranking], rtol=2e-7)


def _same_pictures(left: Study, right: Study) -> None:
    assert set(left.notes) == set(right.notes)
    for layer in left.layers:
        assert left.reader.checks(layer.name) == right.reader.checks(layer.name)
        assert left.reader.effective_field(layer.name) == right.reader.effective_field(layer.name)
        for mine, theirs in zip(layer, right[layer.name], strict=True):
            unit = Unit.parse(mine.address)
            assert left.reader.attributions(unit) == right.reader.attributions(unit) != ()
            assert left.reader.syntheses(unit) == right.reader.syntheses(unit) != ()
            assert mine.record.exemplars == theirs.record.exemplars
