"""Networks of several inputs: the scan of their units equals a literal loop over single examples, whatever is batched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import torchlurk as tl
from torchlurk.errors import MismatchError, ModelError
from torchlurk.store.checking import check as checked
from torchlurk.study import Study
from torchlurk.units import Unit

TOLERANCE = 1e-5
PLAIN = {"mean": (0, 0, 0), "std": (1, 1, 1)}


class Items:
    """Items that are given; an exception is raised where its turn comes."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        if isinstance(self.items[index], Exception):
            raise self.items[index]
        return self.items[index]


class TwoTowers(nn.Module):
    """A picture and a vector, joined by concatenation and by a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.vec = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(5, 6)
        self.gated, self.head = nn.Conv2d(4, 4, 1), nn.Linear(10, 3)

    def forward(self, image: Tensor, vector: Tensor) -> Tensor:
        side = self.vec(vector)
        found = self.gated(self.conv(image).relu() * side[:, :4, None, None].sigmoid())
        return self.head(torch.cat([found.mean((2, 3)), side], 1))


class WithStatics(nn.Module):
    """A series and what is known of the whole of it, which also is the first state; the series come second."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.rnn, self.head = nn.Linear(4, 5), nn.GRU(2, 5, batch_first=True), nn.Linear(9, 3)

    def forward(self, static: Tensor, series: Tensor, lengths: Tensor) -> Tensor:
        states, _ = self.rnn(series, self.first(static)[None].contiguous())
        last = states[torch.arange(len(series)), lengths - 1]
        return self.head(torch.cat([last, static], 1))


class Encoder(nn.Module):
    """A small BERT: embeddings of tokens, positions and segments, one layer of attention that leaves out what is masked."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places, self.segments = nn.Embedding(11, 8), nn.Embedding(9, 8), nn.Embedding(2, 8)
        self.inner, self.head = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), nn.Linear(8, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        found = self.tokens(input_ids) + self.places(places)
        if token_type_ids is not None:
            found = found + self.segments(token_type_ids)
        return self.head(self.inner(found, src_key_padding_mask=attention_mask == 0)[:, 0])


class Packed(nn.Module):
    """Reads tokens without their padding, whose lengths it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.head = nn.Embedding(11, 4, padding_idx=0), nn.Linear(6, 3)
        self.rnn = nn.GRU(4, 3, batch_first=True, bidirectional=True)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.tokens(ids), lengths.cpu(), batch_first=True, enforce_sorted=False)
        return self.head(pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0])


class PackedByMask(Packed):
    def forward(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        return super().forward(ids, attention_mask.sum(1))


class PackedByItself(Packed):
    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids, (ids != 0).sum(1))


