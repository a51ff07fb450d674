"""Texts and series in the app: what is drawn is what the study holds, step by step."""

import json
import re

import numpy as np
import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
expect = playwright.expect

pytestmark = pytest.mark.slow

WORDS = ("<unk>", "the", "sea", "is", "quiet", "lighthouses", "never", "answer", "a", "question", "twice")
WINDOW, BURN_IN, CHANNELS, WIDE = 60, 12, 20, 512

PAGES = (
    "#/",
    "#/text",
    "#/text/layer/rnn.l0",
    "#/text/layer/head",
    "#/text/unit/rnn.l0:3",
    "#/text/unit/head:1",
    "#/text/class/1",
    "#/text/live",
    "#/series",
    "#/series/layer/near",
    "#/series/unit/rnn.l0:2",
    "#/series/class/2",
    "#/series/image",
)


MODELS = f"""
import torch
from torch import nn

class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding({len(WORDS)}, 6)
        self.rnn = nn.LSTM(6, 7, batch_first=True, bidirectional=True)
        self.head = nn.Linear(14, 2)

    def forward(self, x):
        return self.head(self.rnn(self.embedding(x))[0].mean(1))

class Listener(nn.Module):
    def __init__(self):
        super().__init__()
        self.near = nn.Conv1d({CHANNELS}, {WIDE}, 3, padding=1)
        self.rnn = nn.GRU({WIDE}, 4, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.rnn(self.near(x.transpose(1, 2)).transpose(1, 2))[0][:, -1])

def reader():
    torch.manual_seed(0)
    return Reader()

def listener():
    torch.manual_seed(0)
    return Listener()
"""


@pytest.fixture(scope="session")
def text_study(torchlurk, tmp_path_factory):
    """A few hundred words of two classes, read from both ends by an LSTM that was never trained."""
    folder, random = tmp_path_factory.mktemp("text"), np.random.default_rng(0)
    for name in ("notes", "verses"):
        (folder / "data" / name).mkdir(parents=True)
        lines = [" ".join(random.choice(WORDS[1:], 9)) for _ in range(30)]
        (folder / "data" / name / "all.txt").write_text("\n".join(lines))
    (folder / "words.json").write_text(json.dumps(WORDS))
    (folder / "net.py").write_text(MODELS)
    told = (
        "--kind",
        "text",
        "--tokenizer",
        "word",
        "--vocabulary",
        folder / "words.json",
        "--window",
        WINDOW,
        "--burn-in",
        BURN_IN,
    )
    return analyzed(torchlurk, f"{folder / 'net.py'}:reader", folder / "data", folder / "text.lurk", *told)


@pytest.fixture(scope="session")
def series_study(torchlurk, tmp_path_factory):
    """Series of twenty channels, by a convolution and a GRU that were never trained."""
    folder, random = tmp_path_factory.mktemp("series"), np.random.default_rng(0)
    np.save(folder / "series.npy", random.standard_normal((24, 16, CHANNELS)).cumsum(1).astype(np.float32))
    (folder / "classes.csv").write_text("".join(f"{index},{'abc'[index % 3]}\n" for index in range(24)))
    (folder / "net.py").write_text(MODELS)
    told = ("--classes", folder / "classes.csv")
    return analyzed(torchlurk, f"{folder / 'net.py'}:listener", folder / "series.npy", folder / "series.lurk", *told)


def analyzed(torchlurk, model, data, out, *told):
    done = torchlurk("analyze", model, data, "--out", out, "--stages", "scan", "--streams", "output", *told)
    assert done.status == 0, done.err
    return out


@pytest.fixture(scope="module")
def served(text_study, series_study, chromium, running):
    with running("serve", text_study, series_study) as url:
        yield url


def scale_of(unit):
    return max(abs(value) for trace in unit["traces"].values() for value in trace)


def signed_share(colour):
    """Which share of its hue a drawn colour has: blue for positive values, orange for negative ones."""
    red, _, blue, *alpha = (float(one) for one in re.findall(r"[\d.]+(?:e-?\d+)?", colour))
    return (alpha[0] if alpha else 1.0) * (1 if blue > red else -1)


TOKENS = """(of) => [...of.querySelectorAll("[data-step]")].map((one) => ({
    step: +one.dataset.step, text: one.textContent, colour: getComputedStyle(one).backgroundColor,
    outline: getComputedStyle(one).outlineStyle, ink: getComputedStyle(one).color,
}))"""


def texts(page):
    """The exemplars by maximum, once they are drawn."""
    return exemplars(page, "[data-step]")


def exemplars(page, part):
    """Those by maximum, once a part of them is there: those by mean may come earlier."""
    cards = page.locator("section.block ol").first.locator("li")
    cards.locator(part).first.wait_for()
    return cards


