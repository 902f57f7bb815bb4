"""The runs that the arguments of a command name."""

import logging
from collections.abc import Sequence
from pathlib import Path

from puffer_callbacks.runs import Run, read_run, read_runs
from puffer_callbacks.runs.discovery import is_debug_log


def read_logs(logs: Sequence[str]) -> tuple[list[Run], list[str]]:
    """Read every run at the given places.

    Args:
        logs: files, folders or patterns.

    Returns:
        The runs, each once; and one line for each place, or run, that cannot be read.

    Example:
        >>> runs, (error,) = read_logs(["no/such/folder"])
        >>> "no/such/folder" in error
        True
    """
    runs: list[Run] = []
    errors: list[str] = []
    left_out = _Messages()
    logger = logging.getLogger("puffer_callbacks")
    logger.addHandler(left_out)  # Python prints by itself what no handler takes
    try:
        for log in logs:
            is_file = Path(log).expanduser().is_file()
            if is_file and len(logs) > 1 and is_debug_log(Path(log)):  # a shell put it there for a pattern
                continue
            named = len(left_out.messages)
            try:
                runs += [read_run(log)] if is_file else read_runs(log)
            except (ValueError, OSError, ImportError) as error:
                if len(left_out.messages) == named:  # else each run there is named already, with its reason
                    errors.append(" ".join(str(error).split()))
    finally:
        logger.removeHandler(left_out)
    distinct = {run.path.resolve(): run for run in reversed(runs)}
    return list(distinct.values())[::-1], [*left_out.messages, *errors]


class _Messages(logging.Handler):
    """Keeps the warnings of ``read_runs`` about runs that it leaves out."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
