"""The Live page in a real browser, with a camera that plays a recorded stream."""

import io
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from torchlurk.inputs.demo.world import DemoWorld

playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
expect = playwright.expect

pytestmark = pytest.mark.slow

EXAMPLES = 24
CAMERA = "#/demo/live?source=camera"
SHOTS, REPEATED = 4, 8
PATIENCE = 60
SHOWN = "(canvas) => canvas.toDataURL()"
INPUT, SHEET, MAP, PROJECTION = (
    '[aria-label="The input"] canvas',
    "button.sheet canvas",
    '[aria-label^="Map of"] canvas',
    '[aria-label^="Back-projection"] canvas',
)
NO_CAMERA = """if (navigator.mediaDevices)
  navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', '{name}'))"""


@pytest.fixture(scope="module")
def browser_flags(tmp_path_factory):
    """A camera that shows things of the demo world, one after the other."""
    recorded = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    world = DemoWorld(SHOTS)
    with recorded.open("wb") as file:
        for shot in range(SHOTS):
            picture = Image.fromarray(world.read(shot).values).resize((480, 480), Image.Resampling.BICUBIC)
            for step in range(REPEATED):
                frame = Image.new("RGB", (640, 480))
                frame.paste(picture, (60 + 5 * step, 0))
                frame.save(file, "JPEG", quality=85)
    return ["--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={recorded}"]


@pytest.fixture(scope="module")
def study(chromium, drawn, tmp_path_factory):
    """A study of a few of the demo's examples."""
    return Path(shutil.copy(drawn, tmp_path_factory.mktemp("live")))


@pytest.fixture(scope="module")
def served(study, running):
    with running("serve", study, "--model", "demo", "--device", "cpu") as url:
        yield url


@pytest.fixture
def allowed(tab_of):
    """Opens a tab that may use the camera."""

    def open_tab(base, **given):
        tab = tab_of(base, **given)
        tab.page.context.grant_permissions(["camera"])
        return tab

    return open_tab


@pytest.fixture
def tab(allowed, served):
    return allowed(served)


def until(page, what, of=None):
    page.wait_for_function(what, arg=of)


def drawn(page, canvas):
    """Waits until there is something on it; what it is."""
    until(
        page,
        "(one) => { const c = document.querySelector(one); return c && c.width > 1 && c.height > 1 && c.width !== 300 }",
        canvas,
    )
    return page.locator(canvas).first.evaluate(SHOWN)


def in_address(page, **wanted):
    for key, value in wanted.items():
        until(page, "([key, value]) => new URLSearchParams(location.hash.split('?')[1]).get(key) === value", [key, value])


def frames_run(page, times=3):
    """The input changes that often."""
    for _ in range(times):
        before = page.locator(INPUT).evaluate(SHOWN)
        until(page, "([one, before]) => document.querySelector(one).toDataURL() !== before", [INPUT, before])


def heard(page):
    """All that a stream which is opened later says, in both directions."""
    said = []

    def note(message):
        said.append(message)

    def follow(socket):
        socket.on("framesent", note)
        socket.on("framereceived", note)

    page.on("websocket", follow)
    return said


def falls_silent(page, said):
    """Waits until what was on its way has come, and nothing follows."""
    give_up, before = time.monotonic() + PATIENCE, -1
    while len(said) != before:
        assert time.monotonic() < give_up
        before = len(said)
        page.wait_for_timeout(1500)


def encoded(kind="PNG", size=(200, 150)):
    target = io.BytesIO()
    Image.effect_mandelbrot(size, (-2, -1, 1, 1), 20).convert("RGB").save(target, kind)
    return target.getvalue()


def given(page, name, data, kind="image/png"):
    page.set_input_files("input[type=file]", {"name": name, "mimeType": kind, "buffer": data})


def test_the_camera_runs_and_all_of_it_is_shown(tab):
    page = tab.open(CAMERA)
    for canvas in (INPUT, SHEET, MAP, PROJECTION):
        drawn(page, canvas)
    frames_run(page)
    expect(page.locator(".pace")).to_contain_text(re.compile(r"[1-9][\d.]* frames/s\s*\d+ ms"))
    expect(page.locator(".predictions .value").first).to_contain_text("%")
    expect(page.get_by_alt_text("exemplar 1 by max")).to_be_visible()
    assert page.locator(INPUT).evaluate("(one) => [one.width, one.height]") == [96, 96]
    assert page.locator(SHEET).first.evaluate("(one) => one.width % 12") == 0


