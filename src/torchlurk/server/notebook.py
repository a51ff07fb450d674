"""The app in a cell of a notebook."""

from __future__ import annotations

import json
import secrets
from html import escape
from pathlib import Path
from string import Template

from torchlurk.errors import OptionError
from torchlurk.server.embedding import FRAMED_BY
from torchlurk.server.running import Openable, Server

HEIGHT = 720
"""Pixels of the frame."""

# A page knows where it is, a kernel does not. The app is where the notebook's own server makes ports of the kernel available
# (Colab, jupyter-server-proxy), otherwise on the machine of the browser. An origin "null" cannot be named as one that may
# frame: then the link alone is shown.
SHOWN = Template("""<div id="$place"><p>
<a href="$url" target="_blank" rel="noreferrer">Open $name in a tab</a><span></span></p></div>
<script>(async () => {
  const place = document.getElementById("$place"), token = "$token", port = $port, given = $proxy;
  const [link, said] = [place.querySelector("a"), place.querySelector("span")];
  const near = /^(localhost|127\\.0\\.0\\.1|\\[::1\\])$$/.test(location.hostname) || !location.protocol.startsWith("http");
  const at = (address) => new URL(token + "/", new URL(address, location.href));
  const throughJupyter = async () => {
    const config = document.getElementById("jupyter-config-data");
    const base = config ? JSON.parse(config.textContent).baseUrl : document.body.dataset.baseUrl;
    if (base === undefined) return null;
    const found = at(base + "proxy/" + port + "/");
    const answer = await fetch(new URL("data/studies.json", found)).catch(() => null);
    return answer?.headers.has("x-torchlurk") ? found : null;
  };
  const colab = globalThis.google?.colab;
  const found = given ? at(given)
    : colab ? at(await colab.kernel.proxyPort(port, { cache: true }))
    : (await throughJupyter()) ?? (near ? at("http://127.0.0.1:" + port + "/") : null);
  if (found === null) {
    said.textContent = " once its port is on your machine: ssh -L " + port + ":127.0.0.1:" + port
      + " HOST; or install jupyter-server-proxy beside Jupyter";
    return;
  }
  link.href = found.href;
  if (location.origin === "null") return;
  const around = [...(location.ancestorOrigins ?? []), ...(colab ? ["https://colab.research.google.com"] : [])];
  for (const one of new Set([location.origin, ...around])) found.searchParams.append("$framed_by", one);
  const frame = document.createElement("iframe");
  Object.assign(frame, { src: found.href, title: $title });
  Object.assign(frame.style, { width: "100%", height: "${height}px", border: "1px solid #8884" });
  place.prepend(frame);
})()</script>""")


class App:
    """The app of a study, shown where it is the last expression of a cell, and served until it is closed; see `Study.app`."""

    def __init__(
        self,
        study: Path,
        *,
        height: int = HEIGHT,
        proxy: str | None = None,
        write: bool = False,
        model: Openable | None = None,
    ) -> None:
        if height < 1:
            raise OptionError(f"height is {height}", "give the height of the frame in pixels")
        if proxy is not None and not proxy.startswith(("http://", "https://", "/")):
            raise OptionError(f"proxy is {proxy!r}", "give the address of the port in the browser, as '/proxy/{port}/'")
        self.height = height
        self._name, self._proxy = study.name, proxy
        self._server = Server([study], port=0, model=model, write=write, embedded=True).start()

    @property
    def url(self) -> str:
        """The address on the machine of the kernel; it is answered to whoever knows it."""
        return self._server.url

    def close(self) -> None:
        """Ends the server; a second call does nothing."""
        self._server.stop()

    def _repr_html_(self) -> str:
        """The frame, or where there can be none, a link."""
        port = self._server.port
        proxy = None if self._proxy is None else f"{self._proxy.replace('{port}', str(port)).rstrip('/')}/"
        return SHOWN.substitute(
            place=f"torchlurk-{secrets.token_hex(8)}",
            url=self.url,
            name=escape(self._name),
            title=_in_script(f"Torchlurk: {self._name}"),
            token=self._server.token,
            port=port,
            proxy=_in_script(proxy),
            framed_by=FRAMED_BY,
            height=self.height,
        )

    def __repr__(self) -> str:
        return f"<the app of {self._name} at {self.url}>"


def _in_script(value: str | None) -> str:
    """The value as written in a script of a page."""
    return json.dumps(value).replace("<", "\\u003c")