def test_every_token_has_the_colour_of_the_unit_there_and_the_strongest_is_outlined(tab, document, unit_of):
    unit = unit_of("text", "rnn.l0:3")
    page, scale = tab.open("#/text/unit/rnn.l0:3?view=all"), scale_of(unit)
    cards = texts(page)
    assert cards.count() == len(unit["exemplars"]["max"])
    outside_and_burned = 0
    for rank, exemplar in enumerate(unit["exemplars"]["max"]):
        example, trace = document(f"text/examples/{exemplar['example']}.json"), unit["traces"][str(exemplar["example"])]
        drawn = cards.nth(rank).evaluate(TOKENS)
        assert [one["step"] for one in drawn] == list(range(len(example["tokens"])))
        assert [one["step"] for one in drawn if one["outline"] == "solid"] == exemplar["position"]
        ink = drawn[exemplar["position"][0]]["ink"]
        for one, value in zip(drawn, trace, strict=True):
            burned = not example["counted"][0] <= one["step"] < example["counted"][1]
            outside = not exemplar["reach"][0] <= one["step"] < exemplar["reach"][1]
            outside_and_burned += burned + outside
            assert (one["ink"] != ink) == (burned or outside)
            if not burned:
                wanted = value / scale * (0.25 if outside else 1)
                assert signed_share(one["colour"]) == pytest.approx(wanted, abs=0.003) or abs(wanted) < 0.001
    assert outside_and_burned > 0


def test_words_are_parted_and_a_long_text_is_cut_around_its_strongest_step(tab, unit_of, document):
    unit = unit_of("text", "rnn.l0:3")
    told = [document(f"text/examples/{one['example']}.json")["tokens"] for one in unit["exemplars"]["max"]]
    rank = next(rank for rank, tokens in enumerate(told) if len(tokens) == WINDOW)
    first, tokens = unit["exemplars"]["max"][rank], told[rank]
    page = tab.open("#/text/unit/rnn.l0:3")
    card = texts(page).nth(rank)
    steps = [one["step"] for one in card.evaluate(TOKENS)]
    assert len(steps) < len(tokens)
    assert first["position"][0] in steps
    card.get_by_role("button", name="show all").click()
    assert [one["text"] for one in card.evaluate(TOKENS)] == tokens
    assert " ".join(tokens) in card.inner_text()  # words are parted as they are in the file
    page.keyboard.press("v")
    assert tab.shown() == "#/text/unit/rnn.l0:3?view=all"
    expect(page.get_by_role("button", name="show all")).to_have_count(0)


def test_a_pointer_and_keys_tell_token_step_and_value(tab, unit_of):
    unit = unit_of("text", "rnn.l0:3")
    first = unit["exemplars"]["max"][0]
    step, trace = first["position"][0], unit["traces"][str(first["example"])]
    page = tab.open("#/text/unit/rnn.l0:3?view=all")
    card = texts(page).first
    told = card.locator(".told")
    expect(told).to_contain_text(f"step {step}")
    card.locator(f'[data-step="{step - 2}"]').hover()
    expect(told).to_contain_text(f"step {step - 2}")
    page.mouse.move(0, 0)
    card.get_by_role("slider").focus()
    page.keyboard.press("ArrowLeft")
    expect(told).to_contain_text(f"step {step - 1}")
    expect(told).to_contain_text(f"{trace[step - 1]:.3f}")
    assert tab.shown().startswith("#/text/unit/rnn.l0:3")  # the arrow was not for the page


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("text/unit/rnn.l0:3", "sees all steps up to its own"),
        ("text/unit/rnn.l0_reverse:3", "sees from its own step to the end"),
        ("text/unit/head:1", "sees the whole text"),
        ("series/unit/rnn.l0:2", "sees all steps up to 1 after its own"),
        ("series/unit/near:2", "sees its own step, 1 before and 1 after it"),
    ],
)
def test_what_a_unit_sees_is_said_in_steps_and_never_in_pixels(tab, address, words):
    page = tab.open(f"#/{address}")
    expect(page.locator(".facts")).to_contain_text(words)
    page.wait_for_timeout(200)
    said = page.locator("main").inner_text()
    assert not re.search(r"\bpx\b|\bbox\b|picture", said), said


LINES = """(of) => {
    const [svg, band] = [of.querySelector("svg"), of.querySelector(".value")];
    const attributes = (one, ...names) => names.map((name) => +one.getAttribute(name));
    return {
        width: svg.clientWidth - 52,
        reach: [...svg.querySelectorAll(".reach")].map((one) => attributes(one, "x", "width"))[0],
        strongest: attributes(svg.querySelector(".strongest"), "x1")[0],
        cells: [...band.querySelectorAll("rect")].map((one) => [...attributes(one, "x", "width"), getComputedStyle(one).fill]),
        names: [...svg.querySelectorAll("text.name")].map((one) => one.textContent),
        lines: [...svg.querySelectorAll("path.line")].map((one) => one.getAttribute("d")),
    };
}"""


