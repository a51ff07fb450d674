"""Items of several inputs: which part goes to which parameter of the forward, which is shown, and where the class is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Subset, TensorDataset

from torchlurk.errors import DataError
from torchlurk.inputs.feeding import feed
from torchlurk.inputs.sources.dataset_opening import open_dataset
from torchlurk.inputs.sources.item_layout import layout_of
from torchlurk.models.taps.arguments import forward_parameters
from torchlurk.options import InputOptions

PICTURE, VECTOR = torch.rand(3, 4, 5), torch.rand(6)
IDS, SERIES, MASK = torch.tensor([3, 1, 2]), torch.rand(7, 2), torch.tensor([1, 1, 0])


def takes(forward, **constants):
    """What a network with that forward takes."""
    return forward_parameters(type("Net", (nn.Module,), {"forward": forward})(), constants)


def alone(self, x): ...
def two(self, image, vector): ...
def two_reversed(self, vector, image): ...
def optional(self, image, vector=None, training=False): ...
def hidden(self, ids, hidden): ...
def with_lengths(self, x, lengths): ...
def with_static(self, x, static, lengths): ...
def bert(self, input_ids=None, attention_mask=None, token_type_ids=None, labels=None, return_dict=True): ...
def conditional(self, image, label): ...
def anything(self, **batch): ...


@pytest.mark.parametrize(
    ("forward", "item", "parameters", "shown", "label"),
    [
        (two, (PICTURE, VECTOR, 4), ("image", "vector"), "image", 4),
        (two, ((PICTURE, VECTOR), 4), ("image", "vector"), "image", 4),
        (two, ([PICTURE, VECTOR], torch.tensor(4)), ("image", "vector"), "image", 4),
        (two, (PICTURE, VECTOR), ("image", "vector"), "image", None),
        (two, (PICTURE, VECTOR.tolist(), 4), ("image", "vector"), "image", 4),
        (two, {"vector": VECTOR, "image": PICTURE, "label": 4}, ("image", "vector"), "image", 4),
        (two, ({"vector": VECTOR, "image": PICTURE}, 4), ("image", "vector"), "image", 4),
        (two, {"picture": PICTURE, "pixel_values": PICTURE, "vector": VECTOR}, ("image", "vector"), "image", None),
        (two_reversed, (VECTOR, PICTURE, 4), ("vector", "image"), "image", 4),
        (optional, ((PICTURE, VECTOR), 4), ("image", "vector"), "image", 4),
        (optional, (PICTURE, VECTOR, 4), ("image", "vector"), "image", 4),
        (optional, {"image": PICTURE, "vector": VECTOR, "path": "a.png"}, ("image", "vector"), "image", None),
        (with_lengths, ((SERIES, 7), 4), ("x", "lengths"), "x", 4),
        (with_lengths, (SERIES, 7, 4), ("x", "lengths"), "x", 4),
        (with_static, (SERIES, VECTOR, 4), ("x", "static"), "x", 4),
        (with_static, (VECTOR, SERIES, 4), ("x", "static"), "static", 4),
        (bert, (IDS, MASK, 4), ("input_ids", "attention_mask"), "input_ids", 4),
        (bert, {"attention_mask": MASK, "input_ids": IDS, "labels": 4}, ("input_ids", "attention_mask"), "input_ids", 4),
        (bert, {"input_ids": [3, 1, 2], "attention_mask": [1, 1, 0]}, ("input_ids", "attention_mask"), "input_ids", None),
        (conditional, (PICTURE, 4), ("image", "label"), "image", 4),
        (conditional, {"image": PICTURE, "label": 4}, ("image", "label"), "image", 4),
        (anything, {"image": PICTURE, "vector": VECTOR, "label": 4}, ("image", "vector"), "image", 4),
    ],
)
def test_inputs_go_to_parameters_in_order_or_by_name_and_the_first_picture_or_sequence_is_shown(
    forward, item, parameters, shown, label
):
    layout = layout_of(item, takes(forward), None)
    assert set(layout.parameters) - {""} <= set(parameters)
    assert len(layout.parameters) == len(parameters)
    assert (layout.parameter or parameters[0]) == shown
    value, others, found = layout.parts(item)
    assert found == label
    assert set(others) == set(parameters) - {shown}
    by_name = {"image": PICTURE, "vector": VECTOR, "input_ids": IDS, "attention_mask": MASK, "x": SERIES}
    expected = {"x": VECTOR, "static": SERIES} if shown == "static" else by_name
    assert torch.equal(torch.as_tensor(value), expected[shown])
    for name in set(others) & set(expected):
        assert torch.equal(torch.as_tensor(others[name]), expected[name])


@pytest.mark.parametrize(
    ("forward", "item", "label"),
    [
        (alone, (PICTURE, 4), 4),
        (alone, (PICTURE, VECTOR), VECTOR),
        (alone, (PICTURE, 4, 99), 4),
        (alone, {"image": PICTURE, "vector": VECTOR, "label": 4}, 4),
        (optional, (PICTURE, VECTOR), VECTOR),
        (hidden, (IDS, 4), 4),
        (hidden, (IDS, IDS.roll(1)), IDS.roll(1)),
        (with_lengths, (SERIES, 4), 4),
        (with_lengths, (SERIES, SERIES), SERIES),
        (bert, (IDS, IDS.roll(1)), IDS.roll(1)),
    ],
)
def test_what_stands_beside_the_only_input_is_a_class_or_a_target(forward, item, label):
    value, others, found = layout_of(item, takes(forward)).parts(item)
    assert others == {}
    assert torch.equal(value, item["image"] if isinstance(item, dict) else item[0])
    assert torch.equal(torch.as_tensor(found), torch.as_tensor(label))


def test_a_constant_is_no_input():
    layout = layout_of((PICTURE, 4), takes(two, vector=VECTOR))
    assert layout.companions == ()
    assert layout.parts((PICTURE, 4))[2] == 4


def test_the_kind_that_is_asked_for_is_shown():
    item = {"image": PICTURE, "vector": SERIES}
    assert layout_of(item, takes(two), "series").parameter == "vector"
    assert layout_of((torch.tensor([1, 2]), SERIES, 0), takes(two), "series").parameter == "vector"


class Listed:
    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def opened(forward, *items, **options):
    return open_dataset(Listed(*items), InputOptions(**options), takes=takes(forward))


@pytest.mark.parametrize(
    ("forward", "items", "index", "reason"),
    [
        (two, [(PICTURE, VECTOR, 1), (PICTURE,)], 1, "has 1 parts, and others have an input in part 2"),
        (two, [(PICTURE, VECTOR, 1), (PICTURE, "red", 1)], 1, "its input 'vector' is a str, not a tensor, array or number"),
        (two, [(PICTURE, VECTOR, 1), PICTURE], 1, "is a Tensor, not several inputs as other items are"),
        (two, [((PICTURE, VECTOR), 1), PICTURE], 1, "is not a pair of inputs and class"),
        (two, [{"image": PICTURE, "vector": VECTOR}, {"image": PICTURE}], 1, "has no 'vector', as other items have"),
        (two, [(PICTURE, VECTOR, 1), (VECTOR, VECTOR, 1)], 1, r"has shape \(6,\), not \(channel, height, width\)"),
    ],
)
def test_a_bad_item_says_what_it_lacks(forward, items, index, reason):
    source = opened(forward, *items)
    assert source.read(0).companions.keys() == {"vector"}
    with pytest.raises(DataError, match=f"^{reason}"):
        source.read(index)
    batches = list(feed(source, range(2), 2))
    assert batches[0].skipped[0][0] == index


@pytest.mark.parametrize(
    ("forward", "item", "words"),
    [
        (
            two,
            {"picture": PICTURE},
            r"example 0: has none of the keys image, .*, nor one of the model's parameters image, vector",
        ),
        (two, {"image": PICTURE, "tabular": VECTOR}, "has the keys image, tabular, and the model's forward also takes vector"),
        (alone, ((PICTURE, VECTOR), 1), "holds 2 inputs, and the model's forward takes x"),
    ],
)
def test_inputs_that_do_not_fit_the_forward_are_refused_with_both_sides_named(forward, item, words):
    with pytest.raises(DataError, match=words):
        opened(forward, item)


def test_further_inputs_become_tensors_of_few_types():
    item = {"image": PICTURE, "vector": VECTOR.double(), "a": np.arange(3, dtype=np.uint8), "b": True, "c": 0.5, "d": [1, 2]}
    found = opened(anything, item).read(0).companions
    assert {name: one.dtype for name, one in found.items()} == {
        "vector": torch.float32,
        "a": torch.int64,
        "b": torch.bool,
        "c": torch.float32,
        "d": torch.int64,
    }
    assert found["c"].shape == ()


def test_a_second_picture_is_prepared_like_the_first():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    source = opened(two, (Image.fromarray(pixels), Image.fromarray(pixels), 1), mean=(0.5, 0.4, 0.3), std=(0.2,) * 3, crop=4)
    (batch,) = feed(source, [0], 1)
    inputs = source.kind.inputs(batch, torch.device("cpu"), torch.float32)
    assert torch.equal(batch.companions["vector"], inputs)


def test_the_fingerprint_knows_further_inputs_and_their_names():
    first = opened(two, (PICTURE, VECTOR, 1)).fingerprint()
    assert opened(two, (PICTURE, VECTOR.clone(), 1)).fingerprint() == first
    assert opened(two, (PICTURE, VECTOR + 1e-3, 1)).fingerprint() != first
    assert opened(lambda self, image, features: 0, (PICTURE, VECTOR, 1)).fingerprint() != first


def test_examples_whose_further_inputs_differ_in_shape_get_batches_of_their_own():
    items = [(PICTURE, torch.rand(2 + index % 2), index) for index in range(5)]
    batches = list(feed(opened(two, *items, "nothing"), range(6), 4))
    assert [batch.examples.tolist() for batch in batches] == [[0, 2], [1, 3], [4]]
    assert [tuple(batch.companions["vector"].shape) for batch in batches] == [(2, 2), (2, 3), (1, 2)]
    assert [[index for index, _ in batch.skipped] for batch in batches] == [[], [], [5]]
    assert batches[0].classes.tolist() == [0, 2]


def test_steps_that_the_attention_mask_leaves_out_at_the_ends_do_not_count():
    masks = [[1, 1, 0], [0, 1, 1], [1, 0, 1], [0, 0, 0]]
    source = opened(bert, *({"input_ids": IDS, "attention_mask": torch.tensor(one)} for one in masks))
    assert source.lengths.tolist() == [3] * 4
    assert [source.counted(index) for index in range(4)] == [(0, 2), (1, 3), (0, 3), (0, 3)]
    assert [batch.counted for batch in feed(source, range(4), 4)] == [(0, 2), (1, 3), (0, 3)]


def test_stacked_tensors_tell_lengths_and_classes_without_reading():
    class Unread(TensorDataset):
        def __getitem__(self, index):
            raise AssertionError(index)

    data = TensorDataset(torch.rand(4, 7, 2), torch.tensor([7, 7, 7, 7]), torch.tensor([3, 0, 1, 2]))
    source = open_dataset(data, InputOptions(), takes=takes(with_lengths))
    assert [one.class_index for one in source.examples] == [3, 0, 1, 2]
    assert source.lengths.tolist() == [7] * 4
    assert source.read(1).companions["lengths"].item() == 7
    subset = open_dataset(Subset(data, [2, 0]), InputOptions(), takes=takes(with_lengths))
    assert [one.class_index for one in subset.examples] == [1, 3]
