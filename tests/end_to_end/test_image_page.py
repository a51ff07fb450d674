"""The page of one image in a real browser: from an example down a tree and back, whatever is dropped and whoever restarts."""

import base64
import io
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image

playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
expect = playwright.expect

pytestmark = pytest.mark.slow

EXAMPLE = "#/demo/image/12"
ROOT = "head:12"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def study(chromium, drawn, tmp_path_factory):
    """A study of a few of the demo's examples."""
    return Path(shutil.copy(drawn, tmp_path_factory.mktemp("image")))


@pytest.fixture(scope="module")
def served(study, running):
    with running("serve", study, "--model", "demo", "--device", "cpu") as url:
        headers = {"content-type": "application/json"}
        with urlopen(Request(f"{url}image/demo", json.dumps({"example": 0}).encode(), headers)) as answer:
            assert answer.status == 200  # the first image takes longer: the model is looked over
        yield url


def nodes(page):
    return page.get_by_role("treeitem")


def node(page, path):
    return page.locator(f'g.node[data-path="{path}"]')


def told(page):
    """What is said of each node, the root first."""
    return page.locator("g.node > title").all_text_contents()


def hash_is(page, pattern):
    page.wait_for_function("(pattern) => new RegExp(pattern).test(location.hash)", arg=pattern)


def drawn(page):
    """Every node that is shown has its picture."""
    page.wait_for_function(
        """() => {
            const all = [...document.querySelectorAll("g.node")];
            return all.length > 1 && all.every((one) => one.querySelector("image") || /nothing by/.test(one.textContent));
        }"""
    )


def first_example(tab):
    """A tree with its root open, of an example from the gallery."""
    page = tab.open("#/demo/image")
    page.get_by_role("link", name=re.compile("^Example")).first.click()
    page.get_by_role("list", name="Predictions").get_by_role("link").first.click()
    drawn(page)
    return page


def png(width, height):
    target = io.BytesIO()
    ramp = np.add.outer(np.arange(height), np.arange(width)) % 256
    Image.fromarray(np.stack([ramp, ramp[::-1], 255 - ramp], 2).astype(np.uint8)).save(target, "PNG")
    return target.getvalue()


def drop(page, data, name, kind, padding=0):
    """Drops a file on the page as a person does; of that many bytes more than the data."""
    page.evaluate(
        """([data, name, type, padding]) => {
            const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
            const carried = new DataTransfer();
            carried.items.add(new File([bytes, new Uint8Array(padding)], name, { type }));
            const dropped = new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true });
            document.querySelector("main").dispatchEvent(dropped);
        }""",
        [base64.b64encode(data).decode(), name, kind, padding],
    )


def test_from_an_example_down_the_tree_and_back(tab):
    page = tab.open("#/demo/image")
    page.get_by_role("link", name=re.compile("^Example 0")).click()
    assert tab.shown() == "#/demo/image/0"
    expect(page.get_by_role("list", name="Predictions").get_by_role("listitem")).to_have_count(5)
    strong = page.get_by_role("region", name="block4", exact=True).get_by_role("link", name=re.compile("^block4:"))
    expect(strong).to_have_count(8)
    unit = strong.first.get_by_role("img").get_attribute("aria-label")
    page.locator("canvas.ready").first.wait_for()
    strong.first.click()
    drawn(page)
    expect(page.get_by_role("heading", level=2, name=unit)).to_be_visible()
    closed = tab.shown()
    child = nodes(page).nth(1)
    path = child.get_attribute("data-path")
    child.locator(".toggle").click()
    expect(node(page, path)).to_have_attribute("aria-expanded", "true")
    expect(nodes(page).and_(page.locator(f'[data-path^="{path}-"]')).first).to_be_visible()
    drawn(page)
    opened, names = tab.shown(), told(page)
    other = nodes(page).nth(-1).get_attribute("data-path")
    node(page, other).hover()
    node(page, other).locator(".remove").click()
    expect(node(page, other)).to_have_count(0)
    page.go_back()
    expect(node(page, other)).to_have_count(1)
    assert tab.shown() == opened
    page = tab.open(opened)
    expect(nodes(page)).to_have_count(len(names))  # what was open comes after the first level
    drawn(page)
    assert told(page) == names
    page.get_by_role("link", name="all layers").click()
    expect(page.get_by_role("heading", name="Units that stand out")).to_be_visible()
    page.go_back()
    drawn(page)
    assert closed.split("&")[0] in tab.shown()