def test_frozen_the_frame_stays_while_layers_and_methods_change(tab):
    said = heard(tab.page)
    page = tab.open(f"{CAMERA}&unit=block4:47")
    drawn(page, PROJECTION)
    frames_run(page, 1)
    page.keyboard.press("f")
    expect(page.get_by_role("button", name="Frozen")).to_be_visible()
    falls_silent(page, said)
    still, maps, back = (drawn(page, one) for one in (INPUT, SHEET, PROJECTION))
    page.keyboard.press("u")
    until(page, "([one, before]) => document.querySelector(one)?.toDataURL() !== before", [SHEET, maps])
    page.keyboard.press("b")
    until(page, "([one, before]) => document.querySelector(one).toDataURL() !== before", [PROJECTION, back])
    assert page.locator(INPUT).evaluate(SHOWN) == still
    page.keyboard.press("f")
    frames_run(page, 1)


def test_the_keys_of_the_toolbox(tab):
    page = tab.open("#/demo/live?unit=block4:13")
    drawn(page, SHEET)
    keys = page.keyboard
    columns = page.locator(SHEET).first.evaluate("(one) => one.width / 12")
    keys.press("ArrowRight")
    in_address(page, unit="block4:14")
    keys.press("Shift+ArrowLeft")
    in_address(page, unit=f"block4:{max(14 - 5, 14 - 14 % int(columns))}")
    at = max(14 - 5, 14 - 14 % int(columns))
    keys.press("ArrowDown")
    in_address(page, unit=f"block4:{at + int(columns)}")
    keys.press("d")
    in_address(page, hold=f"block4:{at + int(columns)}")
    keys.press("u")
    until(page, "() => location.hash.includes('block4.shortcut')")
    expect(page.get_by_label(f"Back-projection of block4:{at + int(columns)}")).to_be_visible()
    keys.press("o")
    until(page, "() => !location.hash.includes('block4.shortcut')")
    keys.press("e")
    expect(page.get_by_text(f"2 of {EXAMPLES}")).to_be_visible()
    keys.press("w")
    expect(page.get_by_text(f"1 of {EXAMPLES}")).to_be_visible()
    keys.press("t")
    in_address(page, gamma="0.5")
    keys.press("s")
    in_address(page, overlay="1")
    expect(page.locator("button.sheet canvas")).to_have_count(2)
    keys.press("z")
    in_address(page, show="map")
    drawn(page, ".large canvas")
    keys.press("c")
    in_address(page, source="camera")
    frames_run(page, 1)
    keys.press("c")
    in_address(page, source=None)
    keys.press("Escape")
    until(page, "() => !/hold|gamma|overlay|show/.test(location.hash)")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    keys.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("freeze the frame")
    keys.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_click_on_a_map_chooses_its_unit_and_the_address_brings_it_back(tab):
    page = tab.open("#/demo/live?unit=block3:0")
    drawn(page, SHEET)
    columns = page.locator(SHEET).first.evaluate("(one) => one.width / 12")
    side = page.locator("button.sheet").bounding_box()["width"] / columns
    page.locator("button.sheet").click(position={"x": 2.5 * side, "y": 1.5 * side})
    unit = f"block3:{int(columns) + 2}"
    in_address(page, unit=unit)
    expect(page.get_by_role("link", name=unit)).to_be_visible()
    page.reload()
    expect(page.get_by_role("link", name=unit)).to_be_visible()


def test_a_unit_that_is_switched_off_moves_the_predictions_which_keep_their_mark(tab):
    page = tab.open("#/demo/live?unit=head:0&example=0")
    first = page.locator(".predictions .value").first
    expect(first).to_contain_text("%")
    before = page.locator(".predictions li").all_inner_texts()
    page.get_by_label("The unit's activation times").fill("4")
    page.get_by_role("button", name="Switch off").click()
    in_address(page, change="head:0*0")
    until(
        page,
        "(before) => [...document.querySelectorAll('.predictions li')].some((one, at) => one.innerText !== before[at])",
        before,
    )
    expect(page.locator(".predictions .mark").first).to_be_attached()
    page.get_by_role("button", name="Off", exact=True).click()
    expect(page.locator(".predictions li").first).to_have_text(re.compile(re.escape(before[0].split("\n")[0])))


def test_files_that_cannot_be_shown_are_refused_in_words_and_the_next_one_is_shown(tab, tmp_path):
    page = tab.open("#/demo/live")
    drawn(page, SHEET)
    alert = page.get_by_role("alert")
    given(page, "notes.txt", b"not an image at all", "text/plain")
    expect(alert).to_contain_text("'notes.txt' is not an image")
    given(page, "torn.png", encoded()[:600])
    expect(alert).to_contain_text("damaged")
    given(page, "empty.png", b"")
    expect(alert).to_contain_text("empty")
    given(page, "many-pixels.png", encoded(size=(10_000, 5_000)))
    expect(alert).to_contain_text("10000x5000")
    huge = tmp_path / "huge.png"
    with huge.open("wb") as file:
        file.truncate(65 << 20)
    page.set_input_files("input[type=file]", huge)
    expect(alert).to_contain_text("more than the 64")
    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (1300, 1300, 3), np.uint8)).save(noise, "PNG")
    assert len(noise.getvalue()) > 4 << 20
    before = page.locator(INPUT).evaluate(SHOWN)
    given(page, "large.png", noise.getvalue())
    until(page, "([one, before]) => document.querySelector(one).toDataURL() !== before", [INPUT, before])
    expect(alert).to_have_count(0)


