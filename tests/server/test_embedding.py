"""The app in a notebook: answered below its token alone, framed by the pages that were named with it, and by no others."""

from __future__ import annotations

import json
import re
import shutil

import pytest

import torchlurk as tl
from torchlurk.errors import OptionError

NOTEBOOK = "http://localhost:8888"


@pytest.fixture(scope="module")
def study(demo, tmp_path_factory):
    with tl.open(shutil.copy(demo, tmp_path_factory.mktemp("embedded") / "demo.lurk")) as opened:
        yield opened


@pytest.fixture(scope="module")
def shown(study):
    app = study.app(write=True)
    yield app
    app.close()


@pytest.fixture
def client(shown, client_from):
    return client_from(shown._server)


@pytest.fixture
def token(shown):
    return shown.url.split("/")[3]


def framed_by(answer):
    return re.search(r"frame-ancestors ([^;]*)", answer.headers["content-security-policy"])[1]


def test_nothing_is_answered_without_the_token(client, token):
    for path in (
        "/",
        "/data/studies.json",
        "/live",
        f"/{token}",
        f"/{token[:-1]}/",
        f"/{token}x/",
        f"//{token}/",
        f"/?token={token}",
    ):
        answer = client.ask(path)
        assert answer.is_refusal(401, "Unauthorized"), path
        assert framed_by(answer) == "'none'"
        assert token not in answer.body.decode()
    assert client.ask("/data/studies.json", Authorization=f"Bearer {token}").status == 401
    assert client.ask("/data/studies.json", Cookie=f"torchlurk-token={token}").status == 401


def test_with_it_any_host_that_a_proxy_sends_is_answered(client, token):
    for host in ("hub.example.org", "8000-x.colab.example", "localhost:1"):
        answer = client.ask(f"/{token}/data/studies.json", Host=host)
        assert (answer.status, list(answer.json)) == (200, ["studies"])
        assert "set-cookie" not in answer.headers
    page = client.ask(f"/{token}/")
    assert page.status == 200
    assert token not in page.body.decode()  # its addresses are relative


def test_notes_are_taken_from_the_apps_own_page_behind_a_proxy(client, token):
    given = {"Origin": "https://hub.example.org", "Sec_Fetch_Site": "cross-site", "Content_Type": "application/json"}
    note = b'{"name": "wheels"}'
    assert client.ask(f"/{token}/notes/demo/block1:3", "PUT", note, **given).json["remark"]["name"] == "wheels"
    assert client.ask("/notes/demo/block1:3", "PUT", note, **given).is_refusal(401, "Unauthorized")


def test_it_is_framed_by_the_origins_that_are_named_with_the_token_and_by_no_others(client, token, served):
    asked = "&".join(f"framed-by={one}" for one in (NOTEBOOK, "vscode-webview://1a-b2", "https://[::1]:9"))
    assert framed_by(client.ask(f"/{token}/?{asked}")) == f"{NOTEBOOK} vscode-webview://1a-b2 https://[::1]:9"
    assert framed_by(client.ask(f"/{token}/")) == "'none'"
    assert framed_by(client.ask(f"/x/?{asked}")) == "'none'"
    assert framed_by(served.ask(f"/?{asked}")) == "'none'"  # what `serve` starts is framed by nobody


@pytest.mark.parametrize(
    "origin", ["*", "https:", "https://*", "https://a;script-src *", "https://a b", "null", "'self'", "https://a/b"]
)
def test_what_is_no_origin_frames_nothing(client, token, origin):
    address = origin.replace(" ", "%20").replace(";", "%3B")
    answer = client.ask(f"/{token}/?framed-by={address}")
    assert framed_by(answer) == "'none'"
    assert answer.headers["content-security-policy"].count("script-src") == 0


def test_headers_keep_a_browser_strict_in_a_notebook_too(client, token):
    for path in (f"/{token}/?framed-by={NOTEBOOK}", f"/{token}/data/demo/study.json", f"/{token}/nothing", "/"):
        headers = client.ask(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_a_cell_shows_the_frame_and_a_link(shown, study):
    html = shown._repr_html_()
    assert f'href="{shown.url}"' in html
    assert "720px" in html
    assert shown.url in repr(shown)
    ids = [re.search(r'id="([^"]+)"', one._repr_html_())[1] for one in (shown, shown)]
    assert ids[0] != ids[1]  # the same object may be shown in two cells
    assert "$" not in html.replace("/^(localhost|127\\.0\\.0\\.1|\\[::1\\])$/", "")


def test_a_file_name_is_text_in_the_cell(demo, tmp_path):
    name = "a'</script><b>&quot;\\.lurk"
    (tmp_path / "x").mkdir()
    try:
        path = shutil.copy(demo, tmp_path / name.replace("/", "\u2215"))
    except OSError:
        pytest.skip("this file system has no such names")
    with tl.open(path) as study:
        app = study.app()
        app.close()
        html = app._repr_html_()
    assert html.count("</script>") == 1
    assert "<b>" not in html


def test_closing_it_ends_the_server(study, client_from):
    app = study.app(height=300)
    client = client_from(app._server)
    assert "300px" in app._repr_html_()
    app.close()
    app.close()
    with pytest.raises(ConnectionRefusedError):
        client.ask("/")


@pytest.mark.parametrize(("given", "named"), [({"height": 0}, "height is 0"), ({"proxy": "hub.example.org"}, "proxy is 'hub")])
def test_what_makes_no_sense_is_refused(study, given, named):
    with pytest.raises(OptionError, match=named):
        study.app(**given)


def test_a_proxy_that_is_given_is_where_the_page_looks(study):
    app = study.app(proxy="/user/me/proxy/{port}")
    app.close()
    assert json.dumps(f"/user/me/proxy/{app._server.port}/") in app._repr_html_()
