"""The app in a real browser, as people use it: nothing may fail or complain, whatever they do."""

import json
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
expect = playwright.expect

pytestmark = pytest.mark.slow

PAGES = ("#/", "#/one", "#/one/layer/block3", "#/one/unit/block4:47", "#/one/class/2")
UNIT = "block4:47"
HOSTILE = "<img src=x onerror=alert(1)>&\"'quoted'"
WIDE = """
import torch
from torch import nn
from torchlurk.records import Preprocessing

def wide():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2048, 3, stride=8), nn.ReLU()), Preprocessing(mean=(0.5,) * 3, std=(0.25,) * 3)
"""

HELD = """
import time
from pathlib import Path
from torchlurk.inputs.demo.world import PREPROCESSING
from torchlurk.models.loading.demo import DemoNetwork, demo_network

class Held(DemoNetwork):
    passes = 0

    def forward(self, x):
        Held.passes += 1
        while Held.passes > 60 and not Path(__file__).with_name("go").exists():
            time.sleep(0.05)
        return super().forward(x)

def held():
    net = Held()
    net.load_state_dict(demo_network().state_dict())
    return net, PREPROCESSING
"""


@pytest.fixture(scope="module")
def studies(torchlurk, chromium, once, tmp_path_factory):
    """Two studies of the demo, on different examples; the first with attributions of one unit."""
    few = ("--stages", "scan,attribute", "--methods", "deconv,guided", "--exemplars", 3, "--units", UNIT)

    def build(folder):
        for done in (
            torchlurk(
                "analyze", "demo", "demo", "--out", folder / "one.lurk", "--limit", 240, "--stages", "scan,attribute", *few
            ),
            torchlurk("analyze", "demo", "demo", "--out", folder / "two.lurk", "--limit", 60, "--stages", "scan"),
        ):
            assert done.status == 0, done.err

    built, own = once("app", build), tmp_path_factory.mktemp("studies")
    return [Path(shutil.copy(built / name, own)) for name in ("one.lurk", "two.lurk")]


@pytest.fixture(scope="module")
def served(studies, running):
    with running("serve", *studies) as url:
        yield url


def document(base, path):
    with urlopen(f"{base}data/{path}") as answer:
        return json.load(answer)


def layer_of(base, slug, name):
    layers = document(base, f"{slug}/study.json")["layers"]
    return next(document(base, f"{slug}/layers/{one['id']}.json") for one in layers if one["name"] == name)


def units_on(page):
    """The channels of the tiles of the grid, in the order in which they are read."""
    page.locator(".grid a").first.wait_for()
    return page.evaluate(
        "[...document.querySelectorAll('.grid a')].map((a) => [a.offsetTop, a.offsetLeft, +a.href.split(':').at(-1)])"
        ".sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((one) => one[2])"
    )


def test_from_all_studies_to_what_a_unit_saw(tab):
    page = tab.open("#/")
    page.get_by_role("link", name="one").first.click()
    expect(page.get_by_role("heading", level=1, name="one")).to_be_visible()
    page.locator(".node.layer a", has_text="block4").last.click()
    expect(page.get_by_role("heading", level=1, name="block4")).to_be_visible()
    page.get_by_role("link", name="Unit 47,").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(UNIT)
    assert tab.shown() == f"#/one/unit/{UNIT}"
    whole = page.get_by_alt_text("exemplar 1 by max")
    expect(whole).to_have_js_property("naturalWidth", 96)
    page.get_by_role("button", name="box only").click()
    assert tab.shown().endswith("?view=box")
    page.get_by_role("button", name="guided").click()
    drawn = page.get_by_alt_text("attribution by guided").first
    drawn.scroll_into_view_if_needed()
    expect(drawn).not_to_have_js_property("naturalWidth", 0)


def test_every_picture_has_words(tab):
    for route in PAGES:
        page = tab.open(route)
        page.wait_for_timeout(300)
        assert page.evaluate("[...document.images].filter((one) => !one.hasAttribute('alt')).length") == 0, route


def test_units_are_sorted_and_filtered_and_the_address_says_how(tab, served):
    layer = layer_of(served, "one", "block3")
    page = tab.open("#/one/layer/block3")
    assert units_on(page)[:5] == [0, 1, 2, 3, 4]
    page.get_by_label("Sort by").select_option(label="maximum")
    highest = sorted(range(64), key=lambda channel: (-layer["statistics"]["max"][channel], channel))
    expect(page.locator(".grid a").first).to_have_attribute("href", f"#/one/unit/block3:{highest[0]}")
    assert units_on(page)[:20] == highest[:20]
    chosen = layer["best_class"][highest[0]]
    page.get_by_label("Prefers").select_option(value=str(chosen))
    prefer = [one for one in highest if chosen in (layer["best_class"][one], layer["second_class"][one])]
    expect(page.get_by_text(f"{len(prefer)} of 64 units")).to_be_visible()
    assert units_on(page) == prefer
    assert tab.shown() == f"#/one/layer/block3?sort=max&class={chosen}"
    page.reload()
    assert units_on(page) == prefer