def test_images_are_dropped_on_the_page_one_after_the_other(tab):
    page = tab.open("#/demo/live")
    before = drawn(page, INPUT)
    page.evaluate(
        """async ([one, two]) => {
          const all = new DataTransfer();
          all.items.add(new File([new Uint8Array(one)], "one.png"));
          all.items.add(new File([new Uint8Array(two)], "two.jpg"));
          window.dispatchEvent(new DragEvent("drop", { dataTransfer: all, bubbles: true, cancelable: true }));
        }""",
        [list(encoded()), list(encoded("JPEG", (60, 90)))],
    )
    expect(page.get_by_text("1 of 2")).to_be_visible()
    until(page, "([one, before]) => document.querySelector(one).toDataURL() !== before", [INPUT, before])
    first = page.locator(INPUT).evaluate(SHOWN)
    page.keyboard.press("e")
    expect(page.get_by_text("2 of 2")).to_be_visible()
    until(page, "([one, before]) => document.querySelector(one).toDataURL() !== before", [INPUT, first])


def test_a_camera_that_is_refused_can_be_allowed_later(tab_of, served):
    page = tab_of(served).open(CAMERA)
    expect(page.get_by_role("alert")).to_contain_text("The camera was refused")
    page.context.grant_permissions(["camera"])
    page.get_by_role("button", name="Camera").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    frames_run(page, 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [("NotFoundError", "no camera"), ("NotReadableError", "The camera cannot be read")],
)
def test_without_a_camera_the_page_says_why_and_goes_on(tab, name, words):
    tab.page.add_init_script(NO_CAMERA.format(name=name))
    page = tab.open(CAMERA)
    expect(page.get_by_role("alert")).to_contain_text(words)
    page.get_by_role("button", name="Examples").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    drawn(page, SHEET)


def test_what_is_not_looked_at_is_not_asked_for(tab):
    said = heard(tab.page)
    page = tab.open(CAMERA)
    frames_run(page, 2)
    page.evaluate(
        """() => { Object.defineProperty(document, "hidden", { value: true, configurable: true });
        document.dispatchEvent(new Event("visibilitychange")); }"""
    )
    falls_silent(page, said)
    page.evaluate("() => { delete document.hidden; document.dispatchEvent(new Event('visibilitychange')); }")
    frames_run(page, 1)
    # So low that at the end of the page nothing of the maps is near, whatever the unit.
    page.set_viewport_size({"width": 390, "height": 260})
    give_up = time.monotonic() + PATIENCE
    while '"sheet":false' not in [one for one in said if isinstance(one, str) and '"sheet":' in one][-1]:
        assert time.monotonic() < give_up
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        page.wait_for_timeout(100)


def test_two_tabs_at_once(allowed, served):
    pages = [allowed(served).open(f"{CAMERA}&unit=block{number}:3") for number in (2, 4)]
    for page in pages:
        frames_run(page)
        drawn(page, SHEET)
    shapes = [page.locator(SHEET).first.evaluate("(one) => one.width") for page in pages]
    assert shapes[0] != shapes[1]


def test_a_server_that_is_started_again_is_found_again(allowed, running, free_port, study):
    port = free_port()
    arguments = ("serve", study, "--model", "demo", "--device", "cpu")
    with running(*arguments, port=port) as url:
        tab = allowed(url)
        page = tab.open(f"{CAMERA}&unit=block4:47")
        frames_run(page, 1)
    expect(page.locator(".pace")).to_contain_text("is not responding")
    page.wait_for_timeout(300)
    with running(*arguments, port=port):
        expect(page.locator(".pace")).to_contain_text("frames/s")
        frames_run(page, 2)
        page.context.close()
    # While nobody listened, the browser itself complained.
    assert all(
        "ERR_CONNECTION" in one or "WebSocket" in one or "ERR_INCOMPLETE" in one or "ERR_EMPTY" in one for one in tab.faults
    ), tab.faults
    tab.faults.clear()


def test_without_a_model_the_page_says_how_to_get_one(tab_of, serving, study):
    page = tab_of(serving("serve", study)).open("#/demo/live")
    expect(page.get_by_role("heading", level=1)).to_contain_text("needs the model")
    expect(page.get_by_text("torchlurk serve demo.lurk --model demo")).to_be_visible()


@pytest.mark.parametrize(("width", "theme"), [(1280, "dark"), (390, "light")])
def test_nothing_is_cut_off_and_axe_finds_nothing_serious(tab_of, served, width, theme):
    tab = tab_of(served, width=width, theme=theme)
    page = tab.open("#/demo/live?unit=block4:47&hold=block3:7&change=block4:47*0")
    drawn(page, SHEET)
    expect(page.get_by_alt_text("exemplar 1 by max")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.serious_faults() == []
