"""The app on a network that was trained on photographs, as far as both are at hand: every page, with its model beside it."""

import re
import shutil

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
expect = playwright.expect

pytestmark = pytest.mark.slow

MODEL = "torchvision:squeezenet1_1"
LAYER = "features.12.expand3x3"
UNIT = f"{LAYER}:7"
TENCH = 0
PAGES = ("#/", "#/squeeze", f"#/squeeze/layer/{LAYER}", f"#/squeeze/unit/{UNIT}", f"#/squeeze/class/{TENCH}", "#/squeeze/image")


@pytest.fixture(scope="module")
def served(data, torchlurk, chromium, running, once, tmp_path_factory):
    """A study of a few photographs, with pictures of one unit by every stage, and its model."""
    weights = ("--weights", data / "models" / "squeezenet1_1.safetensors")
    few = ("--limit", 60, "--top", 9, "--exemplars", 3, "--presets", "lucid", "--steps", 16, "--size", 96)

    def build(folder):
        made = ("analyze", MODEL, data / "imagenette", *weights, "--out", folder / "squeeze.lurk", *few)
        scanned = torchlurk(*made, "--stages", "scan")
        assert scanned.status == 0, scanned.err
        pictured = torchlurk(*made, "--stages", "attribute,synthesize", "--units", UNIT)
        assert pictured.status == 0, pictured.err

    study = shutil.copy(once("real", build) / "squeeze.lurk", tmp_path_factory.mktemp("real"))
    with running("serve", study, "--model", MODEL, *weights, "--device", "cpu") as url:
        yield url


def loaded(page, picture):
    picture.scroll_into_view_if_needed()
    page.wait_for_function("(image) => image.complete && image.naturalWidth > 0", arg=picture.element_handle())


def test_from_all_studies_to_a_photograph_and_what_in_it_mattered(tab):
    page = tab.open("#/")
    page.get_by_role("link", name="squeeze").first.click()
    page.locator(".node.layer a", has_text="features.3.expand1x1").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("features.3.expand1x1")
    page.get_by_role("link", name="Unit 0,").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("features.3.expand1x1:0")
    loaded(page, page.get_by_alt_text("exemplar 1 by max"))
    page = tab.open(f"#/squeeze/unit/{UNIT}")
    for method in ("deconv", "guided", "gradient"):
        page.get_by_role("button", name=method, exact=True).click()
        loaded(page, page.get_by_alt_text(f"attribution by {method}").first)
    expect(page.get_by_text("lucid").first).to_be_visible()


def test_from_a_class_to_a_unit_that_answers_to_it(tab):
    page = tab.open(f"#/squeeze/class/{TENCH}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("tench")
    page.locator("main a[href*='/unit/']").first.click()
    page.wait_for_function("() => location.hash.startsWith('#/squeeze/unit/')")
    expect(page.get_by_alt_text("exemplar 1 by max")).to_be_visible()


def test_one_photograph_through_the_network(tab):
    page = tab.open("#/squeeze/image")
    page.get_by_role("link", name=re.compile("^Example")).first.click()
    predictions = page.get_by_role("list", name="Predictions")
    expect(predictions.get_by_role("listitem")).to_have_count(5)
    predictions.get_by_role("link").first.click()
    expect(page.get_by_role("treeitem").nth(1)).to_be_visible()
    page.wait_for_function("() => [...document.querySelectorAll('g.node')].every((one) => one.querySelector('image'))")


@pytest.mark.parametrize(("width", "theme"), [(1280, "dark"), (390, "light")])
def test_no_page_is_wider_than_its_screen_or_hard_to_read(tab_of, served, width, theme):
    tab = tab_of(served, width=width, theme=theme)
    for route in PAGES:
        page = tab.open(route)
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, route
        assert tab.serious_faults() == [], route