def test_a_layer_says_of_how_many_units_it_has_pictures(tab):
    page = tab.open("#/one/layer/block4?view=attribution-guided")
    expect(page.get_by_text("Pictures of this kind exist for 1 of 96 units.")).to_be_visible()
    page.get_by_label("Show").select_option(label="what it sees")
    expect(page.get_by_text("Pictures of this kind")).to_have_count(0)


def test_from_a_class_to_a_unit_that_answers_to_it(tab, served):
    page = tab.open("#/one/class/2")
    first = document(served, "one/classes/2.json")["layers"][-1]
    unit = f"{first['name']}:{first['units'][0]['channel']}"
    page.locator(f"main a[href='#/one/unit/{unit}']").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(unit)


def test_the_keyboard_is_enough(tab):
    page = tab.open("#/")
    keys = page.keyboard

    def until(hash_):
        page.wait_for_function("(hash) => location.hash === hash", arg=hash_)

    page.get_by_role("link", name="one").first.focus()
    keys.press("Enter")
    until("#/one")
    expect(page.get_by_role("combobox", name="Search a layer, a unit or a class")).to_be_visible()
    keys.press("/")
    keys.type(UNIT)
    keys.press("Enter")
    until(f"#/one/unit/{UNIT}")
    expect(page.get_by_role("heading", level=1)).to_have_text(UNIT)
    keys.press("ArrowRight")
    until("#/one/unit/block4:48")
    keys.press("Shift+ArrowLeft")
    until("#/one/unit/block4:38")
    keys.press("v")
    until("#/one/unit/block4:38?view=box")
    keys.press("l")
    until("#/one/layer/block4")
    expect(page.locator(".grid a").first).to_be_visible()
    keys.press("Shift+ArrowUp")
    page.wait_for_function("() => location.hash !== '#/one/layer/block4'")
    keys.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    keys.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    before = page.evaluate("document.documentElement.dataset.theme")
    keys.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") != before
    keys.press("n")
    until("#/one")
    page.get_by_role("button", name="close all").focus()
    keys.press("Enter")
    until("#/one?open=none")
    page.get_by_role("button", name="Open block block1").press("Enter")
    until("#/one?open=block1")
    keys.press("h")
    until("#/")


def test_two_keys_in_one_breath_are_two_steps(tab):
    page = tab.open(f"#/one/unit/{UNIT}")
    page.evaluate("""() => {
        window.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
        window.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", shiftKey: true }));
    }""")
    expect(page.get_by_role("heading", level=1)).to_have_text("block4:38")
    assert tab.shown() == "#/one/unit/block4:38"
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("block4:48")


def test_keys_are_not_for_the_page_while_the_help_is_open(tab):
    page = tab.open(f"#/one/unit/{UNIT}")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert tab.shown() == f"#/one/unit/{UNIT}"


def test_what_is_asked_for_while_the_server_is_away_comes_once_it_is_back(tab_of, running, free_port, studies):
    port = free_port()
    with running("serve", *studies, port=port) as url:
        tab = tab_of(url)
        page = tab.open(f"#/one/unit/{UNIT}")
    expect(page.get_by_text("The server is not responding.")).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    expect(page.get_by_role("heading", level=1)).to_have_text(UNIT)  # what was loaded before stays
    with running("serve", *studies, port=port):
        expect(page.get_by_role("heading", level=1)).to_have_text("block4:48")
        page.goto("about:blank")
    tab.faults.clear()  # that it was away


def test_deep_links_open_and_the_back_button_goes_back(tab):
    page = tab.open(f"#/one/unit/{UNIT}?view=attribution-guided")
    expect(page.get_by_role("button", name="guided")).to_have_attribute("aria-pressed", "true")
    page.locator("nav[aria-label=Layers] a", has_text="block2.conv1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("block2.conv1")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text(UNIT)
    assert tab.shown() == f"#/one/unit/{UNIT}?view=attribution-guided"
    page.go_forward()
    expect(page.get_by_role("heading", level=1)).to_have_text("block2.conv1")


def test_two_studies_are_compared(tab):
    page = tab.open(f"#/one/unit/{UNIT}")
    page.get_by_label("Beside").select_option(label="two")
    other = page.locator("section.other")
    expect(other).to_contain_text("The same unit in two")
    expect(other.get_by_alt_text("exemplar 1 by max")).to_be_visible()
    assert tab.shown() == f"#/one/unit/{UNIT}?with=two"
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", level=1)).to_have_text("block4:48")
    expect(page.locator("section.other")).to_be_visible()


def test_a_wrong_address_is_said_in_words(tab):
    page = tab.open("#/one/layer/block9")
    expect(page.get_by_role("alert")).to_contain_text("No layer 'block9'")
    page = tab.open("#/one/unit/block4:4711")
    expect(page.get_by_role("alert")).to_contain_text("Layer 'block4' has no unit 4711")
    page = tab.open("#/one/class/4711")
    expect(page.get_by_role("alert")).to_contain_text("No class '4711'")


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("layer/blok3", "No layer 'blok3' in this study; nearest: block3"),
        ("unit/blok3:1", "No layer 'blok3' in this study; nearest: block3"),
        ("unit/block3:999", "Layer 'block3' has no unit 999; it has 64, counted from 0."),
        ("foo/bar", "There is no page 'foo/bar'"),
    ],
)
def test_an_address_that_leads_nowhere_says_what_is_near(tab, route, said):
    expect(tab.open(f"#/one/{route}").get_by_role("alert")).to_contain_text(said)