def made(kind: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval()


def two_towers() -> Items:
    torch.manual_seed(1)
    return Items([((torch.rand(3, 6, 7), torch.randn(5)), index % 3) for index in range(12)])


def with_statics() -> Items:
    torch.manual_seed(1)
    return Items([(torch.randn(4), torch.randn(4 + index % 3, 2), 4 + index % 3, index % 3) for index in range(12)])


def tokens() -> Items:
    torch.manual_seed(1)
    items = []
    for index in range(12):
        mask = (torch.arange(9) < 4 + index % 4).long()
        ids = torch.randint(1, 11, (9,)) * mask
        items.append({"input_ids": ids, "token_type_ids": mask, "attention_mask": mask, "labels": index % 3})
    return Items(items)


def maps_of(net: nn.Module, names: list[str], *given: Tensor, **named: Tensor) -> dict[str, np.ndarray]:
    """What modules give for one example, (unit, position), by their names."""
    found: dict[str, np.ndarray] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            tensor = (output[0] if isinstance(output, tuple) else output)[0]
            picture = tensor.ndim == 3
            found[name] = (tensor.flatten(1) if picture else tensor.T if tensor.ndim == 2 else tensor[:, None]).numpy()

        return hook

    handles = [net.get_submodule(name).register_forward_hook(note(name)) for name in names]
    with torch.no_grad():
        net(*(one[None] for one in given), **{name: one[None] for name, one in named.items()})
    for handle in handles:
        handle.remove()
    return found


def check(study: Study, loop: list[dict[str, np.ndarray]], counted: list[tuple[int, int]] | None = None) -> None:
    """Every unit of the study's layers against the maps of each example; of sequences only the steps that count."""
    assert checked(study.path).problems == ()
    for layer in study.layers:
        name = layer.name.removesuffix(".l0")
        maps = [one[name] for one in loop]
        if layer.record.layout == "sequence" and counted:
            maps = [one[:, first:last] for one, (first, last) in zip(maps, counted, strict=True)]
        for unit in layer:
            own = [one[unit.record.channel] for one in maps]
            strongest, means = np.array([one.max() for one in own]), np.array([one.mean() for one in own])
            every = np.concatenate(own)
            kept = unit.exemplars("max")
            assert [one.score for one in kept] == pytest.approx(sorted(strongest, reverse=True)[: len(kept)], abs=TOLERANCE)
            for one in kept:
                shape = layer.record.shape
                at = int(np.ravel_multi_index(one.position, shape)) if len(one.position) > 1 else sum(one.position)
                at = at if one.own_step is None else one.own_step
                first = counted[one.example][0] if counted and layer.record.layout == "sequence" else 0
                assert own[one.example][at - first] == pytest.approx(one.score, abs=TOLERANCE), unit
                assert strongest[one.example] == pytest.approx(one.score, abs=TOLERANCE)
            assert unit.statistics["mean"] == pytest.approx(every.mean(), abs=TOLERANCE)
            assert unit.statistics["std"] == pytest.approx(every.std(), abs=TOLERANCE)
            assert unit.statistics["max"] == pytest.approx(every.max(), abs=TOLERANCE)
            for label, value in unit.classes("max"):
                assert value == pytest.approx(strongest[int(label) :: 3].mean(), abs=TOLERANCE)
            assert [one.score for one in unit.exemplars("mean")] == pytest.approx(
                sorted(means, reverse=True)[: len(unit.exemplars("mean"))], abs=TOLERANCE
            )


@pytest.mark.parametrize("batch_size", [1, 5])
def test_a_network_of_a_picture_and_a_vector_is_scanned_as_example_by_example(batch_size, tmp_path):
    net, data = made(TwoTowers), two_towers()
    study = tl.analyze(net, data, tmp_path / "a.lurk", tap="output", top=3, batch_size=batch_size, **PLAIN)
    names = ["conv", "vec", "gated", "head"]
    assert [layer.name for layer in study.layers] == ["vec", "conv", "gated", "head"]
    check(study, [maps_of(net, names, *inputs) for inputs, _ in data.items])
    assert study.unit("vec:1").exemplars("max")[0].box == (0, 0, 0, 0)
    assert study.unit("vec:1").picture().size[0] > 0
    assert study["vec"].picture().size[0] > 0
    assert any("beside its picture the network takes vector" in note for note in study.notes)
    assert [(node.kind, node.name) for node in study.graph.nodes][:2] == [("input", "input"), ("input", "vector")]


@pytest.mark.parametrize("batch_size", [1, 5])
def test_series_of_different_lengths_with_static_features_are_scanned_as_example_by_example(batch_size, tmp_path):
    net, data = made(WithStatics), with_statics()
    study = tl.analyze(net, data, tmp_path / "a.lurk", streams=["output"], tap="output", top=3, batch_size=batch_size)
    assert {layer.name for layer in study.layers} == {"first", "rnn.l0", "head"}
    loop = [maps_of(net, ["first", "rnn", "head"], *map(torch.as_tensor, inputs)) for *inputs, _ in data.items]
    check(study, loop)
    one = study.unit("rnn.l0:2").exemplars("max")[0]
    assert one.reach == (0, one.position[0] + 1)
    assert any("beside its series the network takes static, lengths" in note for note in study.notes)


def test_padded_texts_with_masks_are_scanned_as_example_by_example_without_the_padding(tmp_path):
    net, data = made(Encoder), tokens()
    study = tl.analyze(net, data, tmp_path / "a.lurk", tap="output", top=3, batch_size=5)
    names = ["tokens", "segments", "inner.self_attn", "inner.linear1", "inner.linear2", "inner.norm2", "inner", "head"]
    loop = [maps_of(net, names, **{key: one for key, one in item.items() if key != "labels"}) for item in data.items]
    assert {"inner.linear1", "inner.linear2", "head"} <= {layer.name for layer in study.layers}
    check(study, loop, [(0, int(item["attention_mask"].sum())) for item in data.items])


@pytest.mark.parametrize("kind", [Packed, PackedByMask, PackedByItself])
def test_texts_that_the_model_reads_without_their_padding_are_scanned_as_without_it(kind, tmp_path):
    torch.manual_seed(1)
    texts = [torch.randint(1, 11, (4 + index % 3 * 2,)) for index in range(12)]
    padded = [torch.cat([one, one.new_zeros(9 - len(one))]) for one in texts]
    beside = {
        Packed: lambda one: (len(one),),
        PackedByMask: lambda one: ((torch.arange(9) < len(one)).long(),),
        PackedByItself: lambda one: (),
    }[kind]
    items = [((long, *beside(one)), index % 3) for index, (long, one) in enumerate(zip(padded, texts, strict=True))]
    net = made(kind)
    study = tl.analyze(net, Items(items), tmp_path / "a.lurk", streams=["output"], tap="output", top=3, batch_size=5)
    with torch.no_grad():
        states = [net.rnn(net.tokens(one)[None])[0][0] for one in texts]
        heads = [net.head(one) for one in states]
    forward, back = ([one[:, some].T.numpy() for one in states] for some in (slice(3), slice(3, None)))
    loop = zip(forward, back, heads, strict=True)
    maps = [{"rnn": one, "rnn.l0_reverse": other, "head": head.T.numpy()} for one, other, head in loop]
    check(study, maps, [(0, len(one)) for one in texts])
    assert "12 of 12 examples are padded; padding is read, and does not count" in study.notes
    for name, values in (("rnn.l0", forward), ("rnn.l0_reverse", back)):
        best = study.unit(f"{name}:1").exemplars("max")[0]
        step, steps = int(values[best.example][1].argmax()), len(texts[best.example])
        assert (best.position, best.token) == ((step,), str(int(texts[best.example][step])))
        if kind is not PackedByItself:  # which reads the lengths out of the tokens, all of which they depend on
            assert best.reach == ((0, step + 1) if name == "rnn.l0" else (step, steps))


@pytest.mark.slow
def test_padding_that_nothing_tells_is_refused_with_the_way_out(tmp_path):
    net = made(PackedByItself)
    net.tokens.padding_idx = None
    texts = [torch.randint(1, 11, (4 + index % 3,)) for index in range(6)]
    padded = Items([torch.cat([one, one.new_zeros(9 - len(one))]) for one in texts])
    for batch_size in (1, 6):
        with pytest.raises(ModelError, match=r"cannot be matched.*give the examples without padding"):
            tl.analyze(net, padded, tmp_path / f"{batch_size}.lurk", batch_size=batch_size)
    padded.items[:] = texts
    tl.analyze(net, padded, tmp_path / "without.lurk").close()


def test_a_study_continues_with_the_same_further_inputs_and_refuses_others(interrupted, tmp_path):
    net, data = made(TwoTowers), two_towers()
    given = {"top": 3, "batch_size": 5, **PLAIN}
    with interrupted("write_scan", 1):
        tl.analyze(net, data, tmp_path / "a.lurk", **given)
    study, whole = tl.analyze(net, data, tmp_path / "a.lurk", **given), tl.analyze(net, data, tmp_path / "b.lurk", **given)
    for layer in whole.layers:
        assert [unit.to_json() for unit in study[layer.name]] == [unit.to_json() for unit in layer]
    items = list(data.items)
    items[0] = ((items[0][0][0], items[0][0][1] + 1), items[0][1])
    with pytest.raises(MismatchError, match="data"):
        tl.analyze(net, Items(items), tmp_path / "a.lurk", **given)


def test_parts_with_further_inputs_make_the_same_study(tmp_path):
    net, data = made(TwoTowers), two_towers()
    given = {"top": 3, "batch_size": 5, **PLAIN}
    whole = tl.analyze(net, data, tmp_path / "whole.lurk", **given)
    parts = [tmp_path / f"{number}.lurk" for number in (1, 2)]
    for number, path in enumerate(parts, 1):
        tl.analyze(net, data, path, part=f"{number}/2", **given).close()
    merged = tl.merge(parts, out=tmp_path / "merged.lurk")
    for layer in whole.layers:
        for unit, other in zip(layer, merged[layer.name], strict=True):
            assert unit.exemplars("max") == other.exemplars("max")
            assert unit.statistics == pytest.approx(other.statistics, rel=1e-12, nan_ok=True)


def test_an_input_that_no_item_has_is_named(tmp_path):
    with pytest.raises(ModelError, match="the forward of TwoTowers needs vector in addition to its input") as told:
        tl.analyze(made(TwoTowers), Items([torch.rand(3, 6, 7)]), tmp_path / "a.lurk")
    assert "a Python data set whose items hold them" in str(told.value)


@pytest.mark.slow
def test_items_that_lack_an_input_are_skipped_with_the_reason(tmp_path):
    data = two_towers()
    data.items[3] = (data.items[3][0][:1], 0)
    data.items[5] = ((data.items[5][0][0], "red"), 0)
    study = tl.analyze(made(TwoTowers), data, tmp_path / "a.lurk", **PLAIN)
    reasons = [one.reason for one in study.skipped]
    assert reasons == [
        "has 1 parts, and others have an input in part 2",
        "its input 'vector' is a str, not a tensor, array or number",
    ]


class Gathered(TwoTowers):
    """As two towers, the vector being the mean over words, of which each picture has its own number."""

    def forward(self, image: Tensor, words: Tensor) -> Tensor:
        return super().forward(image, words.mean(1))


def gathered() -> Items:
    torch.manual_seed(1)
    return Items([{"image": torch.rand(3, 6, 7), "words": torch.randn(1 + index % 3, 5)} for index in range(9)])


def gradient(net: nn.Module, layer: str, channel: int, position: tuple[int, ...], image: Tensor, beside: Tensor) -> Tensor:
    """That of one unit at one position with respect to the picture, what goes with it held."""
    found: list[Tensor] = []
    leaf = image[None].clone().requires_grad_()
    handle = net.get_submodule(layer).register_forward_hook(lambda module, args, output: found.append(output))
    net(leaf, beside[None])
    handle.remove()
    return torch.autograd.grad(found[0][(0, channel, *position)], leaf)[0][0]


def near(stored: np.ndarray, values: np.ndarray) -> bool:
    """Whether stored attributions are these, but for the levels in which they are kept."""
    return bool(np.linalg.norm(stored - values) <= 0.03 * np.linalg.norm(values))


@pytest.mark.parametrize(("kind", "items"), [(TwoTowers, two_towers), (Gathered, gathered)])
def test_attributions_are_those_of_the_picture_with_its_own_further_inputs(kind, items, tmp_path):
    net, data = made(kind), items()
    units = ["conv:1", "vec:0", "gated:2", "head:0"]
    given = {"tap": "output", "top": 3, "exemplars": 2, "batch_size": 4, "methods": ["gradient"], "units": units, **PLAIN}
    study = tl.analyze(net, data, tmp_path / "a.lurk", stages=["scan", "attribute"], **given)
    for layer, channel in (("conv", 1), ("gated", 2), ("head", 0)):
        shown = study.unit(f"{layer}:{channel}").attributions("max", "gradient")
        assert len(shown) == 2
        for one in shown:
            item = data.items[one.exemplar.example]
            image, beside = tuple(item.values()) if isinstance(item, dict) else item[0]
            x0, y0, x1, y1 = one.box
            expected = gradient(net, layer, channel, one.exemplar.position or (), image, beside)[:, y0:y1, x0:x1]
            assert near(one.values, expected.permute(1, 2, 0).numpy())
    assert not any("differently than during the scan" in note for note in study.notes)
    assert any("layer vec, gradient: no gradient flows" in note for note in study.notes)
    (check_made,) = {one.check for one in study.unit("head:0").attributions("max", "gradient")}
    assert check_made.similarity < 0.99  # of the same weights it would be one


def test_a_synthesis_holds_the_further_inputs_of_the_first_example(tmp_path):
    net, data = made(TwoTowers), two_towers()
    given = {"tap": "output", "top": 3, "batch_size": 4, "presets": ["lucid"], "steps": 6, **PLAIN}
    study = tl.analyze(net, data, tmp_path / "a.lurk", stages=["scan", "synthesize"], units=["head:1", "vec:0"], **given)
    (one,) = study.unit("head:1").syntheses()
    picture = torch.from_numpy(np.array(one.image)).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        expected = net(picture, data.items[0][0][1][None])[0, 1].item()
        others = [net(picture, vector[None])[0, 1].item() for (_, vector), _ in data.items[1:]]
    assert one.record.activation == pytest.approx(expected, abs=0.01)
    assert min(abs(other - expected) for other in others) > 0.02
    assert study.unit("vec:0").syntheses() == ()
    assert "layer vec, lucid: layer 'vec' does not depend on the picture" in study.notes
    assert "vector of the network's inputs were held at their values in the first example" in study.notes


def test_constants_are_given_in_all_stages(tmp_path):
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, scale: float, image: Tensor) -> Tensor:
            return self.conv(image * scale)

    net, pictures = made(Scaled), [one[0][0] for one in two_towers().items]
    given = {"top": 2, "batch_size": 4, "methods": ["gradient"], "presets": ["lucid"], "steps": 4, **PLAIN}
    stages = ["scan", "attribute", "synthesize"]
    study = tl.analyze(net, pictures, tmp_path / "a.lurk", stages=stages, units=["conv:1"], constants={"scale": 3.0}, **given)
    unit = study.unit("conv:1")
    weight = net.conv.weight[1].permute(1, 2, 0).detach().numpy()
    (first, *_), (one,) = unit.attributions("max"), unit.syntheses()
    assert near(first.values, 3 * weight)
    picture = torch.from_numpy(np.array(one.image)).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        assert (net(3.0, picture)[0, 1] - one.record.activation).abs().min() < 0.01


