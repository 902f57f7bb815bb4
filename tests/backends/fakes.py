"""Small writers and loggers that tests of the backends share."""

from puffer_callbacks import Axes, Writer


def at(step: int) -> Axes:
    """A point of the optimizer steps."""
    return Axes(None, step, 0.0)


class Recording(Writer):
    """Keeps the calls that it gets."""

    def __init__(self, logger=None):
        super().__init__(logger)
        self.calls = []

    def write(self, values, axes):
        self.calls.append((self.step(axes), dict(values)))

    def flush(self):
        self.calls.append("flush")

    def close(self):
        self.calls.append("close")

    @property
    def rows(self):
        """The rows that were written."""
        return [call for call in self.calls if isinstance(call, tuple)]


class Blocking(Recording):
    """Does not take a row before ``released`` is set; ``entered`` tells that it was given one."""

    def __init__(self, entered, released):
        super().__init__()
        self.entered, self.released = entered, released

    def write(self, values, axes):
        self.entered.set()
        self.released.wait()
        super().write(values, axes)


class Logger:
    """A logger that keeps the calls that it gets."""

    def __init__(self):
        self.calls = []

    def log_metrics(self, metrics, step=None):
        self.calls.append(("log_metrics", metrics, step))
        return len(self.calls)

    def log_hyperparams(self, params):
        self.calls.append(("log_hyperparams", params))

    def save(self):
        self.calls.append("save")

    def finalize(self, status):
        self.save()
        self.calls.append(("finalize", status))
