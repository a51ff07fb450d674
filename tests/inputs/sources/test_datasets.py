"""Any map-style data set can be read: its pictures as the network gets them, its classes when they are known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Subset, SubsetRandomSampler, TensorDataset, WeightedRandomSampler

from torchlurk.errors import DataError, OptionError
from torchlurk.input_records import TextExample
from torchlurk.inputs.feeding import check_repeatable, feed, read_twice
from torchlurk.inputs.source import Source
from torchlurk.inputs.sources.dataset_items import to_class
from torchlurk.inputs.sources.dataset_opening import open_dataset
from torchlurk.inputs.sources.datasets import DatasetSource
from torchlurk.options import InputOptions
from torchlurk.records import Preprocessing

PLAIN = Preprocessing()
PICTURES = torch.rand(6, 3, 5, 7)
LABELS = torch.tensor([2, 0, 1, 0, 2, 4])


class Unlisted:
    """A data set that tells an item's class only with the item."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        item = self.items[index]
        if isinstance(item, BaseException):
            raise item
        return item


def one(picture, preprocessing=PLAIN):
    return DatasetSource(Unlisted([picture]), preprocessing).read(0).values


def test_tensors_are_read_as_they_are_and_their_classes_are_known_at_once():
    source = DatasetSource(TensorDataset(PICTURES, LABELS), PLAIN)
    assert [example.class_index for example in source.examples] == LABELS.tolist()
    assert [example.path for example in source.examples] == [""] * 6
    assert [known.label for known in source.classes] == ["0", "1", "2", "3", "4"]
    item = source.read(3)
    assert torch.equal(item.values, PICTURES[3])
    assert item.class_index == 0


def test_classes_not_listed_are_learned_by_reading():
    source = DatasetSource(Unlisted([(PICTURES[index], int(LABELS[index])) for index in range(6)]), PLAIN)
    before = source.fingerprint
    assert [example.class_index for example in source.examples] == [None] * 6
    assert source.classes == ()
    first = before()
    assert [source.read(index).class_index for index in range(6)] == LABELS.tolist()
    assert [example.class_index for example in source.examples] == LABELS.tolist()
    assert len(source.classes) == 5
    assert source.fingerprint() == first


def test_classes_are_found_through_subsets_and_joined_data_sets():
    inner = SimpleDataset(targets=LABELS.tolist(), classes=["a", "b", "c", "d", "e", "f"])
    subset = Subset(inner, [5, 1])
    joined = ConcatDataset([subset, inner])
    source = DatasetSource(joined, PLAIN)
    assert [example.class_index for example in source.examples] == [4, 0, *LABELS.tolist()]
    assert [known.label for known in source.classes] == ["a", "b", "c", "d", "e", "f"]


class SimpleDataset(Unlisted):
    """A data set with whatever attributes it is given."""

    def __init__(self, items=None, **attributes):
        super().__init__(items or [(PICTURES[index], int(LABELS[index])) for index in range(6)])
        for name, value in attributes.items():
            setattr(self, name, value)


@pytest.mark.parametrize(
    "attributes",
    [
        {"targets": LABELS.tolist()},
        {"targets": LABELS},
        {"labels": LABELS.numpy()},
        {"samples": [(f"/data/{index}.png", int(label)) for index, label in enumerate(LABELS)], "root": "/data"},
    ],
)
def test_every_usual_list_of_classes_is_understood(attributes):
    source = DatasetSource(SimpleDataset(**attributes), PLAIN)
    assert [example.class_index for example in source.examples] == LABELS.tolist()
    assert source.examples[2].path == ("2.png" if "samples" in attributes else "")


