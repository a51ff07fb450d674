"""What the app shows and says beside what the study and the model hold: pictures by pixels, sentences by numbers."""

import io
import re
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image

from torchlurk.records import MethodCheck
from torchlurk.store.writing import Writer

playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
expect = playwright.expect

pytestmark = pytest.mark.slow

MODEL = """
import torch
from torch import nn
from torchlurk.records import Preprocessing

def net():
    torch.manual_seed(5)
    sizes = [(3, 6, 3), (6, 8, 5), (8, 8, 5), (8, 10, 1)]
    layers = [one for inner, outer, side in sizes for one in (nn.Conv2d(inner, outer, side, padding=side // 2), nn.ReLU())]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 4))
    with torch.no_grad():
        net[0].weight[:2] = 1 / 27
        net[0].bias[:2] = torch.tensor([-100.0, -1.3])
        net[10].weight[0] = 0.3
        net[10].weight[0, 5] = -3.0
        net[10].bias[0] = 5
    return net, Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
"""
DEAD, RARE = "0:0", "0:1"
FIRST, MIDDLE, LAST = "0", "4", "6"
MARKED = MethodCheck("guided", 0.31, True)
INHIBITED = "10:0"
"""A unit to which the strongest of the layer below gives less than nothing."""
LARGE, MAP, PROJECTION = ".large canvas", '[aria-label^="Map of"] canvas', '[aria-label^="Back-projection"] canvas'
PIXELS = "(canvas) => canvas.toDataURL()"
"""Mean difference of two pictures, in levels of grey, that is only how they were scaled."""
SCALING = 12


@pytest.fixture(scope="module")
def served(torchlurk, chromium, running, pictures, tmp_path_factory):
    """A network with a unit that is always off and one that is hardly ever on; of one layer guided pictures are marked."""
    folder = tmp_path_factory.mktemp("true")
    (folder / "net.py").write_text(MODEL)
    model, study = f"{folder / 'net.py'}:net", folder / "true.lurk"
    made = ("analyze", model, pictures, "--out", study)
    for more in (("--stages", "scan"), ("--stages", "attribute", "--layers", MIDDLE, "--methods", "guided,gradient")):
        done = torchlurk(*made, *more)
        assert done.status == 0, done.err
    with Writer(study) as writer:
        writer.write_check(MIDDLE, MARKED)
    with running("serve", study, "--model", model, "--device", "cpu") as url:
        yield url


def until(page, what, of=None):
    page.wait_for_function(what, arg=of)


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)


def contained(picture, side):
    """The picture as large as it can be in a square, in the middle; where it is."""
    scale = side / max(picture.size)
    width, height = (round(one * scale) for one in picture.size)
    left, top = (side - width) // 2, (side - height) // 2
    return picture.convert("RGB").resize((width, height), Image.Resampling.NEAREST), (left, top)


def test_an_attribution_is_shown_whole_and_level_with_what_it_is_of(tab, served, unit_of):
    found = (
        (f"{MIDDLE}:{channel}", one)
        for channel in range(8)
        for one in unit_of("true", f"{MIDDLE}:{channel}")["images"]["attributions"]
        if one["exemplars"] == "max" and one["method"] == "guided"
    )
    sizes = ((unit, one, one["box"][2] - one["box"][0], one["box"][3] - one["box"][1]) for unit, one in found)
    unit, one = next((unit, one) for unit, one, width, height in sizes if height > 1.3 * width)
    page = tab.open(f"#/true/unit/{unit}?view=attribution-guided")
    pair = page.locator("ol.pairs").first.locator("li").nth(one["rank"])
    frame = pair.locator(".signed")
    frame.scroll_into_view_if_needed()
    until(page, "(image) => image.complete && image.naturalWidth > 0", frame.locator("img").element_handle())
    drawn = pixels(frame.screenshot())
    with urlopen(f"{served}data/true/{one['picture']}") as answer:
        picture, (left, top) = contained(Image.open(io.BytesIO(answer.read())), min(drawn.shape[:2]))
    shown = drawn[top : top + picture.height, left : left + picture.width]
    assert np.abs(shown - np.asarray(picture, dtype=float)).mean() < SCALING
    crop, signed = pair.locator(".picture").bounding_box(), frame.bounding_box()
    assert crop["y"] - signed["y"] == pytest.approx(top, abs=1.5)
    assert crop["height"] == pytest.approx(picture.height, abs=1.5)


