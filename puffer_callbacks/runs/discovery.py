"""Find the files of a run, by name or, where the name is not enough, by content."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from puffer_callbacks.runs.json import rows_of
from puffer_callbacks.runs.rows import STEP_NAMES, parse_json
from puffer_callbacks.runs.wandb import MAGIC
from puffer_callbacks.values.event_files import by_writer

FORMATS = ("tensorboard", "wandb", "csv", "json-lines", "json")
"""All formats, the richest first."""
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_LOG_NAMES = {".csv": "csv", ".jsonl": "json-lines", ".ndjson": "json-lines"}
_CSV_NAMES = ("metrics.csv", "progress.csv")
_SECONDS = r"\d{9,}\.\d+"
"""The time at which torch's ``add_hparams`` was called, by which it names a folder."""
_VERSION = re.compile(r"(?<![a-zA-Z])[vV]\d+(?:\.\d+)+|(?<![\d.])\d+(?:\.\d+){2,}")
"""Numbers of a version, ``v1.10`` or ``2.0.1``: each counts by itself, not as the decimals of the one before."""
_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e[-+]\d+)?)")
"""What splits a name, so that every second part is a number."""
_DEBUG_LOG = re.compile(r"debug(-\w+)?(\..+)?\.log")
"""Logs of W&B itself, of which some are JSON lines."""
_JSON_MARKS = (b'"log_history"', b'"agent_steps"', b'"time/total_timesteps"', b'"rollout/ep_rew_mean"')
"""Keys that the JSON of a run has, and a configuration does not."""


@dataclass(frozen=True)
class RunFiles:
    """The files of one run.

    Args:
        path: the file or folder to show as the run's.
        format: one of ``FORMATS``.
        files: in the order in which they are read.
    """

    path: Path
    format: str
    files: tuple[Path, ...]


def find_runs(*paths: Path, formats: Sequence[str] = FORMATS, nested: bool = False) -> list[RunFiles]:
    """The runs at the paths: a file itself, those in a folder, or else those in the folders below it; each run once.

    Args:
        paths: files and folders.
        formats: only runs of these.
        nested: whether event files in folders below those of a run are further runs, as TensorBoard shows them.
    """
    seen: set[Path] = set()
    return _without_repeats(run for path in _links_last(paths) for run in _runs_at(path, formats, seen, nested))


def _runs_at(path: Path, formats: Sequence[str], seen: set[Path], nested: bool) -> list[RunFiles]:
    """The runs at a path; folders in ``seen`` are passed over, as links may lead back to where they are."""
    if path.is_file():
        found = format_of(path)
        return [RunFiles(path, found, (path,))] if found and found in formats else []
    if (folder := path.resolve()) in seen:
        return []
    seen.add(folder)
    here = runs_in(path, formats)
    if here and not (nested and here[0].format == "tensorboard"):
        return here
    wanted = ("tensorboard",) if here else formats
    below = [folder for folder in path.iterdir() if folder.is_dir() and not _is_part(folder, of_run=bool(here))]
    return here + [run for folder in _links_last(below) for run in _runs_at(folder, wanted, seen, nested)]


def _is_part(folder: Path, *, of_run: bool) -> bool:
    """Whether a folder has no run of its own: hidden, or below a run what torch's ``add_hparams`` makes."""
    return folder.name.startswith(".") or (of_run and re.fullmatch(_SECONDS, folder.name) is not None)


def _links_last(paths: Iterable[Path]) -> list[Path]:
    """By name; a link is another name of what was seen."""
    return sorted(paths, key=lambda path: (path.is_symlink(), by_number(path)))


def by_number(path: Path) -> list[tuple[int, float, str]]:
    """A key by which paths are sorted as people number them.

    Example:
        >>> [path.name for path in sorted([Path("seed_10"), Path("seed_2")], key=by_number)]
        ['seed_2', 'seed_10']
        >>> [path.name for path in sorted([Path("lr=0.01"), Path("lr=0.002")], key=by_number)]
        ['lr=0.002', 'lr=0.01']
        >>> [path.name for path in sorted([Path("lr=1e-3"), Path("lr=3e-4")], key=by_number)]
        ['lr=3e-4', 'lr=1e-3']
        >>> [path.name for path in sorted([Path("v1.10"), Path("v1.9")], key=by_number)]
        ['v1.9', 'v1.10']
    """
    parts = _NUMBER.split(_VERSION.sub(lambda version: version[0].replace(".", "./"), str(path)))
    return [(at % 2, float(part) if at % 2 else 0.0, part) for at, part in enumerate(parts)]