@pytest.mark.parametrize(
    "attributes",
    [
        {"targets": LABELS.tolist(), "target_transform": lambda label: label + 1},
        {"targets": [[0, 1]] * 6},
        {"targets": [0.5] * 6},
        {"targets": [0, 1]},
        {"targets": [[0], [0, 1], [], [2], [3], [4]]},
        {"labels": "abcdef"},
    ],
)
def test_a_list_that_is_not_the_classes_is_not_taken_for_them(attributes):
    source = DatasetSource(SimpleDataset(**attributes), PLAIN)
    assert [example.class_index for example in source.examples] == [None] * 6


def test_class_names_are_given_or_the_data_sets_own():
    dataset = SimpleDataset(classes=["cat", "dog"], targets=LABELS.tolist())
    assert [known.label for known in DatasetSource(dataset, PLAIN).classes] == ["cat", "dog", "2", "3", "4"]
    given = DatasetSource(dataset, PLAIN, class_names=list("vwxyz")).classes
    assert [known.label for known in given] == list("vwxyz")
    hugging = SimpleDataset(features={"image": None, "label": SimpleNamespace(names=["x", "y"])})
    assert [known.label for known in DatasetSource(hugging, PLAIN).classes] == ["x", "y"]


def test_class_names_of_a_data_set_may_be_in_a_file(tmp_path):
    file = tmp_path / "names.json"
    file.write_text('["v", "w", "x", "y", "z"]')
    options = InputOptions(class_names=str(file))
    listed = open_dataset(SimpleDataset(targets=LABELS.tolist()), options)
    assert [known.label for known in listed.classes] == list("vwxyz")
    file.write_text('{"cat": "a cat"}')
    own = open_dataset(SimpleDataset(classes=["cat", "dog"], targets=[0, 1] * 3), options)
    assert [known.label for known in own.classes][:2] == ["a cat", "dog"]
    with pytest.raises(OptionError, match="does not list its classes"):
        open_dataset(SimpleDataset(), options)


def test_fewer_class_names_than_class_indices_are_refused_or_told_of():
    listed, unlisted = TensorDataset(PICTURES, LABELS), Unlisted([(PICTURES[0], label) for label in (0, 1, 4)])
    for data_set in (listed, unlisted):
        with pytest.raises(OptionError, match="--class-names has 2 names, and the data set the class index 4"):
            open_dataset(data_set, InputOptions(), class_names=["cat", "dog"])
    assert open_dataset(listed, InputOptions(), class_names=list("vwxyz")).unnamed == ""
    late = Unlisted([(PICTURES[0], int(index == 1)) for index in range(100)])
    late.items[50] = (PICTURES[0], 0)
    source = open_dataset(late, InputOptions(), class_names=["cat"])
    source.read(1)
    assert "class indices up to 1, and only the first 1 have names" in source.unnamed


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (1.0, "a float such as 1.0"),
        (torch.tensor(0.0), "a float such as 0.0"),
        (np.True_, "a bool such as True"),
        ("cat", "a str such as 'cat'"),
        (torch.eye(5)[2], "a row of 5 numbers, all 0 but one,"),
        (-1, ""),
        (torch.tensor(-1), ""),
        (None, ""),
        (torch.tensor([3, 4, 5]), ""),
        (3, ""),
    ],
)
def test_what_looks_like_a_class_and_is_none_is_told(label, words):
    told = open_dataset(Unlisted([(PICTURES[0], label)] * 3), InputOptions()).unnamed
    assert told == (f"no example has a class: {words} beside the input is none (give a whole number)" if words else "")


@pytest.mark.parametrize("key", ["image", "pixel_values"])
def test_items_may_be_mappings(key):
    item = DatasetSource(Unlisted([{key: PICTURES[0], "label": 3}]), PLAIN).read(0)
    assert torch.equal(item.values, PICTURES[0])
    assert item.class_index == 3


@pytest.mark.parametrize("item", [PICTURES[0], (PICTURES[0],), [PICTURES[0], None], {"image": PICTURES[0]}])
def test_items_may_have_no_class(item):
    assert DatasetSource(Unlisted([item]), PLAIN).read(0).class_index is None


