"""DATA tells its kind, or is asked for it; an option of another kind is refused by its name."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from torchlurk.errors import DataError, OptionError
from torchlurk.inputs.opening import open_source
from torchlurk.options import InputOptions


def write(path, content="1,2\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.new("RGB", (4, 4)).save(path)
    elif path.suffix == ".npy":
        np.save(path, np.zeros((2, 3, 1)))
    else:
        path.write_text(content)
    return path


def kind(data, **options):
    return open_source(str(data), InputOptions(**options), vocabulary=None).kind.name


@pytest.fixture
def vocabulary(tmp_path_factory):
    return str(write(tmp_path_factory.mktemp("vocabulary") / "v.json", '["1", "2", ","]'))


@pytest.mark.parametrize(("name", "expected"), [("a.png", "pictures"), ("a.txt", "text"), ("a.csv", "series")])
def test_a_folder_tells_its_kind(tmp_path, name, expected, vocabulary):
    write(tmp_path / "data" / "class" / name)
    options = {"vocabulary": vocabulary} if expected == "text" else {}
    assert kind(tmp_path / "data", **options) == expected
    assert kind(tmp_path / "data", kind=expected, **options) == expected


def test_a_folder_with_images_is_of_pictures_whatever_lies_beside_them(tmp_path):
    write(tmp_path / "a" / "1.png").rename(tmp_path / "a" / "without_suffix")
    for name in ("notes.txt", "a/notes.txt", "table.csv"):
        write(tmp_path / name)
    assert kind(tmp_path) == "pictures"


def test_a_folder_of_mixed_kinds_is_refused_and_told_apart_by_kind(tmp_path, vocabulary):
    write(tmp_path / "a.txt")
    write(tmp_path / "b.txt")
    write(tmp_path / "c.csv")
    with pytest.raises(DataError, match=r"holds (2 text files and 1 CSV files|1 CSV files and 2 text files).*--kind"):
        kind(tmp_path)
    assert kind(tmp_path, kind="series") == "series"
    assert kind(tmp_path, kind="text", vocabulary=vocabulary) == "text"


def test_files_of_any_name_are_text_where_that_is_said(tmp_path, vocabulary):
    write(tmp_path / "code" / "a.py")
    assert kind(tmp_path / "code", kind="text", vocabulary=vocabulary) == "text"
    assert kind(tmp_path / "code" / "a.py", kind="text", vocabulary=vocabulary) == "text"


@pytest.mark.parametrize(("name", "wanted"), [("a.txt", "series"), ("a.npy", "text"), ("a.csv", "pictures")])
def test_a_file_is_not_of_another_kind_than_it_is(tmp_path, name, wanted):
    with pytest.raises(OptionError, match=rf"--kind is '{wanted}', .*{name} is (text|series)"):
        kind(write(tmp_path / name), kind=wanted)


@pytest.mark.parametrize("name", ["data.txt", "data.csv", "data.npz:x"])
def test_a_missing_file_is_named_with_what_is_near(tmp_path, name):
    write(tmp_path / "date.txt")
    with pytest.raises(DataError, match=rf"no file .*{name}; nearest: date.txt"):
        kind(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("a.txt", {"crop": 8}, "--crop is for pictures; DATA is text"),
        ("a.txt", {"mean": (0.5,)}, "--mean is for pictures; DATA is text"),
        ("a.csv", {"resize": 8}, "--resize is for pictures; DATA is series"),
        ("a.csv", {"window": 8}, "--window is for text; DATA is series"),
        ("a.csv", {"lowercase": True}, "--lowercase is for text; DATA is series"),
        ("demo", {"burn_in": 8}, "--burn-in is for text; DATA is pictures"),
        ("demo", {"input_axes": "tb"}, "--input-axes is for text and series; DATA is pictures"),
        ("demo", {"kind": "text"}, "--kind applies to your own data, not to demo"),
        ("demo", {"classes": "a.csv"}, "--classes applies to your own data, not to demo"),
    ],
)
def test_an_option_of_another_kind_is_refused_by_its_name(tmp_path, name, options, words):
    data = name if name == "demo" else write(tmp_path / name)
    with pytest.raises(OptionError, match=words):
        kind(data, **options)


def test_a_list_names_files_and_their_classes(tmp_path):
    for name in ("x/1.png", "2.png", "3.png"):
        write(tmp_path / name)
    listed = write(tmp_path / "list.csv", "path,class\n3.png,10\nx/1.png,9\n2.png,\ngone.png,9\n")
    source = open_source(str(listed), InputOptions())
    assert [(one.path, one.class_index) for one in source.examples] == [("3.png", 1), ("x/1.png", 0), ("2.png", None)]
    assert [one.name for one in source.classes] == ["9", "10"]
    assert [(skip.path, skip.reason) for skip in source.skipped] == [("gone.png", "is not there")]
    other = write(tmp_path / "other.csv", "path,class\n3.png,9\nx/1.png,10\n2.png,\ngone.png,9\n")
    assert open_source(str(other), InputOptions()).fingerprint() != source.fingerprint()


def test_a_list_may_be_of_texts_or_of_series(tmp_path, vocabulary):
    write(tmp_path / "b.txt")
    write(tmp_path / "a.txt")
    write(tmp_path / "s.csv")
    texts = write(tmp_path / "texts.csv", "path,class\nb.txt,no\na.txt,yes\n")
    source = open_source(str(texts), InputOptions(vocabulary=vocabulary))
    assert [(one.path, one.class_index) for one in source.examples] == [("b.txt@0", 0), ("a.txt@0", 1)]
    series = open_source(str(write(tmp_path / "series.csv", "path,class\ns.csv,yes\n")), InputOptions())
    assert (series.kind.name, series.examples[0].path, series.classes[0].name) == ("series", "s.csv", "yes")
    mixed = write(tmp_path / "mixed.csv", "path,class\nb.txt,no\ns.csv,yes\n")
    with pytest.raises(DataError, match=r"mixed.csv holds 1 text files and 1 CSV files"):
        kind(mixed)


def test_classes_of_pictures_come_from_a_file_too(tmp_path):
    write(tmp_path / "data" / "a" / "1.png")
    write(tmp_path / "data" / "a" / "2.png")
    labels = write(tmp_path / "labels.csv", "a/1.png,new\na/2.png,old\n")
    source = open_source(str(tmp_path / "data"), InputOptions(classes=str(labels)))
    assert [one.name for one in source.classes] == ["new", "old"]
    assert [source.read(index).class_index for index in range(2)] == [0, 1]
    assert source.fingerprint() != open_source(str(tmp_path / "data"), InputOptions()).fingerprint()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "names no class"),
        ("path,class\n", "names no class"),
        ("1.png\n", "has the line '1.png'"),
        ("1.png,a,b\n", "has the line '1.png,a,b'"),
        ("9.png,a\n", r"names '9.png', which is not in the data; nearest: 1.png"),
    ],
)
def test_a_file_of_classes_that_does_not_fit_is_refused_in_one_line(tmp_path, content, words):
    write(tmp_path / "data" / "1.png")
    with pytest.raises(OptionError, match=f"--classes .*{words}"):
        open_source(str(tmp_path / "data"), InputOptions(classes=str(write(tmp_path / "labels.csv", content))))


@pytest.mark.parametrize("options", [{}, {"vocabulary": "v.json"}, {"tokenizer": "word"}])
def test_a_table_of_texts_is_refused_with_the_form_that_texts_have(options, tmp_path):
    (tmp_path / "reviews.csv").write_text("text,label\na good film,pos\n")
    with pytest.raises((DataError, OptionError), match=r"save texts as a \.tsv of text and class"):
        open_source(str(tmp_path / "reviews.csv"), InputOptions(**options))


def test_an_option_of_pictures_for_a_series_is_to_be_left_out(tmp_path):
    (tmp_path / "waves.csv").write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(OptionError, match=r"--mean is for pictures; DATA is series") as error:
        open_source(str(tmp_path / "waves.csv"), InputOptions(mean=(0.5, 0.5, 0.5)))
    assert error.value.hint == "leave it out"


def test_a_column_of_times_in_a_series_is_to_be_left_out(tmp_path):
    (tmp_path / "waves.csv").write_text("time,a\n2020-01-01,1\n2020-01-02,2\n")
    with pytest.raises(DataError, match="has '2020-01-01' in column 'time', not a number") as error:
        open_source(str(tmp_path / "waves.csv"), InputOptions())
    assert "leave out others, such as times" in error.value.hint
