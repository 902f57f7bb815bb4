"""Atomic writing of files, and YAML."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml


def replace_file(path: Path, content: bytes) -> None:
    """Give a file this content, or leave it as it was.

    Args:
        path: the file; its folder is made if it is missing.
        content: all of it.

    Raises:
        OSError: if it could not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp")
    try:
        fresh.write_bytes(content)
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def to_yaml(params: Mapping[str, Any]) -> bytes:
    """Hyperparameters as YAML; a value that YAML has no notation for is its ``str``.

    Args:
        params: name to value.

    Example:
        >>> to_yaml({"gamma": 0.99, "folder": Path("runs")})
        b'folder: runs\\ngamma: 0.99\\n'
    """
    return yaml.dump(dict(params), Dumper=_Dumper, allow_unicode=True).encode(errors="backslashreplace")


class _Dumper(yaml.SafeDumper):
    """Writes any object as text."""


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__qualname__}>"


_Dumper.add_multi_representer(np.integer, lambda dumper, value: dumper.represent_int(int(value)))  # type: ignore[type-abstract]
_Dumper.add_multi_representer(np.floating, lambda dumper, value: dumper.represent_float(float(value)))
_Dumper.add_multi_representer(object, lambda dumper, value: dumper.represent_str(_text(value)))
