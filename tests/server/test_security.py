"""Attacks: each is refused in the one shape, and the server goes on."""

import base64
import os
import shutil
import socket

import pytest

from torchlurk.server.app import MOST_UPLOADED


@pytest.fixture(autouse=True)
def _goes_on(served):
    """After each attack the server still answers."""
    yield
    assert served.ask("/data/studies.json").status == 200


def raw(client, text):
    """Everything that comes back for bytes that no library would send."""
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::", "localhost@evil"])
def test_a_name_that_was_bent_to_this_machine_is_refused(served, host):
    assert served.ask("/data/studies.json", Host=host).is_refusal(403, "Forbidden")


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "LOCALHOST", "127.0.0.1", "[::1]:8000"])
def test_the_names_of_this_machine_are_served(served, host):
    assert served.ask("/data/studies.json", Host=host).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1.evil.example", "http://127.0.0.1:1"])
def test_a_foreign_page_may_not_send_anything(served, origin):
    assert served.ask("/data/studies.json", "POST", b"{}", Origin=origin).is_refusal(403, "Forbidden")


def test_a_page_of_another_site_that_hides_its_origin_is_refused(served):
    assert served.ask("/data/studies.json", "POST", b"", Sec_Fetch_Site="cross-site").is_refusal(403, "Forbidden")


def test_our_own_page_may(served):
    own = f"http://127.0.0.1:{served.port}"
    assert served.ask("/data/studies.json", "POST", b"{}", Origin=own).status == 405


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
def test_a_foreign_page_gets_no_websocket(served, origin):
    key = base64.b64encode(os.urandom(16)).decode()
    answer = served.ask(
        "/live", Origin=origin, Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Key=key, Sec_WebSocket_Version="13"
    )
    assert answer.is_refusal(403, "Forbidden")


@pytest.mark.parametrize(
    "path",
    [
        "/data/../../../etc/passwd",
        "/data/%2e%2e/%2e%2e/etc/passwd",
        "/data/..%2f..%2fetc%2fpasswd",
        "/../pyproject.toml",
        "/assets/../../__init__.py",
        "/%2e%2e/__init__.py",
        "//etc/passwd",
        "/data/demo.lurk",
        "/data/demo/%00study.json",
        "/data/demo/pictures/%2e%2e%2f%2e%2e.png",
        "/data/demo/layers/0'%20OR%201=1--.json",
        "/data/demo/sheets/0-box';DROP%20TABLE%20unit;-0.jpg",
        "/data/" + "a" * 20000,
        "/data/%ff%fe",
        "/.sources",
    ],
)
def test_no_path_leads_out_of_the_tree(served, path):
    assert served.ask(path).is_refusal(404, "NotFound")


@pytest.mark.parametrize(
    "text",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 200_000,
        b"GET /" + b"a" * 500_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ],
    ids=["endless headers", "endless address", "not HTTP", "negative length", "two hosts", "no host", "no host, old"],
)
def test_what_is_not_http_is_turned_away(served, text):
    try:
        received = raw(served, text)
    except OSError:  # it hung up in the middle, as it may
        return
    assert b" 200 OK" not in received


def test_an_upload_that_says_it_is_too_large_is_refused_unread(served):
    answer = served.ask("/data/studies.json", "POST", Content_Length=str(MOST_UPLOADED + 1))
    assert answer.is_refusal(413, "TooLarge")


def test_headers_keep_a_browser_strict(served):
    for path in ("/", "/data/demo/study.json", "/nothing", "/docs"):
        headers = served.ask(path).headers
        assert "script-src" in headers["content-security-policy"] or "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe-eval" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["referrer-policy"] == "no-referrer"


def test_names_are_text_never_markup(client_of, demo, tmp_path):
    study = shutil.copy(demo, tmp_path / '<img src=x onerror="alert(1)">.lurk')
    client = client_of([study])
    (card,) = client.ask("/data/studies.json").json["studies"]
    assert card["name"] == '<img src=x onerror="alert(1)">'
    assert set(card["slug"]) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    answer = client.ask(f"/data/{card['slug']}/study.json")
    assert answer.headers["content-type"] == "application/json"
    missing = client.ask("/data/%3Cscript%3Ealert(1)%3C/script%3E")
    assert missing.headers["content-type"] == "application/json"


def test_elsewhere_a_token_is_asked_for(client_of, demo):
    client = client_of([demo], host="0.0.0.0")
    token = client.server.token
    assert token
    assert client.server.url.endswith(f"?token={token}")
    for path in ("/", "/data/studies.json", "/events", "/docs", "/openapi.json"):
        assert client.ask(path, Host="lab.example").is_refusal(401, "Unauthorized")
    assert client.ask("/data/studies.json?token=wrong").is_refusal(401, "Unauthorized")
    assert client.ask("/data/studies.json?token=%C3%A9").is_refusal(401, "Unauthorized")
    assert client.ask("/data/studies.json", Cookie="torchlurk-token=; a=b").is_refusal(401, "Unauthorized")
    assert client.ask("/data/studies.json", Authorization=f"token {token}").status == 200
    entered = client.ask(f"/?token={token}", Host="lab.example")
    assert entered.status == 200
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert client.ask("/data/studies.json", Cookie=cookie.split(";")[0]).status == 200
    assert client.ask("/data/studies.json", "POST", b"", Origin="http://evil.example", Cookie=cookie).is_refusal(
        403, "Forbidden"
    )


def test_on_this_machine_no_token_is_asked_for(served):
    assert served.server.token is None
    assert "set-cookie" not in served.ask("/?token=anything").headers
