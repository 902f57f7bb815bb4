"""TensorBoard's own server, and what it serves."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen


@contextmanager
def served(folder: Path | str, *options: str) -> Iterator[str]:
    """The address of a TensorBoard that shows a folder."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port=0", "--host=127.0.0.1"]
    server = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        address = next(found for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        urlopen(f"{address.group()}/data/plugins_listing", timeout=60).close()
        yield address.group()
    finally:
        server.terminate()
        server.communicate(timeout=30)


def served_scalars(address: str) -> dict[str, list[tuple[int, float]]]:
    """Tag to (step, value), of the one run that the server shows; empty before it has read it."""
    series: dict[str, list[tuple[int, float]]] = {}
    for run, tags in _get(f"{address}/data/plugin/scalars/tags").items():
        for tag in tags:
            points = _get(f"{address}/data/plugin/scalars/scalars?{urlencode({'tag': tag, 'run': run})}")
            series[tag] = [(step, value) for _, step, value in points]
    return series


def _get(url: str) -> Any:
    with urlopen(url, timeout=60) as answer:
        return json.load(answer)
