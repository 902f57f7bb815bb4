"""Reading runs: find the files, read them, make a ``Run`` of them."""

import logging
from collections.abc import Callable
from glob import glob, has_magic
from os import PathLike
from pathlib import Path

from puffer_callbacks.runs.contents import Contents
from puffer_callbacks.runs.csv import read_csv
from puffer_callbacks.runs.discovery import FORMATS, RunFiles, by_number, find_runs, is_log, runs_in
from puffer_callbacks.runs.hyperparameters import add_hyperparameters
from puffer_callbacks.runs.json import read_json, read_json_lines
from puffer_callbacks.runs.run import Run
from puffer_callbacks.runs.tensorboard import read_event_files
from puffer_callbacks.runs.wandb import read_wandb_files

_log = logging.getLogger("puffer_callbacks")
_KNOWN = "TensorBoard event files, CSV, JSON lines, JSON or W&B offline files"
_READERS: dict[str, Callable[..., Contents]] = {
    "tensorboard": read_event_files,
    "wandb": read_wandb_files,
    "csv": read_csv,
    "json-lines": read_json_lines,
    "json": read_json,
}
"""Format to the function that reads the files of a run, one or, of event files and W&B files, several."""


def read_run(path: str | PathLike[str]) -> Run:
    """Read one training run, from any library.

    Event files of TensorBoard (ours, Stable-Baselines3, CleanRL, skrl, rsl_rl, TorchRL), CSV (Lightning,
    Stable-Baselines3), W&B offline files, and the JSON lines and JSON of PufferLib, Stable-Baselines3, Transformers
    and prime-rl are recognized by name and content. If a run has several formats, event files are preferred.

    Args:
        path: a file, the folder of a run, or a folder that holds exactly one run.

    Raises:
        FileNotFoundError: if there is no such path.
        ValueError: if there is no run, none with a value, or more than one.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "run.jsonl"
        >>> _ = file.write_text('{"agent_steps": 64, "loss/entropy": 0.69}\\n')
        >>> read_run(file).canonical["train/entropy"]
        (array([64]), array([0.69]))
    """
    path = Path(path).expanduser()
    if not path.exists():
        hint = "; read_runs reads a pattern" if has_magic(str(path)) else ""
        raise FileNotFoundError(f"expected the file or folder of a run, got {path}, which is not there{hint}")
    runs = find_runs(path)
    if not runs:
        given = "a file of another format" if path.is_file() else "a folder without any"
        raise ValueError(f"expected {_KNOWN} at {path}, got {given}")
    best = min((run.format for run in runs), key=FORMATS.index)
    runs = [run for run in runs if run.format == best]
    if len(runs) > 1:
        names = ", ".join(str(run.path) for run in runs[:3]) + (", …" if len(runs) > 3 else "")
        raise ValueError(f"expected one run in {path}, got {len(runs)} ({names}); name one, or use read_runs")
    return _read(runs[0])


def read_runs(pattern: str | PathLike[str]) -> list[Run]:
    """Read every run that a pattern matches.

    A run that cannot be read is left out, with a warning in the log ``puffer_callbacks``. Event files in folders below
    those of a run are further runs, as TensorBoard shows them.

    Args:
        pattern: a glob pattern such as ``logs/*/seed_*``, ``**`` included, or a folder. A path that is there is taken
            as it is, whatever brackets and asterisks its name has.

    Returns:
        The runs, ordered by path: ``seed_2`` before ``seed_10``.

    Raises:
        FileNotFoundError: if nothing matches.
        ValueError: if nothing that matches can be read.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for seed in (10, 2):
        ...     _ = (folder / f"seed_{seed}.jsonl").write_text('{"agent_steps": 64, "loss/entropy": 0.69}\\n')
        >>> [run.path.name for run in read_runs(folder / "seed_*")]
        ['seed_2.jsonl', 'seed_10.jsonl']
    """
    path = Path(pattern).expanduser()
    matched = [path] if path.exists() else [Path(match) for match in glob(str(path), recursive=True)]
    matches = [match for match in matched if match == path or match.is_dir() or is_log(match)]
    if not matched:
        raise FileNotFoundError(f"expected a file or folder of runs, or a pattern that matches some, got {pattern}")
    runs = find_runs(*matches, nested=True)
    found = []
    for run in sorted(runs, key=lambda run: by_number(run.path)):
        try:
            found.append(_read(run))
        except (ValueError, OSError, ImportError) as error:
            _log.warning("%s was left out: %s", run.path, error)
    if not found:
        given = f"{len(runs)} runs that cannot be read" if runs else "none"
        raise ValueError(f"expected {_KNOWN} at {pattern}, got {given}")
    return found


def _read(run: RunFiles) -> Run:
    contents = _READERS[run.format](*run.files)
    if not contents:
        poorer = FORMATS[FORMATS.index(run.format) + 1 :]
        if run.path.is_dir() and len(others := runs_in(run.path, poorer)) == 1:
            return _read(others[0])  # event files may be empty for minutes beside a full CSV
        reason = contents.problems[0] if contents.problems else "it holds no value yet"
        raise ValueError(f"expected a run with values at {run.path}, got none: {reason}")
    if not contents.hyperparameters:
        add_hyperparameters(contents, run.files[0].parent / "hparams.yaml")
    return Run(run.path, run.format.removesuffix("-lines"), contents)
