"""Text files are read as windows of token ids, each of which knows where in its file it stands."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch

from torchlurk.errors import DataError, MissingExtraError, OptionError
from torchlurk.inputs.feeding import check_repeatable, feed, read_twice
from torchlurk.inputs.opening import open_source
from torchlurk.inputs.source import Source, Windowed
from torchlurk.options import InputOptions
from torchlurk.records import Skip

LETTERS = {"<pad>": 0, "<unk>": 1} | {letter: index for index, letter in enumerate("abcdefghij \n", 2)}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def opened(path, vocabulary=LETTERS, **options):
    return open_source(str(path), InputOptions(**options), vocabulary=vocabulary)


def tokens(source):
    return [source.kind.shown(source.read(one.index), one).tokens for one in source.examples]


def test_a_running_text_is_cut_into_windows_that_know_their_offset(tmp_path):
    text = "abcdefghij" * 3
    source = opened(write(tmp_path / "a.txt", text), window=8, burn_in=2)
    assert isinstance(source, Source)
    assert isinstance(source, Windowed)
    assert [one.path for one in source.examples] == ["a.txt@0", "a.txt@8", "a.txt@14", "a.txt@20", "a.txt@26"]
    assert [source.counted(index) for index in range(5)] == [(0, 8), (2, 8), (2, 8), (2, 8), (2, 6)]
    assert source.lengths.tolist() == [8, 8, 8, 8, 6]
    for example in source.examples:
        item = source.read(example.index)
        shown = source.kind.shown(item, example)
        assert item.values.dtype == torch.int64
        assert [LETTERS[one] for one in shown.tokens] == item.values.tolist()
        assert [text[offset] for offset in shown.offsets] == list(shown.tokens)
        assert shown.counted == source.counted(example.index)
        assert example.path == f"a.txt@{shown.offsets[shown.counted[0]]}"


def test_windows_can_be_cut_anew_for_networks_that_read_backward(tmp_path):
    source = opened(write(tmp_path / "a.txt", "abcdefghij" * 2), window=8, burn_in=2)
    both = source.burning(left=True, right=True)
    assert [source.repeated(index) for index in range(len(source.examples))] == [0, 2, 2]
    assert [both.repeated(index) for index in range(len(both.examples))] == [0, 4, 4, 4]
    assert [both.counted(index) for index in range(len(both.examples))] == [(0, 6), (2, 6), (2, 6), (2, 8)]
    assert both.fingerprint() != source.fingerprint()
    assert source.burning(left=True, right=False).fingerprint() == source.fingerprint()
    with pytest.raises(OptionError, match=r"on both sides leaves nothing"):
        opened(tmp_path / "a.txt", window=8, burn_in=4).burning(left=True, right=True)


def test_lines_are_one_example_each_whatever_ends_them(tmp_path):
    content = b"\xef\xbb\xbfab\r\ncd\n\n\re f\rg"
    source = opened(write(tmp_path / "a.txt", content), lines=True)
    assert tokens(source) == [("a", "b"), ("c", "d"), ("e", " ", "f"), ("g",)]
    text = content.decode("utf-8-sig")
    assert [one.path for one in source.examples] == [f"a.txt@{text.index(start)}" for start in "aceg"]


def test_line_ends_within_a_running_text_stay_as_they_are(tmp_path):
    source = opened(write(tmp_path / "a.txt", b"a\r\nb"))
    assert tokens(source) == [("a", "\r", "\n", "b")]
    assert source.read(0).values.tolist() == [2, 1, 13, 3]


def test_words_are_runs_of_letters_or_single_signs_at_their_offsets(tmp_path):
    known = {"<unk>": 0, "the": 1, "cat": 2, ",": 3, "don": 4, "'": 5, "t": 6}
    source = opened(write(tmp_path / "a.txt", "The  cat,\n don't sat"), known, tokenizer="word", lowercase=True)
    (example,) = source.examples
    shown = source.kind.shown(source.read(0), example)
    assert shown.tokens == ("The", "cat", ",", "don", "'", "t", "sat")
    assert shown.offsets == (0, 5, 8, 11, 14, 15, 17)
    assert source.read(0).values.tolist() == [1, 2, 3, 4, 5, 6, 0]
    assert opened(tmp_path / "a.txt", known, tokenizer="word").read(0).values.tolist()[0] == 0


def test_words_are_shown_in_windows_as_in_the_whole(tmp_path):
    words = [f"w{number}" for number in range(20)]
    source = opened(write(tmp_path / "a.txt", " ".join(words)), words, tokenizer="word", window=6, burn_in=2)
    assert [tokens(source)[index][slice(*source.counted(index))] for index in range(len(source.examples))] == [
        tuple(words[start:stop]) for start, stop in ((0, 6), (6, 10), (10, 14), (14, 18), (18, 20))
    ]


def test_sub_folders_are_classes(tmp_path):
    write(tmp_path / "up" / "1.txt", "abc")
    write(tmp_path / "down" / "2.txt", "de")
    write(tmp_path / "loose.txt", "f")
    source = opened(tmp_path)
    assert [one.name for one in source.classes] == ["down", "up"]
    assert [(one.path, one.class_index) for one in source.examples] == [
        ("down/2.txt@0", 0),
        ("loose.txt@0", None),
        ("up/1.txt@0", 1),
    ]
    assert source.read(2).class_index == 1


def test_a_table_has_an_example_and_its_class_a_row(tmp_path):
    source = opened(write(tmp_path / "a.tsv", "abc\t10\nde\t9\nf g\tno\tsense\nh\t\nij\t10\n"))
    assert tokens(source) == [("a", "b", "c"), ("d", "e"), ("i", "j")]
    assert [one.name for one in source.classes] == ["9", "10"]
    assert [one.class_index for one in source.examples] == [1, 0, 1]
    assert source.skipped == (
        Skip("a.tsv", "line 3 has 3 filled column(s), not two: example, tab, class"),
        Skip("a.tsv", "line 4 has 1 filled column(s), not two: example, tab, class"),
    )


def test_classes_come_from_a_file_by_path_or_number(tmp_path):
    folder = tmp_path / "texts"
    for name in "ab":
        write(folder / f"{name}.txt", name)
    by_path = write(tmp_path / "paths.csv", "path,class\nb.txt,good\na.txt,bad\n")
    assert [one.class_index for one in opened(folder, classes=str(by_path)).examples] == [0, 1]
    by_number = write(tmp_path / "numbers.csv", "1,good\n0,bad\n")
    assert [one.class_index for one in opened(folder, classes=str(by_number)).examples] == [0, 1]
    with pytest.raises(OptionError, match=r"numbers.csv has 2 rows, the data 3 examples"):
        opened(write(tmp_path / "c.txt", "a\nb\nc"), lines=True, classes=str(by_number))
    with pytest.raises(OptionError, match=r"names 'b.txt', which is not in the data; nearest: c.txt"):
        opened(tmp_path / "c.txt", classes=str(by_path))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"ab\ncd\xe9f", r"is not UTF-8: byte 0xe9 at offset 5 \(line 2\)"),
        (b"\xff\xfea\x00", "is UTF-16, not UTF-8"),
        (b"a\x00b", r"is not text: byte 0x00 at offset 1 \(line 1\)"),
    ],
)
def test_what_is_not_text_is_refused_with_its_place_and_in_a_folder_passed_over(tmp_path, content, reason):
    write(tmp_path / "bad.txt", content)
    with pytest.raises(DataError, match=f"bad.txt {reason}"):
        opened(tmp_path / "bad.txt")
    write(tmp_path / "good.txt", "abc")
    source = opened(tmp_path)
    assert [one.path for one in source.examples] == ["good.txt@0"]
    assert source.skipped[0].path == "bad.txt"


def test_text_without_a_vocabulary_or_with_another_is_refused(tmp_path):
    file = write(tmp_path / "a.txt", "XYZ")
    with pytest.raises(OptionError, match=r"text needs the vocabulary .*--vocabulary FILE.json"):
        opened(file, None)
    with pytest.raises(DataError, match=r"none of the 3 tokens in .* is in the vocabulary"):
        opened(file)


def test_whitespace_alone_has_no_words(tmp_path):
    with pytest.raises(DataError, match=r"a.txt has no token"):
        opened(write(tmp_path / "a.txt", " \n "), ["a"], tokenizer="word")


def test_the_fingerprint_knows_text_vocabulary_tokenizer_windows_and_classes(tmp_path):
    file = write(tmp_path / "one" / "a.txt", "abc def")
    known = ["a", "b", "c", "abc", "def"]
    first = opened(file, known).fingerprint()
    assert len(first) == 64
    (tmp_path / "two").mkdir()
    moved = shutil.copy(file, tmp_path / "two" / "a.txt")
    assert opened(moved, known).fingerprint() == first
    assert opened(file, [*known, "x"]).fingerprint() != first
    assert opened(file, known, tokenizer="word").fingerprint() != first
    assert opened(file, known, lowercase=True).fingerprint() != first
    assert opened(file, known, window=4).fingerprint() != first
    labels = write(tmp_path / "labels.csv", "0,x")
    assert opened(file, known, classes=str(labels)).fingerprint() != first
    write(file, "abc deg")  # g and f are both unknown: the ids are the same
    assert opened(file, known).fingerprint() != first


def test_a_file_that_changed_since_is_not_shown_with_the_wrong_tokens(tmp_path):
    file = write(tmp_path / "a.txt", "abc")
    source = opened(file)
    write(file, "abd")
    with pytest.raises(DataError, match=r"has changed since"):
        source.kind.shown(source.read(0), source.examples[0])


def test_limit_takes_windows_evenly_spread(tmp_path):
    source = opened(write(tmp_path / "a.txt", "abcdefghij" * 4), window=10, burn_in=0, limit=2)
    assert [one.path for one in source.examples] == ["a.txt@0", "a.txt@20"]


def test_batches_hold_equal_lengths_and_the_network_gets_ids(tmp_path):
    source = opened(write(tmp_path / "a.txt", "ab\ncd\nefg\nhi"), lines=True)
    batches = list(feed(source, range(4), 2))
    assert [batch.examples.tolist() for batch in batches] == [[0, 1], [3], [2]]
    inputs = source.kind.inputs(batches[0], torch.device("cpu"), torch.bfloat16)
    assert inputs.tolist() == [[2, 3], [4, 5]]
    assert source.kind.neutral(inputs).tolist() == [[0, 0], [0, 0]]
    assert check_repeatable(read_twice(source)) == ""


def test_the_description_says_what_a_network_of_text_is_given(tmp_path):
    source = opened(write(tmp_path / "a.txt", "ab" * 21), window=40, input_axes="tb")
    found = source.kind.description
    assert (found.kind, found.dtype, found.vocabulary_size, found.window, found.burn_in, found.axes) == (
        "text",
        "int64",
        14,
        40,
        10,
        "tb",
    )
    assert found.vocabulary[2] == "a"
    assert json.loads(json.dumps(asdict(found)))["vocabulary"] == list(found.vocabulary)


def test_texts_that_are_whole_are_not_described_as_windows(tmp_path):
    file = write(tmp_path / "a.txt", "ab\n" * 14)
    for lines, window in ((True, None), (False, 40)):
        found = opened(file, lines=lines, window=40).kind.description
        assert (found.window, found.burn_in) == (window, 10 if window else None)


def test_what_one_example_of_a_text_is_is_described(tmp_path):
    file, rows = write(tmp_path / "a.txt", "ab\ncd\n"), write(tmp_path / "a.tsv", "ab\tx\ncd\ty\n")
    found = [opened(file).kind, opened(file, lines=True).kind, opened(rows).kind]
    assert [one.description.example for one in found] == ["", "line", "row"]


def test_a_tokenizer_json_brings_its_own_vocabulary(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece({"[PAD]": 0, "[UNK]": 1, "play": 2, "##ing": 3}, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    file = write(tmp_path / "a.txt", "play  playing x")
    source = opened(file, None, tokenizer=str(tmp_path / "tokenizer.json"), window=3, burn_in=1)
    assert [source.read(index).values.tolist() for index in range(2)] == [[2, 2, 3], [3, 1]]
    assert tokens(source) == [("play", "play", "ing"), ("ing", "x")]
    assert source.kind.shown(source.read(1), source.examples[1]).offsets == (10, 14)
    with pytest.raises(OptionError, match=r"--vocabulary is for the tokenizers char and word"):
        opened(file, ["a"], tokenizer=str(tmp_path / "tokenizer.json"))
    write(tmp_path / "other.json", json.dumps({"a": 1}))
    with pytest.raises(OptionError, match=r"other.json is not a tokenizer.json"):
        opened(file, None, tokenizer=str(tmp_path / "other.json"))


def test_a_tokenizer_json_without_its_library_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtraError, match=r"needs the library tokenizers.*pip install 'torchlurk\[text\]'"):
        opened(write(tmp_path / "a.txt", "a"), None, tokenizer="tokenizer.json")


def test_a_header_of_a_table_is_no_example(tmp_path):
    source = opened(write(tmp_path / "a.tsv", "Text\tLabel\nabc\tgood\ncab\tbad\n"))
    assert [one.name for one in source.classes] == ["bad", "good"]
    assert [(one.path, one.reason) for one in source.skipped] == [("a.tsv", "line 1 names the columns")]


def test_a_table_whose_header_names_the_class_first_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"a.tsv has the columns 'label' and 'text' in this order") as caught:
        opened(write(tmp_path / "a.tsv", "label\ttext\ngood\tabc\n"))
    assert caught.value.hint == "write the example first, then a tab and its class"


def test_a_table_without_a_known_token_is_told_the_order_of_its_columns(tmp_path):
    with pytest.raises(DataError) as caught:
        opened(write(tmp_path / "a.tsv", "XYZ\tabc\n"))
    assert caught.value.hint.endswith("a row is the example, a tab, its class")


def test_rows_are_examples_already(tmp_path):
    with pytest.raises(OptionError, match=r"--lines is for text files; a.tsv has one example per row"):
        opened(write(tmp_path / "a.tsv", "a\tb"), lines=True)


def test_real_text_is_read_as_a_literal_loop_reads_it(data):
    file = data / "text" / "wikitext2_valid_part.txt"
    known = json.loads((data / "models" / "textgenrnn_vocab.json").read_text())
    source = open_source(
        str(file), InputOptions(vocabulary=str(data / "models" / "textgenrnn_vocab.json"), lines=True, window=40)
    )
    lines = [line for line in file.read_text("utf-8").split("\n") if line]
    literal = [known.get(letter, 0) for line in lines for letter in line]
    counted = [source.read(index).values[slice(*source.counted(index))] for index in range(len(source.examples))]
    assert np.concatenate(counted).tolist() == literal