def test_pictures_are_prepared_like_image_files():
    way = Preprocessing((4,), (3, 3))
    array = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    expected = one(Image.fromarray(array), way)
    assert expected.shape == (3, 3, 3)
    assert np.array_equal(one(array, way), expected)
    assert np.array_equal(one(torch.from_numpy(array).permute(2, 0, 1), way), expected)
    assert np.array_equal(one(array), array)
    assert one(array[..., 0]).shape == (6, 8, 3)
    assert np.array_equal(one(array[..., 0], Preprocessing(mean=(0.0,), std=(1.0,)))[..., 0], array[..., 0])


def test_float_pictures_may_have_any_precision_and_channels():
    assert one(PICTURES[0].double()).dtype == torch.float32
    assert torch.equal(one(PICTURES[0].bfloat16()), PICTURES[0].bfloat16().float())
    assert one(PICTURES[0].requires_grad_()).requires_grad is False
    assert one(torch.rand(7, 4, 4)).shape == (7, 4, 4)
    assert one(torch.rand(4, 4)).shape == (1, 4, 4)
    assert torch.equal(one(PICTURES[0].permute(1, 2, 0).numpy()), PICTURES[0])
    assert torch.equal(one(PICTURES[0].numpy()), PICTURES[0])


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (ValueError("bad\nfile"), "ValueError: bad file"),
        (KeyError("x"), "KeyError: 'x'"),
        (DataError("is empty"), "is empty"),
        ("text", "is the text 'text': a data set holds token ids"),
        (None, "is a NoneType, not a tensor or picture"),
        ((), "is an empty item"),
        ({"text": 1}, "has none of the keys image, pixel_values, img, input"),
        (
            torch.zeros(2, 3, 4, 5),
            r"has shape \(2, 3, 4, 5\), not \(channel, height, width\).*of a DataLoader the loader itself",
        ),
        (torch.zeros(3, 0, 4), r"has shape \(3, 0, 4\)"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "has values of type int64, not uint8 or float: give floats$"),
        (
            torch.zeros(8, 12, dtype=torch.int64),
            "has values of type int64.*if these are 8 texts.*of a DataLoader the loader itself",
        ),
    ],
)
def test_what_cannot_be_read_says_why(item, reason):
    with pytest.raises(DataError, match=f"^{reason}") as refused:
        DatasetSource(Unlisted([item]), PLAIN).read(0)
    assert "\n" not in refused.value.message


def test_an_interruption_is_not_taken_for_a_damaged_item():
    with pytest.raises(KeyboardInterrupt):
        DatasetSource(Unlisted([KeyboardInterrupt()]), PLAIN).read(0)


@pytest.mark.parametrize(
    ("label", "class_index"),
    [
        (3, 3),
        (torch.tensor(3), 3),
        (np.int64(3), 3),
        (np.array(3), 3),
        (np.uint8(3), 3),
        (-1, None),
        (2.0, None),
        (torch.tensor(2.0), None),
        (True, None),
        ("cat", None),
        (None, None),
        (torch.tensor([1, 2]), None),
        (10**9, None),
    ],
)
def test_only_whole_numbers_are_classes(label, class_index):
    assert to_class(label) == class_index


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (5, "int is not a map-style data set"),
        ([], "the data set list is empty"),
        (
            DataLoader(TensorDataset(PICTURES), sampler=WeightedRandomSampler([1.0], 1)),
            "by a Weighted.*.dataset",
        ),
        ({"train": [1], "test": [2]}, r"dict holds the data sets train, test.*data\['train'\]"),
    ],
)
def test_what_is_no_map_style_data_set_is_refused_in_one_line(dataset, words):
    with pytest.raises(DataError, match=words):
        open_dataset(dataset, InputOptions())


