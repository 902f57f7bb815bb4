"""``MemoryLogger``: keeps every value in memory, for tests and notebooks."""

from argparse import Namespace
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import Logger

from puffer_callbacks.loggers.html import Points, series_table
from puffer_callbacks.values import Hyperparameters, Text, Value

if TYPE_CHECKING:
    import pandas as pd


class MemoryLogger(Logger):
    """A Lightning logger that keeps every value in memory.

    Args:
        save_dir: where Lightning saves checkpoints; the trainer's ``default_root_dir`` if left out.

    Example:
        >>> logger = MemoryLogger()
        >>> logger.log_metrics({"train/loss": 0.5}, step=10)
        >>> logger.tags, logger.series("train/loss")
        (['train/loss'], [(10, 0.5)])
    """

    def __init__(self, *, save_dir: str | None = None) -> None:
        super().__init__()
        self._save_dir = save_dir
        self._series: dict[str, list[tuple[int, Any]]] = defaultdict(list)
        self.hparams: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """The logger's name."""
        return "memory"

    @property
    def save_dir(self) -> str | None:
        """Where Lightning saves checkpoints; the trainer's ``default_root_dir`` where ``None``."""
        return self._save_dir

    @property
    def version(self) -> str:
        """The version, always ``"0"``."""
        return "0"

    @property
    def tags(self) -> list[str]:
        """The tags that have values, sorted."""
        return sorted(tag for tag, points in self._series.items() if points)

    @property
    def text(self) -> str:
        """The logged texts in the order of their steps, one ``tag: text`` per line."""
        texts = [(step, tag, value) for tag in self.tags for step, value in self.series(tag) if isinstance(value, Text)]
        return "\n".join(f"{tag}: {value.text}" for _, tag, value in sorted(texts, key=lambda point: point[0]))

    def series(self, tag: str) -> list[tuple[int, Any]]:
        """The points of a tag, as (step on the run's x axis, value).

        Raises:
            KeyError: if the tag has no values; the message lists the tags that do.
        """
        if not self._series.get(tag):
            raise KeyError(f"expected one of the tags {self.tags}, got {tag!r}")
        return list(self._series[tag])

    def log_values(self, values: Mapping[str, Value], step: int) -> None:
        """Store a row of values of any type."""
        for tag, value in values.items():
            self._series[tag].append((step, value))
            if isinstance(value, Hyperparameters):
                self.hparams.update(value.settings)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Store scalars, as logged by a module's ``self.log``."""
        for tag, value in metrics.items():
            at = len(self._series[tag]) if step is None else step
            self._series[tag].append((at, float(value)))

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Store the hyperparameters in ``hparams``."""
        self.hparams.update(vars(params) if isinstance(params, Namespace) else params)

    @property
    def scalars(self) -> dict[str, Points]:
        """The scalar points of every tag that has any, as (step, value)."""
        numbers = {tag: [(step, v) for step, v in self._series[tag] if isinstance(v, int | float)] for tag in self.tags}
        return {tag: points for tag, points in numbers.items() if points}

    def to_pandas(self) -> "pd.DataFrame":
        """All scalar points as a tidy table: ``tag``, ``step``, ``value``, a row each.

        Raises:
            ImportError: if pandas is not installed; the message names the extra.

        Example:
            >>> logger = MemoryLogger()
            >>> logger.log_metrics({"train/loss": 0.5}, step=10)
            >>> logger.to_pandas().values.tolist()
            [['train/loss', 10, 0.5]]
        """
        try:
            import pandas as pd  # noqa: PLC0415  # an optional extra
        except ImportError:
            missing = "to_pandas: expected the package pandas, which is not installed"
            raise ImportError(f'{missing}; run: pip install "puffer_callbacks[report]"') from None
        rows = [(tag, step, value) for tag, points in self.scalars.items() for step, value in points]
        return pd.DataFrame(rows, columns=["tag", "step", "value"])

    def _repr_html_(self) -> str:
        """A table of the series, for notebooks."""
        return series_table(self.scalars, caption=f"{type(self).__name__}: {len(self.tags)} tags")
