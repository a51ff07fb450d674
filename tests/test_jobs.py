import pytest

from torchlurk.jobs import Shard, joined, remaining


@pytest.mark.parametrize("done", [[], [Shard(0, 4)], [Shard(3, 5), Shard(8, 10)], [Shard(0, 10)], [Shard(9, 10), Shard(0, 1)]])
@pytest.mark.parametrize("size", [1, 3, 10, 99])
def test_what_remains_and_what_is_done_cover_every_example_once(done, size):
    shards = remaining(10, done, size)
    covered = [index for shard in [*shards, *done] for index in range(shard.start, shard.stop)]
    assert sorted(covered) == list(range(10))
    assert all(0 < len(shard) <= size for shard in shards)
    assert shards == sorted(shards)


def test_neighbours_are_joined_whatever_their_order():
    assert joined([Shard(4, 6), Shard(0, 2), Shard(2, 4), Shard(8, 9)]) == [Shard(0, 6), Shard(8, 9)]


def test_nothing_to_do_is_no_shard():
    assert remaining(0, [], 5) == []