def large_is(page, other):
    """The large picture has come to be the small one."""
    until(
        page,
        """([one, other]) => {
            const [a, b] = [one, other].map((name) => document.querySelector(name));
            return a && b && a.width > 1 && a.width !== 300 && !a.matches(".stale") && a.toDataURL() === b.toDataURL();
        }""",
        [LARGE, other],
    )


def test_the_large_picture_is_the_one_that_was_chosen(tab):
    page = tab.open(f"#/true/live?unit={LAST}:3")
    for choice, small in (("Its map", MAP), ("Projection", PROJECTION), ("Its map", MAP)):
        page.get_by_role("button", name=choice, exact=True).click()
        large_is(page, small)
    assert page.locator(MAP).evaluate(PIXELS) != page.locator(PROJECTION).evaluate(PIXELS)
    page.keyboard.press("z")
    large_is(page, PROJECTION)


def test_another_layer_brings_a_unit_of_its_own_while_one_map_is_shown_large(tab):
    page = tab.open(f"#/true/live?unit={LAST}:3")
    page.get_by_role("button", name="Its map", exact=True).click()
    large_is(page, MAP)
    before = page.locator(LARGE).evaluate(PIXELS)
    page.keyboard.press("u")
    until(page, "(layer) => location.hash.includes(`unit=${layer}%3A`)", MIDDLE)
    large_is(page, MAP)
    assert page.locator(LARGE).evaluate(PIXELS) != before
    chosen = page.locator(".address a").inner_text()
    page.keyboard.press("ArrowRight" if chosen != f"{MIDDLE}:7" else "ArrowLeft")
    until(page, "(before) => document.querySelector('.address a').textContent !== before", chosen)
    page.get_by_role("button", name="Strongest").click()
    expect(page.locator(".address a")).to_have_text(chosen)


def test_a_unit_that_never_changes_has_no_strongest_examples(tab):
    page = tab.open(f"#/true/unit/{DEAD}")
    expect(page.get_by_text("This unit is always exactly 0")).to_be_visible()
    page.wait_for_timeout(300)
    for heading in ("Strongest examples", "Across its range", "Classes by maximum"):
        expect(page.get_by_role("heading", name=heading)).to_have_count(0)
    assert page.locator("main img").count() == 0
    page = tab.open(f"#/true/live?unit={DEAD}")
    expect(page.get_by_text("In the study it is always exactly 0")).to_be_visible()
    assert page.get_by_alt_text(re.compile("^.*exemplar")).count() == 0


def test_examples_on_which_a_unit_is_off_are_not_among_its_strongest(tab, unit_of):
    scores = [one["score"] for one in unit_of("true", RARE)["exemplars"]["max"]]
    above = sum(score > 0 for score in scores)
    assert 0 < above < len(scores), scores
    page = tab.open(f"#/true/unit/{RARE}")
    expect(page.get_by_text(re.compile(r"Only (this example|these \d+ examples)")).first).to_be_visible()
    expect(page.get_by_alt_text(re.compile("by max$"))).to_have_count(above)


def tree(page):
    """The paths of all nodes."""
    return page.eval_on_selector_all("g.node", "(all) => all.map((one) => one.dataset.path)")


def shares(page):
    """By path, what each node gives to the one above in percent."""
    title = "(all) => all.map((one) => [one.dataset.path, one.querySelector('title').textContent])"
    said = page.eval_on_selector_all("g.node", title)
    found = {path: re.search(r"(-?)(?:<1|(\d+)) % of what", text) for path, text in said}
    return {path: int(f"{one[1]}{one[2] or 1}") for path, one in found.items() if one}