@pytest.mark.parametrize("options", [{"shuffle": True}, {"batch_size": 2, "drop_last": True}, {"batch_size": None}])
def test_of_a_loader_the_data_set_is_read(options):
    source = open_dataset(DataLoader(TensorDataset(PICTURES, LABELS), **options), InputOptions())
    assert len(source.examples) == len(PICTURES)
    assert torch.equal(source.read(1).values, PICTURES[1])


def test_of_a_loader_that_takes_some_examples_only_these_are_read():
    loader = DataLoader(TensorDataset(PICTURES, LABELS), sampler=SubsetRandomSampler([2, 0]))
    source = open_dataset(loader, InputOptions())
    assert len(source.examples) == 2
    assert torch.equal(source.read(1).values, PICTURES[2])


def test_limit_takes_examples_evenly_spread():
    source = open_dataset(TensorDataset(PICTURES, LABELS), InputOptions(limit=3))
    assert [example.class_index for example in source.examples] == [2, 1, 2]
    assert torch.equal(source.read(1).values, PICTURES[2])


def test_inputs_with_other_numbers_of_channels_need_no_mean():
    dataset = TensorDataset(torch.rand(3, 5, 4, 4))
    assert open_dataset(dataset, InputOptions()).preprocessing.channels == 5
    with pytest.raises(DataError, match=r"5 channel.*give 5 value"):
        open_dataset(dataset, InputOptions(mean=(0.5,) * 3, std=(0.5,) * 3))


def test_the_fingerprint_knows_the_data():
    first = DatasetSource(TensorDataset(PICTURES, LABELS), PLAIN).fingerprint()
    assert DatasetSource(TensorDataset(PICTURES.clone(), LABELS), PLAIN).fingerprint() == first
    assert DatasetSource(TensorDataset(PICTURES + 1e-6, LABELS), PLAIN).fingerprint() != first
    assert DatasetSource(TensorDataset(PICTURES, LABELS.flip(0)), PLAIN).fingerprint() != first
    assert DatasetSource(TensorDataset(PICTURES[:5], LABELS[:5]), PLAIN).fingerprint() != first


class Augmented(Unlisted):
    """A data set whose pictures are never the same twice."""

    def __getitem__(self, index):
        return torch.rand(3, 4, 4), 1


def test_random_augmentation_is_noticed_and_leaves_the_fingerprint_alone():
    changing = DatasetSource(Augmented([0] * 20), PLAIN)
    assert "8 of 8 examples changed" in check_repeatable(read_twice(changing))
    assert changing.fingerprint() == changing.fingerprint()
    assert check_repeatable(read_twice(DatasetSource(TensorDataset(PICTURES, LABELS), PLAIN))) == ""
    assert check_repeatable(read_twice(DatasetSource(Unlisted([ValueError("bad")]), PLAIN))) == ""
    assert check_repeatable(read_twice(DatasetSource(Unlisted([torch.full((1, 2, 2), torch.nan)]), PLAIN))) == ""


def test_a_real_torchvision_folder_is_read_with_its_classes_and_paths(data):
    from torchlurk.models.loading.extras import import_torchvision

    import_torchvision()
    from torchvision.datasets import ImageFolder

    dataset = ImageFolder(str(data / "tinyvgg_images"))
    source = open_dataset(dataset, InputOptions(resize=32, crop=32))
    assert [known.label for known in source.classes] == dataset.classes
    assert source.examples[0].path == dataset.samples[0][0].removeprefix(f"{data / 'tinyvgg_images'}/")
    assert source.read(0).values.shape == (32, 32, 3)


IDS = torch.tensor([[1, 2, 0], [3, 3, 1]])
RUNS = torch.rand(4, 6, 2)