def format_of(path: Path) -> str | None:
    """The format of a file, ``None`` where it is not the log of a run."""
    if is_debug_log(path):
        return None
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(MAGIC):
        return "wandb"
    if "tfevents" in path.name or b"brain.Event:" in head[:64]:
        return "tensorboard"
    if path.suffix in _LOG_NAMES:
        return _LOG_NAMES[path.suffix]
    if head.lstrip()[:1] in (b"{", b"["):
        return _json_format(path)
    return None


def is_log(path: Path) -> bool:
    """Whether a file that a pattern matches is the log of a run, and no configuration or the like beside it."""
    found = format_of(path)
    if found == "json":
        try:
            return bool(rows_of(parse_json(path.read_bytes())))
        except ValueError:
            return False
    return found is not None and (found != "json-lines" or path.suffix in _LOG_NAMES or _begins_with_a_step(path))


def is_debug_log(path: Path) -> bool:
    """Whether it is a log of W&B itself, which lies beside its runs or in one's ``logs``."""
    return path.absolute().parent.name in ("wandb", "logs") and _DEBUG_LOG.fullmatch(path.name) is not None


def _json_format(path: Path) -> str | None:
    """Lines if the first line is an object by itself, and no log of another kind."""
    text = path.read_text("utf-8", errors="replace")
    first = text.lstrip().split("\n", 1)[0]
    try:
        log = parse_json(first)
    except ValueError:
        return "json"
    return "json" if rows_of(log) is not None else "json-lines"


def runs_in(folder: Path, formats: Sequence[str]) -> list[RunFiles]:
    """The runs directly in the folder. Of several formats the richest is used."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith(".") and (found := _format_in_folder(path)):
            files.setdefault(found, []).append(path)
    best = next((name for name in FORMATS if name in files and name in formats), None)
    if best is None:
        return []
    if best == "csv":  # a folder may hold other tables too
        files[best] = [path for path in files[best] if path.name in _CSV_NAMES] or files[best]
    if best == "tensorboard":  # each session of the run has its own file
        return [RunFiles(folder, best, tuple(sorted(files[best], key=lambda path: by_writer(path.name))))]
    return [RunFiles(folder if len(files[best]) == 1 else path, best, (path,)) for path in files[best]]


def _format_in_folder(path: Path) -> str | None:
    """The format of a file found in a folder, ``None`` for files that are not logs."""
    if "tfevents" in path.name:
        return "tensorboard"
    if path.suffix == ".wandb":
        return "wandb"
    if path.suffix == ".csv":
        return None if path.name.endswith("monitor.csv") else "csv"
    if path.suffix in _LOG_NAMES:
        return _LOG_NAMES[path.suffix] if _begins_with_a_step(path) else None
    if path.suffix == ".json" and any(mark in path.read_bytes() for mark in _JSON_MARKS):
        return _json_format(path)
    return None


def _begins_with_a_step(path: Path) -> bool:
    """Whether the first line is a row of a run, not of a data set."""
    with path.open("rb") as file:
        try:
            row = parse_json(file.readline())
        except ValueError:
            return False
    return isinstance(row, dict) and any(name in row for name in STEP_NAMES)


def _without_repeats(runs: Iterable[RunFiles]) -> list[RunFiles]:
    """Each run once: links to its folder, its W&B sessions and the checkpoints of a trainer's state are merged."""
    found: dict[object, RunFiles] = {}
    for run in runs:
        key = _identity(run)
        found[key] = _merged(found[key], run) if key in found else run
    return list(found.values())


def _identity(run: RunFiles) -> object:
    if run.format == "wandb":
        return run.files[0].name  # it has the run's id
    return run.path.parent if _checkpoint(run) else tuple(file.resolve() for file in run.files)


def _merged(first: RunFiles, second: RunFiles) -> RunFiles:
    """The later of two checkpoints; the files of both W&B sessions, without repeats."""
    if first.format != "wandb":
        return max(first, second, key=_checkpoint)
    known = {file.resolve() for file in first.files}
    more = tuple(file for file in second.files if file.resolve() not in known)
    return RunFiles(first.path, first.format, first.files + more)


def _checkpoint(run: RunFiles) -> int:
    """The number of the checkpoint that holds the run's log; 0 outside of checkpoint folders."""
    match = _CHECKPOINT.fullmatch(run.path.name)
    return int(match.group(1)) if match else 0