def followed(tab, unit):
    page = tab.open(f"#/true/image/12?unit={unit}")
    page.locator("g.node").nth(1).wait_for()
    page.keyboard.press("f")
    until(page, r"() => /node=[\d.]+-[\d.]+/.test(location.hash)")
    page.locator("g.node.selected").wait_for()
    return page


def test_the_way_down_goes_by_what_raises_the_unit_above_and_reaches_the_first_layer(tab):
    page = followed(tab, INHIBITED)
    selected = page.locator("g.node.selected").get_attribute("data-path")
    steps = selected.split("-")
    assert len(steps) == 4, "four layers lie below"
    given = shares(page)
    for depth in range(1, len(steps) + 1):
        path = "-".join(steps[:depth])
        row = [share for other, share in given.items() if other.rpartition("-")[0] == path.rpartition("-")[0]]
        assert given[path] == max(row) > 0, (path, given)


def test_the_tree_stays_whatever_method_draws_its_pictures(tab):
    page = followed(tab, INHIBITED)
    nodes, selected = tree(page), page.locator("g.node.selected").get_attribute("data-path")
    assert len(nodes) > 8
    page.get_by_label("Pictures by").select_option("guided_neg")
    drawn = "one.querySelector('image') || /nothing by/.test(one.textContent)"
    until(page, f"() => [...document.querySelectorAll('g.node')].every((one) => {drawn})")
    assert tree(page) == nodes
    assert page.locator("g.node.selected").get_attribute("data-path") == selected
    empty = page.locator("g.node", has_text="nothing by").count()
    assert empty > 0
    expect(page.get_by_text(f"By guided_neg, nothing of the image reaches the root through {empty} of")).to_be_visible()


def test_a_node_that_lowers_the_unit_above_says_why_nothing_lies_beneath_it(tab):
    page = tab.open(f"#/true/image/12?unit={INHIBITED}")
    page.locator("g.node").nth(1).wait_for()
    lowering = next(path for path, share in shares(page).items() if share < 0)
    page.locator(f'g.node[data-path="{lowering}"]').dblclick()
    expect(page.get_by_text("Nothing lies beneath")).to_contain_text("it lowers the unit above")


def test_a_method_that_failed_is_marked_wherever_it_draws_and_is_nowhere_the_usual_one(tab):
    page = tab.open(f"#/true/unit/{MIDDLE}:2?view=attribution-guided")
    note = page.get_by_role("note")
    for part in (
        "guided shows the image more than the unit",
        "similarity 0.310",
        "0 is unrelated and 1 the same",
        "above 0.15",
    ):
        expect(note).to_contain_text(part)
    expect(page.locator("main")).not_to_contain_text("hardly change")
    for route, field in (("image/12", "Pictures by"), ("live", "Method of back-projection")):
        page = tab.open(f"#/true/{route}?unit={MIDDLE}:2")
        choice = page.get_by_label(field)
        expect(choice).to_have_value("gradient")
        expect(page.get_by_role("note").filter(has_text="shows the image")).to_have_count(0)
        choice.select_option("guided")
        expect(page.get_by_role("note").filter(has_text="guided shows the image more")).to_be_visible()
    page = tab.open(f"#/true/image/12?unit={LAST}:1")
    expect(page.get_by_label("Pictures by")).to_have_value("guided")


def test_a_stage_that_covers_a_part_says_which(tab, document):
    scan, attribute = document("true/study.json")["stages"]
    assert [scan["stage"], attribute["stage"]] == ["scan", "attribute"]
    (units, every), (layers, all_layers) = attribute["covers"]["units"], attribute["covers"]["layers"]
    assert (layers, all_layers) == (1, 5)
    assert 0 < units < every
    page = tab.open("#/")
    chip = page.locator(".stages li")
    expect(chip.nth(0)).to_contain_text("✓")
    expect(chip.nth(1)).to_have_text(re.compile(rf"attribute\s+{units} of {every} units, 1 of 5 layers"))
