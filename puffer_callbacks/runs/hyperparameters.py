"""Hyperparameters beside the log, where Lightning leaves them, or in one of its texts, where CleanRL does."""

import re
from pathlib import Path

import yaml

from puffer_callbacks.runs.contents import Contents
from puffer_callbacks.runs.rows import parse_setting, settings_of

_TABLE_ROW = re.compile(r"^\|([^|\n]+)\|(.*)\|[ \t]*$", re.MULTILINE)
_HEAD = 2
"""Rows of a table in Markdown before the first with values."""


def add_hyperparameters(contents: Contents, path: Path) -> None:
    """Add the hyperparameters of a file, or else those of the text ``hyperparameters``.

    Args:
        contents: what to add to.
        path: the ``hparams.yaml`` of the run; it may be missing.
    """
    if path.is_file():
        _add_file(contents, path)
    elif texts := contents.text.get("hyperparameters"):
        rows = _TABLE_ROW.findall(texts[-1][1])[_HEAD:]
        contents.hyperparameters |= {name.strip(): parse_setting(value.strip()) for name, value in rows}


def _add_file(contents: Contents, path: Path) -> None:
    try:
        settings = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        contents.problems.append(f"{path.name}: cannot be read: {' '.join(str(error).split())}")
        return
    if isinstance(settings, dict):
        contents.hyperparameters |= settings_of(settings)
