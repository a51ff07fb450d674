"""Records that tell something of themselves."""

from torchlurk.input_records import TextExample


def test_between_words_stands_a_blank_and_between_characters_nothing():
    words = TextExample(("the", "sea", ",", "the", "sea"), (0, 4, 7, 9, 13), (0, 5))
    assert words.around(1, 16) == ("the ", ", the sea")
    assert words.around(3, 2) == ("sea, ", " sea")
    assert words.around(0, 1) == ("", " sea")
    assert TextExample(("a", "b", "c"), (), (0, 3)).around(1, 16) == ("a", "c")
    assert TextExample(("a", "b", "c"), (7, 8, 9), (0, 3)).around(2, 16) == ("ab", "")
