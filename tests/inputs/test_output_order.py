from __future__ import annotations

import numpy as np
import pytest

from torchlurk.inputs.output_order import NOT_ITS_CLASSES, NUMBER, TEXT, Choice, check_trained, choose_order, orders

LISTED = sorted(map(str, range(12)))
BY_NUMBER = tuple(LISTED.index(str(output)) for output in range(12))
CLASSES = np.arange(12).repeat(3)


def answers_of(order: tuple[int, ...]) -> np.ndarray:
    """What a network answers that is always right and whose outputs are in that order."""
    return np.array([order.index(one) for one in CLASSES])


def test_outputs_are_by_number_where_the_predictions_say_so() -> None:
    found = choose_order(LISTED, 12, answers_of(BY_NUMBER), CLASSES)
    assert found.order == BY_NUMBER
    assert [LISTED[index] for index in found.order or () if index is not None] == list(map(str, range(12)))
    assert found.note is not None
    assert "in numerical order: 100 %" in found.note
    assert "in alphabetical order 17 %" in found.note


def test_outputs_are_in_order_of_text_where_the_predictions_say_so() -> None:
    found = choose_order(LISTED, 12, answers_of(tuple(range(12))), CLASSES)
    assert found.order is None
    assert "in alphabetical order: 100 %" in (found.note or "")
    assert "in numerical order 17 %" in (found.note or "")


@pytest.mark.parametrize("answer", [0, 5])
def test_where_the_predictions_agree_with_neither_the_order_stays_and_a_note_warns(answer: int) -> None:
    found = choose_order(LISTED, 12, np.full(36, answer), CLASSES)
    assert found.order is None
    assert "may be wrong" in (found.note or "")
    assert found.note is not None
    assert found.note.count("8 %") == 2


@pytest.mark.parametrize(
    ("names", "outputs"),
    [
        (["cat", "dog"], 2),
        (["0", "1", "2"], 3),
        (["00", "01", "10"], 3),
        (["1", "01"], 2),
        (["0", "1"], 0),
        ([], 0),
        (["²"], 1),
    ],
)
def test_other_names_leave_nothing_open(names: list[str], outputs: int) -> None:
    found = choose_order(names, outputs, np.zeros(4, np.int32), np.zeros(4, np.int32))
    assert (found.order, found.note) == (None, None)


def test_numbers_from_one_are_in_their_order() -> None:
    names = sorted(map(str, range(1, 13)))
    assert orders(names, 12)[NUMBER] == tuple(names.index(str(output + 1)) for output in range(12))


def test_outputs_that_cannot_be_told_apart_by_classes_of_data_have_no_names() -> None:
    found = choose_order(["3", "10", "7"], 12, np.full(15, 11), np.array([0, 1, 2] * 5))
    assert "outputs are not named" in (found.note or "")


def test_some_of_the_classes_of_a_larger_network_are_outputs_of_their_own_numbers() -> None:
    found = orders(["3", "10", "7"], 12)
    assert [output for output, index in enumerate(found[NUMBER]) if index is not None] == [3, 7, 10]
    assert found[NUMBER][10] == 1
    assert found[TEXT][2] == 1  # among 0 … 11, text has 10 in the third place
    known = np.array([0, 1, 2] * 5)
    assert choose_order(["3", "10", "7"], 12, np.array([3, 10, 7] * 5), known).order == found[NUMBER]
    assert choose_order(["3", "10", "7"], 12, np.array([5, 2, 9] * 5), known).order == found[TEXT]
    assert choose_order(["3", "10", "7"], 12, np.full(15, 11), known).order is None


def test_examples_whose_class_or_answer_is_not_known_do_not_count() -> None:
    answers, known = answers_of(BY_NUMBER), CLASSES.copy()
    answers[0], known[1] = -1, -1
    assert "100 %" in (choose_order(LISTED, 12, answers, known).note or "")
    assert choose_order(LISTED, 12, answers, np.full(36, -1)).order is None


def test_of_data_made_for_no_network_outputs_are_the_classes_only_where_predictions_say_so() -> None:
    names, known = ["cat", "dog", "owl"], np.array([0, 1, 2] * 10)
    assert check_trained(names, 3, known, known).order is None
    found = check_trained(names, 3, np.roll(known, 1), known)
    assert found.order == (None, None, None)
    assert found.note == f"{NOT_ITS_CLASSES} (0 % of the predictions agree)"
    assert check_trained(names, 4, np.roll(known, 1), known).note is None
    assert check_trained(names, 3, np.full(30, -1), known).note is None  # of other data predictions are not noted


def test_where_nothing_is_the_matter_the_share_that_is_right_is_told() -> None:
    names = ["cat", "dog"]
    right = check_trained(names, 2, np.array([0, 1] * 20), np.array([0, 1] * 20))
    assert right == Choice(agreement="100 % of the network's predictions are the examples' classes")
    assert check_trained(names, 2, np.array([0, 0] * 20), np.array([0, 1] * 20)).agreement is None