@pytest.mark.parametrize(
    ("dataset", "kind"),
    [
        ([IDS[0], IDS[1]], "text"),
        ([(IDS[0].int(), 1)], "text"),
        ([IDS[0].numpy()], "text"),
        ([{"input_ids": IDS[0], "label": 1}], "text"),
        (TensorDataset(RUNS, torch.tensor([0, 1, 0, 1])), "series"),
        ([RUNS[0].double().numpy()], "series"),
        ([PICTURES[0]], "pictures"),
        ([np.zeros((6, 8), np.uint8)], "pictures"),
        ([ValueError("first"), RUNS[0]], "series"),
    ],
)
def test_an_item_tells_the_kind_of_a_data_set(dataset, kind):
    source = open_dataset(Unlisted(dataset) if isinstance(dataset, list) else dataset, InputOptions())
    assert isinstance(source, Source)
    assert source.kind.name == kind


def test_a_data_set_may_be_told_to_be_of_pictures():
    source = open_dataset(Unlisted([torch.rand(4, 4)]), InputOptions(kind="pictures"))
    assert source.read(0).values.shape == (1, 4, 4)


def test_token_ids_are_shown_by_their_vocabulary_and_else_as_numbers():
    plain = open_dataset(Unlisted(list(IDS)), InputOptions())
    assert plain.kind.shown(plain.read(0), plain.examples[0]) == TextExample(("1", "2", "0"), (), (0, 3))
    named = open_dataset(Unlisted(list(IDS)), InputOptions(), vocabulary=["<pad>", "a", "b", "c"])
    assert named.kind.shown(named.read(1), named.examples[1]).tokens == ("c", "c", "a")
    assert named.kind.description.vocabulary == ("<pad>", "a", "b", "c")
    assert named.read(0).values.dtype == torch.int64
    with_gap = open_dataset(Unlisted(list(IDS)), InputOptions(), vocabulary={"a": 1, "c": 3})
    assert with_gap.kind.shown(with_gap.read(0), with_gap.examples[0]).tokens == ("a", "2", "0")


def test_lengths_are_told_by_stacked_tensors_and_else_found_by_reading():
    stacked = open_dataset(TensorDataset(RUNS), InputOptions())
    assert stacked.lengths.tolist() == [6] * 4
    loose = open_dataset(Unlisted([RUNS[0], RUNS[1, :4], ValueError("bad"), RUNS[2]]), InputOptions())
    assert loose.lengths.tolist() == [6, 4, 0, 6]
    assert [loose.counted(index) for index in (0, 1, 3)] == [(0, 6), (0, 4), (0, 6)]
    batches = list(feed(loose, range(4), 8))
    assert [batch.examples.tolist() for batch in batches] == [[0, 3], [1], []]
    assert batches[2].skipped == ((2, "ValueError: bad"),)
    assert open_dataset(TensorDataset(PICTURES), InputOptions()).lengths is None


def test_series_of_other_numbers_of_channels_are_refused():
    source = open_dataset(Unlisted([torch.rand(3, 2), torch.rand(3, 4)]), InputOptions())
    with pytest.raises(DataError, match=r"a series of 2 channels, example 1 a series of 4 channels.*the same channels"):
        list(feed(source, range(2), 8))


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([KeyError("imgae")] * 5, r"none of the 5 examples in Unlisted can be read \(example 0: KeyError: 'imgae'\)"),
        ([torch.rand(5)] * 30, r"none of the 30 examples in Unlisted can be read \(example 0: has shape"),
        (
            [torch.rand(5)] * 3,
            r"has shape \(5,\), not \(channel, height, width\) of a picture, \(time",
        ),
        (["words"] * 3, r"can be read \(example 0: is the text 'words': a data set holds token ids"),
        ([torch.zeros(2, 3, dtype=torch.int64)], r"has values of type int64"),
        ([torch.tensor([1, -1]), IDS[0]], "example 0 of Unlisted has the token id -1"),
        ([torch.tensor([1, 10**12])], "example 0: has the token id 1000000000000; no network has as many tokens"),
    ],
)
def test_a_data_set_that_cannot_be_read_says_the_first_reason(items, words):
    with pytest.raises(DataError, match=words):
        open_dataset(Unlisted(items), InputOptions())


