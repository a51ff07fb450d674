"""Units are named, noted and starred in a real browser, and whoever else looks sees it."""

import json
import shutil
from urllib.request import urlopen

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
expect = playwright.expect

pytestmark = pytest.mark.slow

UNIT = "#/demo/unit/block1:3"


@pytest.fixture
def study(demo, tmp_path):
    """A study to write to."""
    return shutil.copy(demo, tmp_path / "demo.lurk")


def star_of(page):
    return page.get_by_role("button", name="Star")


def said_of(page):
    """What is said of the note; other parts of a page have something to say as well, as long as they load."""
    return page.get_by_role("form", name="Note").get_by_role("status")


def test_a_unit_is_named_starred_and_noted_and_an_open_page_elsewhere_shows_it(tab_of, serving, study):
    base = serving("serve", study, "--write")
    page, other = tab_of(base).open(UNIT), tab_of(base, width=390, theme="dark").open("#/demo/layer/block1")
    save, name = page.get_by_role("button", name="Save"), page.get_by_label("Name")
    expect(save).to_be_disabled()
    name.fill("wheels t")  # letters are no keys of the page
    page.get_by_role("button", name="Add a note").click()
    page.get_by_role("textbox", name="Note").fill("also rims\nand plates")
    save.click()
    expect(said_of(page)).to_have_text("Saved")
    star_of(page).click()
    expect(page.locator("header .mark")).to_have_text("★starredwheels t")
    expect(star_of(page)).to_have_attribute("aria-pressed", "true")
    expect(save).to_be_disabled()
    expect(other.get_by_role("link", name="Unit 3, wheels t, starred,")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Name")).to_have_value("wheels t")
    expect(page.get_by_role("textbox", name="Note")).to_have_value("also rims\nand plates")
    page.goto(f"{base}#/demo")
    page.get_by_text("1 named or starred unit").click()
    expect(page.get_by_role("link", name="block1:3")).to_be_visible()
    page.get_by_role("combobox").fill("whee")
    page.get_by_role("option", name="block1:3").click()
    expect(page.get_by_label("Name")).to_have_value("wheels t")
    page.get_by_role("link", name="Unit after").click()
    expect(page.get_by_label("Name")).to_have_value("")


def test_what_others_write_does_not_go_over_an_unsaved_draft(tab_of, serving, study, torchlurk):
    tab = tab_of(serving("serve", study, "--write"))
    page = tab.open(UNIT)
    page.get_by_label("Name").fill("my draft")
    assert torchlurk("note", study, "block1:3", "--name", "theirs", "--text", "a note").status == 0
    expect(page.locator("header .mark")).to_have_text("theirs")
    expect(page.get_by_label("Name")).to_have_value("my draft")
    page.keyboard.press("Enter")
    expect(page.locator("header .mark")).to_have_text("my draft")
    with urlopen(f"{tab.base}data/demo/layers/4/units/3.json") as answer:
        remark = json.load(answer)["remark"]
    assert (remark["name"], remark["text"]) == ("my draft", "a note")


def test_the_arrows_to_the_next_unit_stay_where_they_are_when_a_name_appears(tab_of, serving, study, torchlurk):
    page = tab_of(serving("serve", study, "--write")).open("#/demo/unit/stem.0:8")
    after = page.get_by_role("link", name="Unit after")
    before = after.bounding_box()
    assert torchlurk("note", study, "stem.0:8", "--name", "theirs").status == 0
    expect(page.locator("header .mark")).to_have_text("theirs")
    assert after.bounding_box() == pytest.approx(before, abs=1)
    for unit in ("stem.0:9", "stem.0:10"):
        after.click()
        expect(page.get_by_role("heading", name=unit)).to_be_visible()
    assert after.bounding_box() == pytest.approx(before, abs=1)


def test_without_write_notes_are_shown_and_cannot_be_changed(tab_of, serving, study, torchlurk):
    markup = "<img src=x onerror=alert(1)>"
    assert torchlurk("note", study, "block1:3", "--name", markup, "--text", markup, "--star").status == 0
    tab = tab_of(serving("serve", study))
    page = tab.open(UNIT)
    expect(page.locator("header .mark")).to_contain_text(markup)
    expect(page.locator("p.panel", has_text=markup)).to_be_visible()
    expect(page.get_by_role("button", name="Star")).to_have_count(0)
    assert tab.serious_faults() == []


def test_a_draft_is_kept_while_other_units_are_looked_at_and_over_a_reload(tab_of, serving, study):
    tab = tab_of(serving("serve", study, "--write"))
    page = tab.open(UNIT)
    page.get_by_label("Name").fill("half a na")
    page.get_by_role("button", name="Add a note").click()
    page.get_by_role("textbox", name="Note").fill("not done")
    expect(said_of(page)).to_have_text("Not saved yet")
    page.get_by_role("link", name="Unit after").click()
    expect(page.get_by_label("Name")).to_have_value("")
    expect(said_of(page)).to_have_text("")
    page.get_by_label("Name").fill("the next")
    page.reload()
    expect(page.get_by_label("Name")).to_have_value("the next")
    page.locator("form p").get_by_role("link", name="block1:3").click()
    expect(page.get_by_label("Name")).to_have_value("half a na")
    expect(page.get_by_role("textbox", name="Note")).to_have_value("not done")
    page.get_by_role("button", name="Save").click()
    expect(said_of(page)).to_have_text("Saved")
    page.get_by_role("link", name="Unit after").click()
    expect(page.get_by_label("Name")).to_have_value("the next")
    page.get_by_label("Name").fill("")
    page.get_by_role("link", name="Unit before").click()
    expect(page.get_by_label("Name")).to_have_value("half a na")
    expect(page.locator("form")).not_to_contain_text("Not saved yet")
    assert tab.serious_faults() == []


def test_the_pages_of_a_model_show_what_is_noted_of_units(tab_of, serving, drawn, tmp_path, torchlurk):
    study = shutil.copy(drawn, tmp_path / "demo.lurk")
    tab = tab_of(serving("serve", study, "--model", "demo", "--device", "cpu"))
    page = tab.open("#/demo/image/0")
    strong = page.get_by_role("region", name="block4", exact=True).get_by_role("link").nth(1)
    unit = strong.get_by_role("img").get_attribute("aria-label")
    assert torchlurk("note", study, unit, "--name", "wheels", "--star").status == 0
    expect(strong.locator(".mark")).to_have_text("★starredwheels")
    strong.click()
    expect(page.get_by_role("complementary", name="The chosen unit").locator(".mark").first).to_have_text("★starredwheels")
    assert tab.serious_faults() == []
    page = tab.open(f"#/demo/live?layer=block4&unit={unit}")
    expect(page.get_by_role("region", name="The unit").locator(".mark")).to_have_text("★starredwheels")
    expect(page.locator(".sheet .noted")).to_have_text("★")
