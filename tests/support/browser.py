"""Chromium without a window, driven by its own protocol (chromedevtools.github.io/devtools-protocol)."""

import asyncio
import json
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tornado.websocket import websocket_connect  # of ipykernel

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--window-size=1500,1600"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0"),
)
_TEXT = """(() => {
  const texts = [];
  const walk = node => {
    if (node.nodeType === 3) texts.push(node.data.trim());
    if (["STYLE", "SCRIPT", "TEMPLATE"].includes(node.nodeName)) return;
    [...(node.shadowRoot ? node.shadowRoot.childNodes : []), ...node.childNodes].forEach(walk);
  };
  walk(document.body);
  return texts.filter(text => text).join("\\n");
})()"""
"""All text of a page, that of its shadow roots included."""


def page_text(url: str, profile: Path, *, until: str, timeout: float = 120.0) -> str:
    """The text of a page, once it has the text ``until``, or at the timeout.

    Args:
        url: the page.
        profile: an empty folder for the browser.
        until: the text to wait for.
        timeout: in seconds.
    """
    assert CHROMIUM is not None
    log = (profile.parent / "chromium.log").open("w")
    browser = subprocess.Popen([CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", url], stdout=log, stderr=log)
    try:
        return asyncio.run(_read(profile / "DevToolsActivePort", until, time.monotonic() + timeout))
    finally:
        with suppress(ProcessLookupError):
            browser.terminate()
        browser.wait(30)
        log.close()


async def _read(port_file: Path, until: str, deadline: float) -> str:
    while not (port_file.exists() and port_file.read_text().count("\n")):
        assert time.monotonic() < deadline, "Chromium did not start"
        await asyncio.sleep(0.1)
    port, path = port_file.read_text().splitlines()
    connection = await websocket_connect(f"ws://127.0.0.1:{port}{path}", max_message_size=2**27)
    targets = (await _call(connection, "Target.getTargets"))["targetInfos"]
    page = next(target["targetId"] for target in targets if target["type"] == "page")
    session = (await _call(connection, "Target.attachToTarget", targetId=page, flatten=True))["sessionId"]
    text = ""
    while until not in text and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        result = await _call(connection, "Runtime.evaluate", session, expression=_TEXT)
        text = str(result["result"].get("value", ""))
    await _call(connection, "Browser.close")
    while await connection.read_message() is not None:  # until the socket is closed
        pass
    connection.close()
    return text


async def _call(connection: Any, method: str, session: str = "", **params: Any) -> Any:
    message = {"id": 1, "method": method, "params": params, **({"sessionId": session} if session else {})}
    await connection.write_message(json.dumps(message))
    while "id" not in (answer := json.loads(await connection.read_message())):
        pass
    return answer["result"]
