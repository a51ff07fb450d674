"""Series in arrays, archives' files and tables become examples of (time, channel), and what is wrong is said in a line."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from torchlurk.errors import DataError, OptionError
from torchlurk.inputs.feeding import check_repeatable, feed, read_twice
from torchlurk.inputs.opening import open_source
from torchlurk.inputs.source import Source
from torchlurk.options import InputOptions
from torchlurk.records import Skip

SERIES = np.arange(24, dtype=np.float64).reshape(3, 4, 2)

TS = """#A comment
@problemName Small
@timeStamps false
@missing true
@univariate false
@dimensions 2
@equalLength false
@classLabel true low high
@data
1,2,3:4,5,6:high
7,8:9,10:low
1,?:2,3:low
"""


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def opened(path, **options):
    return open_source(str(path), InputOptions(**options))


def values(source):
    return [source.read(one.index).values.tolist() for one in source.examples]


def saved(path, array, **others):
    np.savez(path, x=array, **others) if path.suffix == ".npz" else np.save(path, array)
    return path


def test_the_classes_of_a_split_are_those_of_its_own_name(tmp_path):
    file = tmp_path / "a.npz"
    np.savez(file, X_train=SERIES, y_train=np.array([0, 1, 0]))
    assert [one.class_index for one in opened(file).examples] == [0, 1, 0]
    np.savez(file, X_train=SERIES, y_train=np.array([0, 1, 0]), X_test=SERIES, y_test=np.array([2, 1, 1]))
    assert [one.class_index for one in opened(f"{file}:X_test").examples] == [2, 1, 1]
    with pytest.raises(DataError, match="2 arrays that may be the series: X_train, X_test "):
        opened(file)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays_are_example_time_channel(tmp_path, suffix):
    source = opened(saved(tmp_path / f"a{suffix}", SERIES))
    assert isinstance(source, Source)
    assert values(source) == SERIES.tolist()
    assert source.read(0).values.dtype == torch.float32
    assert source.lengths.tolist() == [4, 4, 4]
    assert source.counted(1) == (0, 4)
    assert (source.classes, source.examples[0].path) == ((), "")
    assert check_repeatable(read_twice(source)) == ""


def test_an_array_without_channels_has_one(tmp_path):
    source = opened(saved(tmp_path / "a.npy", SERIES[..., 0].astype(np.int16)))
    assert values(source) == SERIES[..., :1].tolist()


@pytest.mark.parametrize(
    ("labels", "names", "indices"),
    [
        (np.array([2, 0, 2]), ["0", "1", "2"], [2, 0, 2]),
        (np.array([2.0, 0.0, 2.0]), ["0", "1", "2"], [2, 0, 2]),
        (np.array(["b", "a", "b"]), ["a", "b"], [1, 0, 1]),
    ],
)
@pytest.mark.parametrize("name", ["y", "labels", "targets"])
def test_an_archive_may_hold_the_classes(tmp_path, name, labels, names, indices):
    source = opened(saved(tmp_path / "a.npz", SERIES, **{name: labels}))
    assert [one.name for one in source.classes] == names
    assert [one.class_index for one in source.examples] == indices


def test_of_several_arrays_one_is_named(tmp_path):
    file = saved(tmp_path / "a.npz", SERIES, noise=SERIES * 2)
    with pytest.raises(DataError, match=r"2 arrays that may be the series: x, noise   \(name one: .*a.npz:NAME\)"):
        opened(file)
    assert values(opened(f"{file}:noise")) == (SERIES * 2).tolist()
    with pytest.raises(DataError, match=r"no array 'noises'; nearest: noise"):
        opened(f"{file}:noises")


def test_an_example_with_missing_values_is_skipped(tmp_path):
    array = SERIES.copy()
    array[1, 2, 1] = np.nan
    (batch,) = feed(opened(saved(tmp_path / "a.npy", array)), range(3), 3)
    assert batch.examples.tolist() == [0, 2]
    assert batch.skipped == ((1, "has missing values, the first at step 2 of channel 1"),)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda path: np.save(path, np.array([{}, []], object), allow_pickle=True),
            "Python objects, which are never unpickled",
        ),
        (lambda path: np.save(path, np.zeros(3)), r"has the shape \(3,\), not \(example, time, channel\)"),
        (lambda path: np.save(path, np.zeros((3, 0, 2))), r"has the shape \(3, 0, 2\)"),
        (lambda path: np.save(path, np.array([["a"]])), "values of type <U1, not numbers"),
        (lambda path: path.write_bytes(b"nothing"), "cannot be read as a NumPy file"),
        (lambda path: path.write_bytes(b""), "cannot be read as a NumPy file"),
    ],
)
def test_an_array_that_is_no_series_is_refused_in_one_line(tmp_path, make, words):
    make(tmp_path / "a.npy")
    with pytest.raises(DataError, match=words) as refused:
        opened(tmp_path / "a.npy")
    assert "\n" not in str(refused.value)


def test_labels_of_another_length_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"'y' has the shape \(2,\), 'x' 3 examples"):
        opened(saved(tmp_path / "a.npz", SERIES, y=np.array([0, 1])))
    labels = write(tmp_path / "labels.csv", "number,class\n0,a\n1,b\n")
    with pytest.raises(OptionError, match=r"labels.csv has 2 rows, the data 3 examples"):
        opened(saved(tmp_path / "a.npy", SERIES), classes=str(labels))
    write(labels, "0,b\n1,a\n2,b\n")
    assert [one.class_index for one in opened(tmp_path / "a.npy", classes=str(labels)).examples] == [1, 0, 1]


def test_a_ts_file_may_have_lengths_that_differ_and_missing_values(tmp_path):
    source = opened(write(tmp_path / "a.ts", TS))
    assert values(source) == [[[1, 4], [2, 5], [3, 6]], [[7, 9], [8, 10]]]
    assert source.lengths.tolist() == [3, 2]
    assert [one.name for one in source.classes] == ["low", "high"]
    assert [one.class_index for one in source.examples] == [1, 0]
    assert source.skipped == (Skip("line 12", "has missing values"),)
    assert len(list(feed(source, range(2), 8))) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[: text.index("@data")], "ends before @data"),
        (lambda text: text[: text.index("1,2,3")], "has no example that can be read after @data"),
        (lambda text: text[: text.index(",10:low")], r"line 11: 1 dimension\(s\) where 2 are declared"),
        (lambda text: text[: text.index("gh\n7")], "line 10: the class 'hi' is not declared"),
        (lambda text: text.replace("4,5,6", "4,5"), "line 10: dimensions of 2 and 3 steps in one example"),
        (lambda text: text.replace("4,5,6", "4,x,6"), "line 10: could not convert string to float: 'x'"),
        (lambda text: text.replace("@equalLength false", "@seriesLength 3"), "line 11: 2 steps where 3 are declared"),
        (lambda text: text.replace("timeStamps false", "timeStamps true"), "has time stamps, which are not read"),
        (lambda text: text.replace("dimensions 2", "dimensions two"), "line 6: @dimensions is 'two', not a number"),
        (lambda text: text.replace("@data\n", ""), "line 9: '1,2,3:4,5,6:high' stands before @data"),
    ],
)
def test_a_ts_file_cut_short_or_wrong_is_refused_at_its_line(tmp_path, change, words):
    with pytest.raises(DataError, match=words) as refused:
        opened(write(tmp_path / "a.ts", change(TS)))
    assert "\n" not in str(refused.value)


def test_a_ts_file_without_classes_or_with_numbers_to_predict_has_none(tmp_path):
    plain = TS.replace("@classLabel true low high", "@classLabel false").replace(":high", "").replace(":low", "")
    assert opened(write(tmp_path / "a.ts", plain)).classes == ()
    regression = TS.replace("@classLabel true low high", "@targetLabel true").replace(":high", ":1.5").replace(":low", ":2")
    source = opened(write(tmp_path / "b.ts", regression))
    assert (source.classes, len(source.examples)) == ((), 2)


def test_a_csv_file_is_one_series_whose_columns_are_channels(tmp_path):
    source = opened(write(tmp_path / "a.csv", "x;y\n1;2\n3;4\n"))
    assert values(source) == [[[1, 2], [3, 4]]]
    shown = source.kind.shown(source.read(0), source.examples[0])
    assert (shown.channels, shown.counted, shown.values.tolist()) == (("x", "y"), (0, 2), [[1, 2], [3, 4]])
    assert source.kind.description.channels == ("x", "y")
    without = opened(write(tmp_path / "b.csv", "1,2\n3,4\n"))
    assert values(without) == [[[1, 2], [3, 4]]]
    assert without.kind.description.channels == ("", "")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is empty"),
        ("x,y\n", "has a header but no rows"),
        ("x,y\n1,2\n3\n", "row 2 has 1 columns, the first 2"),
        ("x,y\n1,2\n3,\n", "row 2 has no value in column 'y'"),
        ("1,2\n3,nan\n", "row 2 has no value in column 2"),
        ("day,y\n2020-01-01,2\n", "row 1 has '2020-01-01' in column 'day', not a number"),
    ],
)
def test_a_table_that_is_no_series_is_refused_and_in_a_folder_passed_over(tmp_path, content, reason):
    write(tmp_path / "bad.csv", content)
    with pytest.raises(DataError, match=f"bad.csv {reason}"):
        opened(tmp_path / "bad.csv")
    write(tmp_path / "good.csv", "x,y\n1,2")
    source = opened(tmp_path)
    assert [one.path for one in source.examples] == ["good.csv"]
    assert source.skipped == (Skip("bad.csv", reason),)


def test_a_folder_of_tables_has_a_class_a_sub_folder(tmp_path):
    write(tmp_path / "run" / "1.csv", "x,y\n1,2")
    write(tmp_path / "rest" / "2.csv", "x,y\n3,4\n5,6")
    write(tmp_path / "rest" / "turned.csv", "y,x\n1,2")
    source = opened(tmp_path)
    assert [(one.path, one.class_index) for one in source.examples] == [("rest/2.csv", 0), ("run/1.csv", 1)]
    assert source.skipped == (Skip("rest/turned.csv", "has the columns y, x, rest/2.csv x, y"),)
    assert source.lengths.tolist() == [2, 1]


def test_a_neutral_series_is_the_mean_of_each_channel(tmp_path):
    source = opened(write(tmp_path / "a.ts", TS))
    neutral = source.kind.neutral(torch.zeros(2, 4, 2))
    assert neutral.shape == (2, 4, 2)
    assert neutral[1, 3].tolist() == pytest.approx([(1 + 2 + 3 + 7 + 8) / 5, (4 + 5 + 6 + 9 + 10) / 5])


def test_the_fingerprint_knows_values_and_classes_and_not_where(tmp_path):
    file = write(tmp_path / "a.ts", TS)
    first = opened(file).fingerprint()
    assert opened(shutil.copy(file, tmp_path / "b.ts")).fingerprint() == first
    assert opened(write(file, TS.replace("7,8", "7,8.001"))).fingerprint() != first
    assert opened(write(file, TS.replace("6:high", "6:low"))).fingerprint() != first
    assert opened(write(file, TS), limit=1).fingerprint() != first


def test_real_series_are_read_as_a_literal_loop_reads_them(data):
    file = data / "series" / "JapaneseVowels_TEST.ts"
    source = opened(file)
    lines = [line for line in file.read_text().splitlines() if line and line[0] not in "#@"]
    assert len(source.examples) == len(lines) == 370
    for index in (0, 17, 369):
        *dimensions, label = lines[index].split(":")
        literal = np.array([[float(one) for one in row.split(",")] for row in dimensions], np.float32).T
        assert np.array_equal(source.read(index).values, literal)
        assert source.classes[source.examples[index].class_index].name == label
    assert (source.lengths.min(), source.lengths.max()) == (7, 29)


def test_a_real_file_cut_anywhere_in_its_last_line_is_noticed(data, tmp_path):
    text = (data / "series" / "BasicMotions_TEST.ts").read_text().rstrip()
    last = len(text) - text.rindex("\n")
    for missing in (1, 8, 9, 10, 500, last - 2):
        with pytest.raises(DataError, match=r"cut.ts, line 53: .*is the file complete"):
            opened(write(tmp_path / "cut.ts", text[:-missing]))