def test_shares_add_up_and_what_is_opened_at_once_is_asked_at_once(tab):
    page = first_example(tab)
    shown = sum(abs(float(one)) for one in re.findall(r"(-?\d+) % of what", " ".join(told(page))))
    left = float(re.match(r"\d+", page.locator("g.rest text").first.text_content())[0])
    assert shown + left == pytest.approx(100, abs=3)
    page.get_by_label("Children").fill("10")
    page.keyboard.press("Tab")
    expect(nodes(page)).to_have_count(11)
    drawn(page)
    tab.asked.clear()
    page.keyboard.press("a")
    page.wait_for_function("() => document.querySelectorAll('g.node').length > 20")
    drawn(page)
    assert Counter(one.rsplit("/", 1)[1] for one in tab.asked if "/image/" in one) == {"makeups": 1, "pictures": 1}


def test_deleting_is_measured_and_scaling_too(tab):
    page = first_example(tab)
    nodes(page).nth(1).click()
    check = page.get_by_role("region", name="Check by deleting")
    check.get_by_role("button").click()
    row = check.get_by_role("row").first
    expect(row).to_contain_text("head:")
    lost = row.locator(".change").text_content()
    assert re.fullmatch(r"-\d+ %", lost)
    check.get_by_role("slider").fill("2")
    expect(row.locator(".change")).to_have_text(re.compile(r"^\+\d+ %"))
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Check all").click()
    expect(nodes(page).nth(1)).to_contain_text(f"without it {lost}")
    check.get_by_role("slider").fill("1")
    expect(row.locator(".change")).to_have_text("0 %")


def test_upwards_from_a_unit_to_one_that_uses_it(tab):
    page = tab.open(f"{EXAMPLE}?unit=block3:12")
    drawn(page)
    page.keyboard.press("u")
    uses = page.get_by_role("region", name="Who uses it")
    user = uses.get_by_role("link").first
    expect(user).to_be_visible()
    unit = user.text_content()
    user.click()
    hash_is(page, f"unit={unit.replace(':', '%3A')}&at=")
    drawn(page)
    assert told(page)[0].startswith(f"{unit},")
    expect(page.get_by_role("treeitem", name=re.compile("^block3:12\\b"))).to_have_attribute("aria-expanded", "true")


def test_the_keyboard_is_enough(tab):
    page = tab.open("#/demo/image/0")
    keys = page.keyboard
    keys.press("v")
    hash_is(page, "view=map")
    keys.press("ArrowRight")
    hash_is(page, "/image/1\\b")
    page.get_by_role("list", name="Predictions").get_by_role("link").first.press("Enter")
    drawn(page)
    keys.press("ArrowDown")
    keys.press("ArrowRight")
    path = nodes(page).nth(2).get_attribute("data-path")
    hash_is(page, f"node={path}$")
    expect(node(page, path)).to_be_focused()
    keys.press("Enter")
    expect(node(page, path)).to_have_attribute("aria-expanded", "true")
    keys.press("Enter")
    expect(node(page, path)).to_have_attribute("aria-expanded", "false")
    keys.press("x")
    expect(node(page, path)).to_have_count(0)
    keys.press("Home")
    before = nodes(page).count()
    keys.press("+")
    expect(nodes(page)).to_have_count(before + 2)
    keys.press("m")
    hash_is(page, "method=guided_neg")
    keys.press("m")
    hash_is(page, "method=lrp")
    keys.press("m")
    hash_is(page, "method=gradient")
    keys.press("e")
    expect(page.locator("g.node title", has_text="exemplar 1 of").first).to_be_attached()
    keys.press("f")
    hash_is(page, "node=[0-9.-]*-0\\.\\d+(&|$)")
    drawn(page)
    expect(page.get_by_role("treeitem", selected=True)).to_contain_text("stem.0:")
    keys.press("d")
    expect(page.get_by_role("region", name="Check by deleting").get_by_role("row").first).to_contain_text("block1")
    keys.press("ArrowUp")
    keys.press("r")
    expect(nodes(page).first).to_contain_text("block1")
    keys.press("o")
    expect(page.get_by_role("heading", name="Units that stand out")).to_be_visible()
    keys.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("follow the largest contributions down")
    keys.press("Escape")
    keys.press("g")
    hash_is(page, "#/demo/image$")


