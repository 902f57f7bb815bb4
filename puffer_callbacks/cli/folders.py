"""The folder of a run."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from puffer_callbacks.cli.parser import UsageError


@dataclass(frozen=True)
class RunFolder:
    """Where a run is logged.

    Args:
        path: the folder.
        asked_for: the folder that the user named.
        is_continued: whether the run continues the one that is in it.
    """

    path: Path
    asked_for: Path
    is_continued: bool = False


def run_folder(base: Path, run_name: str | None, *, continues: Path | None = None) -> RunFolder:
    """Make the folder of a run: ``base``, or one beside it where that holds another run.

    Args:
        base: the folder that is asked for.
        run_name: a folder in it, if the run has a name.
        continues: the folder of the run that this one continues; it is used again.

    Returns:
        ``base`` or ``base/run_name``, or the first free one of ``…_2``, ``…_3``, ….

    Raises:
        UsageError: if ``run_name`` is no name of a folder, or the folder cannot be written.
    """
    if run_name is not None and (run_name in ("", ".", "..") or "\0" in run_name or Path(run_name).name != run_name):
        raise UsageError(f"--run-name: expected the name of a folder, without slashes, got {run_name!r}")
    wanted = base.expanduser() if base.expanduser().name not in ("", "..") else base.resolve()
    wanted = wanted / run_name if run_name else wanted
    check_writable(wanted)
    if continues is not None and wanted.resolve() == continues.resolve():
        return RunFolder(wanted, wanted, is_continued=True)
    folder, number = wanted, 1
    while not _claim(folder):
        number += 1
        folder = wanted.with_name(f"{wanted.name}_{number}")
    return RunFolder(folder, wanted)


def _claim(folder: Path) -> bool:
    """Take a folder that holds no run, by making its ``checkpoints``: of two processes only one succeeds."""
    if any((*folder.glob("*tfevents*"), *folder.glob("wandb"))):
        return False
    try:
        (folder / "checkpoints").mkdir(parents=True)
    except FileExistsError:
        return False
    return True


def check_writable(folder: Path) -> None:
    """Check that a folder can be written, or made, before anything is.

    Raises:
        UsageError: if it cannot.
    """
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        if not existing.is_dir():
            raise NotADirectoryError(20, f"{existing} is a file")
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        reason = f"expected a folder that can be written, got {str(folder)!r} ({error.strerror})"
        raise UsageError(f"--log-dir: {reason}") from error
