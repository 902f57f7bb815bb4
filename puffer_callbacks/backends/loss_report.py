"""``LossReport``: the rows of one logger, and those that were lost."""

from threading import Lock

from puffer_callbacks.faults import Faults, format_error


class LossReport:
    """Counts the rows of one logger and those that were lost, and reports its faults: the first, and a sum.

    Any thread may add to it; what it reports is deferred to the run's thread.

    Args:
        name: the logger's name.
        faults: where it reports.

    Example:
        >>> report = LossReport("CSVLogger", Faults())
        >>> report.rows += 3
        >>> report.add_loss()
        >>> report.summary
        '1 of 3 rows of this run could not be recorded whole'
    """

    def __init__(self, name: str, faults: Faults) -> None:
        self.name, self.faults = name, faults
        self.rows = self.lost = 0
        """Rows that were given, and those of them that could not be recorded whole."""
        self._has_faults = False
        self._lock = Lock()

    @property
    def summary(self) -> str:
        """How many rows were lost."""
        if not self.lost:
            return f"all {self.rows} rows of this run were recorded all the same"
        return f"{self.lost} of {self.rows} rows of this run could not be recorded whole"

    def add_fault(self, error: BaseException) -> None:
        """Report a fault."""
        self._has_faults = True
        reason = f"could not record ({format_error(error)}); training and the other loggers go on"
        exception = error if isinstance(error, Exception) else RuntimeError(format_error(error))
        self.faults.defer(self.name, reason, exception)

    def add_loss(self, rows: int = 1) -> None:
        """Count lost rows."""
        with self._lock:
            self.lost += rows

    def warn_of_crash(self, most: int) -> None:
        """Report that more rows wait to be durable than are kept for a resume."""
        have = f"expected at most {most} rows that are not yet safe from a crash, got more"
        self.faults.defer(f"{self.name}, rows", f"{have}; a crash could lose the oldest of them: log less often")

    def summarize(self) -> None:
        """Report the sum, if there was any fault."""
        if self._has_faults and not self.faults.strict:  # which has raised already
            self.faults.defer(f"{self.name}, in all", self.summary)

    def detach(self) -> None:
        """Report nothing more: the thread was abandoned, and what it still does is not the run's."""
        self.faults = Faults()