def test_a_series_is_drawn_to_scale_with_its_reach_its_strongest_step_and_the_unit_s_values(tab, document, unit_of):
    unit = unit_of("series", "rnn.l0:2")
    page = tab.open("#/series/unit/rnn.l0:2?view=all")
    cards, scale = exemplars(page, "path.line"), scale_of(unit)
    shown = [document(f"series/examples/{one['example']}.json") for one in unit["exemplars"]["max"]]
    values = np.array([one["values"] for one in shown])  # exemplar, channel, step
    lowest, highest = values.min((0, 2)), values.max((0, 2))
    for rank, exemplar in enumerate(unit["exemplars"]["max"]):
        drawn, trace = cards.nth(rank).evaluate(LINES), unit["traces"][str(exemplar["example"])]
        pitch = drawn["width"] / len(trace)
        assert drawn["strongest"] == pytest.approx((exemplar["position"][0] + 0.5) * pitch, abs=0.01)
        start, stop = exemplar["reach"]
        assert drawn["reach"] == pytest.approx([start * pitch, (stop - start) * pitch], abs=0.01)
        for step, (x, width, colour) in enumerate(drawn["cells"]):
            assert (x, width) == pytest.approx((step * pitch, pitch), abs=0.01)
            assert signed_share(colour) == pytest.approx(trace[step] / scale, abs=0.003) or abs(trace[step] / scale) < 0.001
        assert len(drawn["lines"]) == CHANNELS
        for channel, path in enumerate(drawn["lines"]):
            points = np.array(re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path), dtype=float)
            assert points[:, 0] == pytest.approx((np.arange(len(trace)) + 0.5) * pitch, abs=0.01)
            share = (values[rank, channel] - lowest[channel]) / (highest[channel] - lowest[channel])
            height = 10  # of a line, where there are more than 16
            assert points[:, 1] == pytest.approx(height * (1 - share), abs=0.01)


def test_of_many_channels_those_that_vary_most_are_drawn_until_all_are_asked_for(tab):
    page = tab.open("#/series/unit/rnn.l0:2")
    card = exemplars(page, "path.line").first
    assert card.locator("path.line").count() == 16
    expect(card).to_contain_text("the 16 of 20 channels that vary most")
    page.get_by_role("button", name="all channels").click()
    expect(card.locator("path.line")).to_have_count(CHANNELS)


def rows(page):
    page.locator("ol a.unit").first.wait_for()
    return page.evaluate(
        "[...document.querySelectorAll('li[data-row]')].map((row) => +row.querySelector('a.unit').href.split(':').at(-1))"
    )


def test_a_layer_of_a_text_has_a_row_a_unit_with_its_strongest_token_in_context(tab, document):
    layer = document("text/layers/0.json")
    page = tab.open("#/text/layer/rnn.l0?sort=max")
    order = sorted(range(7), key=lambda channel: -layer["statistics"]["max"][channel])
    assert rows(page) == order
    for row, channel in zip(page.locator("li[data-row]").all(), order, strict=True):
        before, token, after = layer["best"]["texts"][channel]
        assert row.locator("mark").text_content() == token
        assert row.locator(".before").text_content() == before
        assert row.locator(".after").text_content() == after
        expect(row.get_by_role("link").first).to_have_accessible_name(re.compile(f"^Unit {channel} "))
    page.locator(".choices select").last.select_option(label="verses")
    assert set(rows(page)) == {
        channel for channel in range(7) if 1 in (layer["best_class"][channel], layer["second_class"][channel])
    }


def test_rows_work_by_keys_and_only_those_on_the_screen_are_drawn(tab):
    page = tab.open("#/series/layer/near")
    assert len(rows(page)) < 60
    page.locator("a.unit").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("a.unit:focus")).to_have_attribute("href", re.compile(":1$"))
    page.keyboard.press("End")
    expect(page.locator("a.unit:focus")).to_have_attribute("href", re.compile(f":{WIDE - 1}$"))
    assert page.locator("a.unit:focus").bounding_box()["y"] < 800
    assert len(rows(page)) < 60
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text(f":{WIDE - 1}")


def test_a_recurrent_module_leads_to_its_layers_from_the_graph(tab):
    page = tab.open("#/text")
    page.locator(".node.layers").get_by_role("link", name="l0_reverse").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("rnn.l0_reverse")


def test_the_pages_for_pictures_are_not_offered_and_say_so(tab):
    page = tab.open("#/series/live")
    expect(page.get_by_role("heading", level=1)).to_have_text("Live is for pictures")
    assert page.get_by_role("navigation", name="Study").get_by_role("link").count() == 1


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_every_page_fits_has_no_broken_picture_and_can_be_used_by_everyone(tab_of, served, width, theme):
    tab = tab_of(served, width=width, theme=theme)
    for address in PAGES:
        page = tab.open(address)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        assert page.evaluate("[...document.images].filter((one) => one.complete && one.naturalWidth === 0).length") == 0, (
            address
        )
        assert tab.serious_faults() == [], address