class Translating(nn.Module):
    """An encoder and a decoder, both time first: the second sequence has lengths of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(9, 6), nn.Embedding(9, 6)
        self.encoder, self.decoder, self.head = nn.GRU(6, 5), nn.GRU(6, 5), nn.Linear(5, 9)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        _, state = self.encoder(self.source(source))
        return self.head(self.decoder(self.target(target), state)[0])


def test_a_second_sequence_has_steps_of_its_own(tmp_path):
    torch.manual_seed(1)
    net = made(Translating)
    data = Items([(torch.randint(9, (4 + index % 3,)), torch.randint(9, (3 + index % 2,)), index % 3) for index in range(12)])
    study = tl.analyze(net, data, tmp_path / "a.lurk", streams=["output"], tap="output", top=3, batch_size=5)
    assert [layer.name for layer in study.layers] == ["encoder.l0", "decoder.l0", "head"]
    assert study.reader.inputs().axes == "tb"
    loop = []
    for source, target, _ in data.items:
        with torch.no_grad():
            before, state = net.encoder(net.source(source[:, None]))
            after, _ = net.decoder(net.target(target[:, None]), state)
            found = {"encoder": before, "decoder": after, "head": net.head(after)}
        loop.append({name: one[:, 0].T.numpy() for name, one in found.items()})
    check(study, loop)
    for one in study.unit("decoder.l0:1").exemplars("max"):
        assert one.reach == (0, len(data.items[one.example][0]))


def test_attributions_over_the_past_are_those_of_the_series_with_its_own_further_inputs(tmp_path):
    net, data = made(WithStatics), with_statics()
    given = {"streams": ["output"], "tap": "output", "top": 2, "batch_size": 4, "methods": ["gradient"]}
    stages, units = ["scan", "attribute"], ["rnn.l0:1", "head:0"]
    study = tl.analyze(net, data, tmp_path / "a.lurk", stages=stages, units=units, **given)
    for address in units:
        unit = Unit.parse(address)
        found = [one for one in study.reader.step_attributions(unit) if one.ranking == "max"]
        assert len(found) == 2
        for one in found:
            exemplar = study.unit(address).exemplars("max")[one.rank]
            static, series, length, _ = data.items[exemplar.example]
            values: list[Tensor] = []
            leaf = series[None].clone().requires_grad_()
            module = net.get_submodule(unit.layer.removesuffix(".l0"))
            handle = module.register_forward_hook(lambda _, given, output, values=values: values.append(output))
            net(static[None], leaf, torch.tensor([length]))
            handle.remove()
            own = values[0][0][0, exemplar.position[0]] if exemplar.position else values[0][0]
            expected = torch.autograd.grad(own[unit.channel], leaf)[0][0]
            assert one.values == pytest.approx(expected.numpy(), abs=1e-6)
