"""`study.app()` in a page of another origin, as a notebook is, in a real browser."""

from __future__ import annotations

import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

import torchlurk as tl
from torchlurk.server.running import Server

playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
expect = playwright.expect

pytestmark = pytest.mark.slow

CONFIG = '<script id="jupyter-config-data" type="application/json">{"baseUrl": "/user/me/"}</script>'


class Notebook(BaseHTTPRequestHandler):
    """A page with the output of a cell, and where `server.proxies`, jupyter-server-proxy's way to ports of the kernel."""

    def do_GET(self):
        start, _, rest = self.path.partition("/user/me/proxy/")
        if self.path == "/user/me/":
            self.answer(200, "text/html", f"<!doctype html><title>Cell</title>{CONFIG}{self.server.cell}".encode())
        elif rest and not start and self.server.proxies:
            port, _, path = rest.partition("/")
            try:
                with urlopen(Request(f"http://127.0.0.1:{port}/{path}", headers={"Host": self.headers["Host"]})) as found:
                    self.answer(200, found.headers["content-type"], found.read(), found.headers)
            except HTTPError as error:
                self.answer(error.code, error.headers["content-type"], error.read(), error.headers)
        else:
            self.answer(404, "text/plain", b"nothing")

    def answer(self, status, kind, body, headers=None):
        self.send_response(status)
        self.send_header("content-type", kind)
        for name in ("content-security-policy", "x-torchlurk"):
            if headers and name in headers:
                self.send_header(name, headers[name])
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing."""


@pytest.fixture
def notebook():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Notebook)
    server.cell, server.proxies = "", False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def study(demo, tmp_path):
    with tl.open(shutil.copy(demo, tmp_path / "demo.lurk")) as opened:
        yield opened


@pytest.fixture
def page(chromium):
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


def address(notebook, host="127.0.0.1"):
    return f"http://{host}:{notebook.server_address[1]}/user/me/"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_cell_shows_the_whole_app_in_a_frame(notebook, page, study, host):
    answers = []
    page.on("response", lambda one: answers.append((one.status, one.request.resource_type)))
    app = study.app(height=600)
    notebook.cell = app._repr_html_()
    with page.expect_response(lambda one: one.status == 200 and one.request.resource_type == "image"):
        page.goto(address(notebook, host))
        frame = page.frame_locator("iframe")
        frame.get_by_role("heading", level=1).first.wait_for()
        frame.get_by_role("link", name="demo").first.click()
        frame.get_by_role("link", name="block1").first.click()
        expect(frame.get_by_role("link", name="Unit 3", exact=False).first).to_be_visible()
    assert page.locator("iframe").bounding_box()["height"] == pytest.approx(602, abs=3)
    expect(page.get_by_role("link", name="Open demo.lurk in a tab")).to_have_attribute("href", app.url)
    assert [one for one in answers if one[0] >= 400] == [(404, "fetch")]  # no proxy beside this notebook
    app.close()


def test_behind_the_notebooks_own_proxy_it_goes_through_that(notebook, page, study):
    app = study.app()
    notebook.cell, notebook.proxies = app._repr_html_(), True
    page.goto(address(notebook))
    page.frame_locator("iframe").get_by_role("heading", level=1).first.wait_for()
    assert page.locator("iframe").get_attribute("src").startswith(f"{address(notebook)}proxy/")
    expect(page.get_by_role("link", name="in a tab")).to_have_attribute("href", f"{address(notebook)}proxy/{app.url[17:]}")
    app.close()


def test_no_other_page_frames_it_and_what_serve_starts_is_framed_by_none(notebook, page, study):
    app = study.app()
    with Server([study.path], port=0) as server:
        asked = f"?framed-by=http://127.0.0.1:{notebook.server_address[1]}"
        elsewhere = f"{app.url}?framed-by=http://127.0.0.1:1"
        notebook.cell = "".join(
            f'<iframe src="{one}"></iframe>' for one in (app.url, elsewhere, server.url, server.url + asked, app.url + asked)
        )
        page.goto(address(notebook), wait_until="networkidle")
        page.frame_locator("iframe >> nth=-1").get_by_role("heading", level=1).first.wait_for()
        shown = [frame.locator("#app > *").count() > 0 for frame in page.frames[1:]]
    assert shown == [False, False, False, False, True]
    app.close()


def test_where_the_page_has_no_origin_there_is_a_link(notebook, page, study):
    app = study.app()
    inner = app._repr_html_().replace("&", "&amp;").replace('"', "&quot;")
    notebook.cell = f'<iframe sandbox="allow-scripts" srcdoc="{inner}"></iframe>'
    page.goto(address(notebook), wait_until="networkidle")
    inside = page.frame_locator("iframe")
    expect(inside.get_by_role("link", name="in a tab")).to_have_attribute("href", app.url)
    expect(inside.locator("iframe")).to_have_count(0)
    app.close()
