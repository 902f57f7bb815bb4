"""``puffer-callbacks watch``: follow a run that no callback can reach."""

import argparse
import math
import signal
import threading
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from puffer_callbacks.cli.folders import RunFolder, check_writable
from puffer_callbacks.cli.parser import CommandParser, UsageError, file_path
from puffer_callbacks.cli.watched_run import WatchedRun
from puffer_callbacks.health import Facts
from puffer_callbacks.health.monitor import Monitor
from puffer_callbacks.health.panel import panel
from puffer_callbacks.runs import read_run
from puffer_callbacks.runs.diagnosis import facts_of_log
from puffer_callbacks.runs.follow import RowFollower
from puffer_callbacks.values.terminal import terminal_width

_STATE, _LOCK = "watch.json", "watch.lock"


def main(argv: Sequence[str]) -> int:
    """Run ``watch`` until Ctrl-C, SIGTERM, or ``--timeout``.

    Args:
        argv: the arguments after ``watch``.

    Returns:
        The exit status: 0 if no trouble is left, 1 for a warning or a critical one.

    Raises:
        UsageError: if the log cannot be followed, or an option is bad.

    Example:
        >>> main(["no/such/run.jsonl"])
        Traceback (most recent call last):
        puffer_callbacks.cli.parser.UsageError: expected a log to follow, got no/such/run.jsonl, which is not there
    """
    options = _parser().parse(argv)
    try:
        follower = RowFollower(Path(options.log).expanduser())
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from error
    monitor = Monitor(_facts(follower.path))
    folder = _folder(options, follower.path)
    lock = _locked(folder) if folder is not None else nullcontext()
    loggers = _loggers(options, folder)
    try:
        run = WatchedRun(monitor, loggers, state_file=None if folder is None else folder / _STATE)
    except ValueError as error:
        raise UsageError(str(error)) from error
    print(f"Watching {follower.path}" + ("" if folder is None else f", written to {folder}"), flush=True)
    try:
        with lock, _sigterm_as_interrupt(), suppress(KeyboardInterrupt):
            _follow(follower, run, options)
    finally:
        run.close()
        for logger in loggers:
            getattr(logger.experiment, "finish", bool)()  # a W&B run
    return int(monitor.has("warning"))


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="puffer-callbacks watch",
        description="Follow a run by its log while it is written, report what is wrong with it, and pass its rows on "
        "to TensorBoard or W&B. Reads PufferLib's JSON lines and Stable-Baselines3's progress.csv.",
        epilog="After a restart it continues where it was. Exit status: 0 if no trouble is left, 1 for a warning or a "
        "critical one, 2 if the log cannot be followed. Example: puffer-callbacks watch run.jsonl --log-dir runs/exp1",
    )
    parser.add_argument("log", metavar="LOG", help="file of JSON lines or CSV, or its folder")
    parser.add_argument("--log-dir", type=file_path, metavar="D", help="folder for TensorBoard's event files")
    parser.add_argument("--wandb", action="store_true", help="log to Weights & Biases; offline without a key")
    project = "W&B project (default: %(default)s)"
    parser.add_argument("--wandb-project", metavar="NAME", default="puffer_callbacks", help=project)
    looks = "between two looks at the log (default: %(default)g)"
    parser.add_argument("--interval", type=_seconds, default=2.0, metavar="SECONDS", help=looks)
    parser.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="end when nothing has come for so long")
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"expected seconds, at least 0, got {text!r}")
    return seconds


def _follow(follower: RowFollower, run: WatchedRun, options: Namespace) -> None:
    rows, grew_at = -1, time.monotonic()
    while True:
        try:
            changes = run.add(follower.new_rows())
        except (OSError, ValueError) as error:
            raise UsageError(str(error)) from error
        for change in changes:
            print(panel(change.finding, ended=change.kind == "ends", width=terminal_width()), flush=True)
        if follower.rows != rows:
            rows, grew_at = follower.rows, time.monotonic()
        if options.timeout is not None and time.monotonic() - grew_at >= options.timeout:
            return
        time.sleep(options.interval)


def _facts(path: Path) -> Facts:
    """The configuration in or beside the log; a log without a row yet has none."""
    with suppress(ValueError):
        return facts_of_log(read_run(path))
    return Facts()


def _folder(options: Namespace, log: Path) -> Path | None:
    if options.log_dir is None and not options.wandb:
        return None
    folder = Path(options.log_dir).expanduser() if options.log_dir else log.with_name(f"{log.stem}_watch")
    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _locked(folder: Path) -> Any:
    """A file that is locked while it is open: two that watch into one folder would write each row twice.

    Raises:
        UsageError: if another process holds it.
    """
    file = (folder / _LOCK).open("w")
    try:
        import fcntl  # noqa: PLC0415  # Unix alone has it

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise UsageError(f"--log-dir: expected a folder that no other watch writes to, got {folder}") from None
    except (ImportError, OSError):  # some network disks have no locks
        pass
    return file


def _loggers(options: Namespace, folder: Path | None) -> list[Any]:
    """The loggers that were asked for; torch and Lightning are imported with them."""
    loggers: list[Any] = []
    if folder is not None and options.log_dir:
        from puffer_callbacks.cli.training_run import tensorboard_logger  # noqa: PLC0415

        loggers.append(tensorboard_logger(folder))
    if folder is not None and options.wandb:
        from puffer_callbacks.cli import wandb_run  # noqa: PLC0415

        wandb_run.check_installed()
        run_folder = RunFolder(folder, folder, is_continued=(folder / _STATE).exists())
        loggers.append(wandb_run.wandb_logger(run_folder, options.wandb_project, folder.name))
    return loggers


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM ends the watching as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