def test_ids_beyond_the_vocabulary_are_refused():
    with pytest.raises(DataError, match="example 1 of Unlisted has the token id 3; the vocabulary ends at 2"):
        open_dataset(Unlisted(list(IDS)), InputOptions(), vocabulary=["a", "b", "c"])


@pytest.mark.parametrize(
    ("items", "options", "words"),
    [
        (IDS, {"crop": 4}, "--crop is for pictures; the data set is text"),
        (RUNS, {"window": 4}, "--window is for text; the data set is series"),
        (PICTURES, {"input_axes": "btc"}, "--input-axes is for text and series; the data set is pictures"),
        (IDS, {"window": 4}, "--window is for text files; the data set has token ids already"),
    ],
)
def test_options_of_another_kind_are_refused_for_a_data_set(items, options, words):
    with pytest.raises(OptionError, match=words):
        open_dataset(TensorDataset(items), InputOptions(**options))


def test_classes_of_a_data_set_may_come_from_a_file(tmp_path):
    (tmp_path / "classes.csv").write_text("0,b\n1,a\n2,b\n3,a\n")
    source = open_dataset(TensorDataset(RUNS), InputOptions(classes=str(tmp_path / "classes.csv"), limit=2))
    assert [one.label for one in source.classes] == ["a", "b"]
    assert [source.read(index).class_index for index in range(2)] == [1, 1]


def test_python_lists_of_whole_numbers_are_token_ids():
    source = open_dataset([[3, 1, 2], [1, 0], [2]], InputOptions(), vocabulary=["a", "b", "c", "d"])
    assert (source.kind.name, source.lengths.tolist(), source.read(1).values.tolist()) == ("text", [3, 2, 1], [1, 0])
    assert source.read(1).class_index is None
    pairs = open_dataset([([3, 1, 2], 1), ([1, 0], 0)], InputOptions())
    assert (pairs.read(1).values.tolist(), pairs.read(0).class_index) == ([1, 0], 1)


@pytest.mark.parametrize("items", [["the cat", "a dog"], [("the cat", 1)], [["the", "cat"]]])
@pytest.mark.parametrize("given", [{}, {"vocabulary": ["the", "cat"]}])
def test_texts_that_are_not_yet_ids_are_told_to_go_through_a_file(items, given):
    with pytest.raises(DataError, match=r"is the text 'the.*holds token ids.*read from a text file"):
        open_dataset(items, InputOptions(), **given)


def test_one_long_tensor_of_token_ids_is_refused_with_how_to_cut_it():
    with pytest.raises(DataError, match=r"example 0: is the number 7, not .*list\(ids\.split\(256\)\)"):
        open_dataset(torch.full((20,), 7), InputOptions(), vocabulary=["a"] * 8)


@pytest.mark.parametrize("inputs", [np.zeros((5, 4, 3)), torch.zeros(5, 3, 8, 8), torch.zeros(5, 6, dtype=torch.int64)])
def test_a_pair_of_all_inputs_and_all_classes_is_no_data_set(inputs):
    with pytest.raises(DataError, match=r"a pair of arrays, of shapes \(5, .*zip"):
        open_dataset((inputs, np.arange(5)), InputOptions())


@pytest.mark.parametrize("turned", [False, True])
def test_series_with_missing_values_are_skipped_as_those_of_files_are(turned):
    whole, broken = torch.rand(6, 2), torch.rand(6, 2)
    broken[4:, 1] = float("nan")
    source = open_dataset([whole, broken], InputOptions())
    if turned:
        source.turn()
    step, channel = (1, 4) if turned else (4, 1)
    assert torch.equal(torch.as_tensor(source.read(0).values), whole.T if turned else whole)
    with pytest.raises(DataError, match=f"missing values, the first at step {step} of channel {channel}"):
        source.read(1)
