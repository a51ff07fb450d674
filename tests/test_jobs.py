import pytest

from torchlurk.errors import OptionError
from torchlurk.jobs import Shard, Share, joined, remaining


@pytest.mark.parametrize("done", [[], [Shard(0, 4)], [Shard(3, 5), Shard(8, 10)], [Shard(0, 10)], [Shard(9, 10), Shard(0, 1)]])
@pytest.mark.parametrize("size", [1, 3, 10, 99])
def test_what_remains_and_what_is_done_cover_every_example_once(done, size):
    shards = remaining(Shard(0, 10), done, size)
    covered = [index for shard in [*shards, *done] for index in range(shard.start, shard.stop)]
    assert sorted(covered) == list(range(10))
    assert all(0 < len(shard) <= size for shard in shards)
    assert shards == sorted(shards)


def test_neighbours_are_joined_whatever_their_order():
    assert joined([Shard(4, 6), Shard(0, 2), Shard(2, 4), Shard(8, 9)]) == [Shard(0, 6), Shard(8, 9)]


def test_nothing_to_do_is_no_shard():
    assert remaining(Shard(0, 0), [], 5) == []


@pytest.mark.parametrize(("items", "unit", "of"), [(60, 8, 3), (60, 8, 8), (7, 1, 3), (5, 4, 4), (1000, 7, 11)])
def test_shares_cover_every_item_once_and_are_cut_at_whole_units(items, unit, of):
    cuts = [Share(number, of).cut(items, unit) for number in range(1, of + 1)]
    assert [index for cut in cuts for index in range(cut.start, cut.stop)] == list(range(items))
    assert all(edge % unit == 0 or edge == items for cut in cuts for edge in (cut.start, cut.stop))
    sizes = [-(-len(cut) // unit) for cut in cuts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("text", ["", "3", "0/3", "4/3", "1/", "/3", "-1/3", "1/3/5", "a/b", "1 of 3"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(OptionError, match="--part is"):
        Share.parse(text)


def test_a_share_is_read_as_it_is_written():
    assert str(Share.parse("2/8")) == "2/8"


def test_what_remains_of_a_share_lies_within_it():
    assert remaining(Shard(4, 10), [Shard(4, 6)], 3) == [Shard(6, 9), Shard(9, 10)]