def test_an_image_of_ones_own_stays_in_this_browser(tab, served):
    page = tab.open("#/demo/image")
    drop(page, png(120, 90), "ramp.png", "image/png")
    expect(page.get_by_role("heading", level=1, name="Your own image")).to_be_visible()
    address = tab.shown()
    page = tab.open(address)
    expect(page.get_by_role("list", name="Predictions")).to_be_visible()
    elsewhere = page.context.browser.new_page()
    elsewhere.goto(served + address)
    expect(elsewhere.get_by_role("alert")).to_contain_text("This browser does not have that image")
    elsewhere.close()


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (png(200, 200)[:900], "image/png", "damaged|truncated|cannot be read"),
        (b"%PDF-1.4 nothing to see", "application/pdf", "no image|not an image"),
        (png(60, 60), "image/png", "17 MiB, more than 16"),
        ("bomb", "image/png", "pixels"),
    ],
    ids=["damaged", "no image", "too many bytes", "too many pixels"],
)
def test_what_cannot_be_opened_is_said_in_clear_words(tab, data, kind, words):
    page = tab.open("#/demo/image")
    if data == "bomb":
        target = io.BytesIO()
        Image.new("1", (9000, 9000)).save(target, "PNG")
        data = target.getvalue()
    drop(page, data, "thing", kind, 17 * 2**20 if "MiB" in words else 0)
    told = page.get_by_role("alert")
    expect(told).to_contain_text(re.compile(words))
    told.get_by_role("button", name="Dismiss").click()
    expect(told).to_have_count(0)
    page.get_by_role("link", name=re.compile("^Example")).first.click()
    expect(page.get_by_role("list", name="Predictions")).to_be_visible()
    tab.faults[:] = [one for one in tab.faults if not re.search("status of 4|^4", one)]  # browsers report what is refused


def test_a_class_is_looked_at_as_a_whole(tab):
    page = tab.open("#/demo/image")
    page.get_by_label("Examples of").select_option(value="2")
    page.get_by_role("link", name=re.compile("^All of .* together")).click()
    hash_is(page, "#/demo/image/class-2")
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("the mean over [2-8] examples"))
    page.get_by_role("list", name="Predictions").get_by_role("link").first.click()
    drawn(page)
    assert nodes(page).count() == 5
    expect(page.get_by_role("button", name="Check all")).to_have_count(0)


def test_the_tree_is_saved_as_a_file_that_needs_nothing_else(tab, tmp_path):
    page = first_example(tab)
    page.get_by_label("typical exemplars").check()
    page.wait_for_function("() => document.querySelectorAll('g.node svg image').length > 3")
    with page.expect_download() as saved:
        page.get_by_role("button", name="SVG").click()
    saved.value.save_as(tmp_path / "tree.svg")
    text = (tmp_path / "tree.svg").read_text()
    tree = ElementTree.fromstring(text)
    assert all(one.get("href").startswith("data:image/") for one in tree.iter(f"{SVG}image"))
    assert len(list(tree.iter(f"{SVG}image"))) > nodes(page).count()
    assert "var(" not in text
    assert "blob:" not in text
    with page.expect_download() as saved:
        page.get_by_role("button", name="PNG").click()
    saved.value.save_as(tmp_path / "tree.png")
    with Image.open(tmp_path / "tree.png") as picture:
        assert picture.width == 2 * round(float(tree.get("width")))
        assert len(picture.convert("RGB").getcolors(2**24)) > 1000


def test_without_a_model_the_page_says_what_it_needs(tab_of, running, study):
    with running("serve", study) as url:
        page = tab_of(url).open("#/demo/image/3?unit=head:1")
        expect(page.get_by_role("heading", level=1)).to_have_text("One image needs the model")
        expect(page.locator("pre")).to_contain_text("torchlurk serve demo.lurk --model demo")
        page.goto("about:blank")


def test_two_tabs_look_at_two_images(tab_of, served):
    roots = ["head:3", "head:12"]
    pages = [tab_of(served).open(f"#/demo/image/{number}?unit={root}") for number, root in enumerate(roots)]
    for page in pages:
        nodes(page).nth(1).locator(".toggle").click()  # both before either has its answer
    trees = []
    for page, root in zip(pages, roots, strict=True):
        expect(page.get_by_role("treeitem", expanded=True)).to_have_count(2)
        drawn(page)
        trees.append(told(page))
        assert trees[-1][0].startswith(f"{root},")
    assert trees[0] != trees[1]


def test_a_server_that_is_started_again_is_asked_again(tab_of, running, free_port, study):
    port = free_port()
    options = ("serve", study, "--model", "demo", "--device", "cpu")
    with running(*options, port=port) as url:
        tab = tab_of(url)
        page = first_example(tab)
    nodes(page).nth(1).locator(".toggle").click()
    expect(page.get_by_text("the server does not answer; trying again")).to_be_visible()
    count = nodes(page).count()
    with running(*options, port=port):
        expect(nodes(page).nth(count)).to_be_attached()
        drawn(page)
        expect(page.get_by_text("the server does not answer")).to_have_count(0)
        page.goto("about:blank")
        tab.faults.clear()  # that it was away, and that it knew the image no more


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (1280, "dark"), (390, "dark")])
def test_nothing_is_cut_off_and_axe_finds_nothing_serious(tab_of, served, width, theme):
    tab = tab_of(served, width=width, theme=theme)
    for route in ("#/demo/image", EXAMPLE, f"{EXAMPLE}?unit={ROOT}&typical=1"):
        page = tab.open(route)
        page.wait_for_timeout(700)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, route
        assert tab.serious_faults() == [], route