def test_a_search_that_finds_nothing_says_so(tab):
    page = tab.open("#/one")
    page.get_by_role("combobox", name="Search").fill("zebra crossing")
    expect(page.get_by_role("status").filter(has_text="zebra crossing")).to_be_visible()


def test_what_is_found_stays_while_the_pointer_is_held_down_on_it(tab):
    page = tab.open("#/one")
    page.get_by_role("combobox", name="Search").fill(UNIT)
    page.get_by_role("option", name=UNIT).click(delay=400)
    expect(page.get_by_role("heading", level=1)).to_have_text(UNIT)
    expect(page.get_by_role("option")).to_have_count(0)
    page.keyboard.press("/")
    page.keyboard.type("block3:1")
    page.wait_for_timeout(300)
    expect(page.get_by_role("combobox", name="Search")).to_have_value("block3:1")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_cut_off_and_axe_finds_nothing_serious(tab_of, served, width, theme):
    tab = tab_of(served, width=width, theme=theme)
    for route in (*PAGES, f"#/one/unit/{UNIT}?view=attribution-guided&with=two"):
        page = tab.open(route)
        page.wait_for_load_state("load")
        page.wait_for_timeout(400)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, route
        assert tab.serious_faults() == [], route


def test_a_running_analysis_fills_in(tab_of, serving, tmp_path):
    (tmp_path / "held.py").write_text(HELD)  # or the scan may be over before the page is there
    told = ("--out", tmp_path / "running.lurk", "--limit", 120, "--batch-size", 1, "--stages", "scan", "--serve")
    url = serving("analyze", f"{tmp_path / 'held.py'}:held", "demo", *told)
    page = tab_of(url).open("#/running")
    page.evaluate("window.neverReloaded = true")
    expect(page.get_by_role("progressbar", name="scan progress").first).to_be_visible()
    (tmp_path / "go").touch()
    expect(page.get_by_text("996 units")).to_be_visible()
    expect(page.get_by_role("progressbar", name="scan progress")).to_have_count(0)
    page.locator(".node.layer a").first.click()
    expect(page.locator(".grid a").first).to_be_visible()
    assert page.evaluate("window.neverReloaded")


@contextmanager
def files_served(folder):
    """`python -m http.server` on a free port."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process.stdout.readline().split("(")[1].split(")")[0]
        finally:
            process.kill()


def test_the_exported_site_works_from_files_under_a_prefix(tab_of, torchlurk, studies, tmp_path):
    site = tmp_path / "some where" / "prefix"
    done = torchlurk("export", studies[1], site)
    assert done.status == 0, done.err
    with files_served(tmp_path) as root:
        tab = tab_of(f"{root}{quote('some where')}/prefix/")
        page = tab.open("#/")
        page.get_by_role("link", name="two").first.click()
        expect(page.locator(".node.layer").first).to_be_visible()
        for route in ("#/two/layer/block3?sort=max", f"#/two/unit/{UNIT}", "#/two/class/2"):
            page = tab.open(route)
            page.wait_for_timeout(500)
        page.goto("about:blank")  # or what is still on its way fails once the server is gone
    assert not [one for one in tab.asked if "events" in one]


def test_names_are_text_and_never_markup(tab_of, serving, torchlurk, model, pictures, tmp_path):
    folder = tmp_path / "pictures"
    shutil.copytree(pictures, folder)
    (folder / "grid").rename(folder / HOSTILE)
    study = tmp_path / "hostile.lurk"
    assert torchlurk("analyze", model, folder, "--out", study, "--stages", "scan").status == 0
    tab = tab_of(serving("serve", study))
    for route in ("#/", "#/hostile", "#/hostile/layer/conv2", "#/hostile/unit/conv2:1", "#/hostile/class/0"):
        page = tab.open(route)
        page.wait_for_timeout(300)
        assert page.locator("main img[src=x]").count() == 0
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    page.keyboard.press("/")
    page.keyboard.type("<img")
    expect(page.get_by_role("option").first).to_contain_text(HOSTILE)


def test_of_many_units_only_those_on_the_screen_are_drawn(tab_of, serving, torchlurk, pictures, tmp_path):
    (tmp_path / "wide.py").write_text(WIDE)
    study = tmp_path / "wide.lurk"
    done = torchlurk("analyze", f"{tmp_path / 'wide.py'}:wide", pictures, "--out", study, "--stages", "scan", "--crop", 24)
    assert done.status == 0, done.err
    page = tab_of(serving("serve", study)).open("#/wide/layer/0")
    expect(page.get_by_text("2,048 of 2,048 units")).to_be_visible()
    assert 50 < page.locator(".grid a").count() < 300
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.get_by_role("link", name="Unit 2047,")).to_be_visible()
    assert page.locator(".grid a").count() < 300
