"""Values that a module logs with Lightning's ``self.log``: of training steps, and rows of epochs and validation."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor


class LoggedValues:
    """The values that ``self.log`` gives loggers at training steps, each once.

    ``trainer.logged_metrics`` holds the last value of each name. It is one dictionary, which Lightning updates after
    each batch, so that the values of the step before are read there at no cost; ``pop_now`` computes those of the
    present batch. Lightning keeps a value also where a later step logs none. A new value has another memory address:
    the one before is held here, so that its address is not used again.

    Example:
        >>> from types import SimpleNamespace
        >>> import torch
        >>> values, trainer = LoggedValues(), SimpleNamespace(logged_metrics={})
        >>> values.start(trainer)
        >>> trainer.logged_metrics["loss"] = torch.tensor(0.5)
        >>> values.pop(), values.pop()
        ({'loss': tensor(0.5000)}, {})
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        """Logged at training steps so far."""
        self.in_training = False
        """Whether training batches are under way: what Lightning logs is of training steps."""
        self.is_lightning = False
        """Whether it is Lightning's trainer, to which modules can log."""
        self.logged: Mapping[str, Tensor] = {}
        """The last value of each name: the trainer's own dictionary, empty where nothing was ever logged."""
        self._trainer: Any = None
        self._seen: dict[str, tuple[int, Tensor]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return vars(LoggedValues())

    def start(self, trainer: Any) -> None:
        """Begin to read a fit.

        Args:
            trainer: a trainer; one without ``logged_metrics`` has no values.
        """
        self._trainer, self.logged = trainer, getattr(trainer, "logged_metrics", {})
        self.is_lightning = hasattr(trainer, "logged_metrics")
        self.resume()

    def resume(self) -> None:
        """Training batches follow: what was logged until now is of an epoch or of validation."""
        self._seen = {name: (_address(value), value) for name, value in self.logged.items()}
        self.in_training = self._trainer is not None

    def stop(self) -> None:
        """The fit is over; release it."""
        self.in_training, self._trainer, self.logged, self._seen = False, None, {}, {}

    def pause(self) -> dict[str, Tensor]:
        """An epoch ends, or validation begins: what is logged from now on is of no training step.

        Returns:
            The values until now, as from ``pop``.
        """
        values = self.pop()
        self.in_training = False
        return values

    def pop(self) -> dict[str, Tensor]:
        """The values logged since the last call, by name: at a training step, of the steps before."""
        if not self.in_training or (not self.names and len(self.logged) == len(self._seen)):
            return {}
        fresh: dict[str, Tensor] = {}
        for name, value in self.logged.items():
            address, seen = _address(value), self._seen.get(name)
            if seen is None or seen[0] != address or not address:
                fresh[name], self._seen[name] = value, (address, value)
        fresh.pop("epoch", None)
        if "step" in fresh:  # the module chooses an x axis of its own: its rows are left to Lightning
            return {}
        self.names.update(fresh)
        return fresh

    def pop_now(self) -> dict[str, Tensor]:
        """The same, at the end of a training batch, with the values of this batch."""
        if self.in_training:
            self.logged = getattr(self._trainer, "logged_metrics", self.logged)
        return self.pop()


class LoggedRows:
    """Records the rows that Lightning gives loggers by itself at the present point of the run's x axis.

    Lightning counts batches from 0, and the run's rows count optimizer steps from 1, or environment steps.

    Args:
        trainer: whose loggers they are; one without ``logged_metrics`` has no rows.
        readers: callbacks with ``unlogged(values)``, which returns what of a row they do not log themselves.
        record: adds values to the open row.
        names: where the tags of the rows, and of what is recorded of them, are added.
    """

    def __init__(
        self,
        trainer: Any,
        readers: Iterable[Any],
        *,
        record: Callable[[Mapping[str, float]], None],
        names: set[str],
    ) -> None:
        self._values: Mapping[str, Any] = getattr(trainer, "logged_metrics", {})
        self._readers = [reader for reader in readers if callable(getattr(reader, "unlogged", None))]
        self._record, self._names = record, names
        self._last: Mapping[str, Any] | None = None

    def take(self, metrics: Mapping[str, Any]) -> bool:
        """Record what a logger's ``log_metrics`` was given, if it is a row of Lightning's own.

        Args:
            metrics: the numbers, by name. Lightning adds ``epoch``, and has the others in ``trainer.logged_metrics``.

        Returns:
            Whether it was; Lightning gives one row to each logger in turn, and it is recorded once.
        """
        if metrics is self._last:
            return True
        if "epoch" not in metrics or any(name not in self._values for name in metrics if name != "epoch"):
            return False
        values = {name: float(value) for name, value in metrics.items()}
        for reader in self._readers:
            values = reader.unlogged(values)
        self._names.update(metrics, values)
        if values:
            self._record(values)
        self._last = metrics
        return True


def _address(value: Any) -> int:
    """Where a tensor's memory is; 0 where its device gives no address."""
    try:
        return int(value.data_ptr())
    except RuntimeError:
        return 0
    except AttributeError:  # what is no tensor was put there by another callback
        return id(value)
