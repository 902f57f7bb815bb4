"""torchmetrics objects that a training step returns: they are updated by the module, and computed for an interval."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torchmetrics import Metric, MetricCollection

from puffer_callbacks.values.scalars import scalars_of, to_floats

MetricObject = Metric | MetricCollection


def metric_objects(outputs: object) -> dict[str, MetricObject]:
    """The torchmetrics objects among a training step's outputs, by name.

    Example:
        >>> from torchmetrics import MeanMetric
        >>> metric_objects({"loss": 0.5, "accuracy": MeanMetric()})
        {'accuracy': MeanMetric()}
    """
    if not isinstance(outputs, Mapping):
        return {}
    return {str(name): value for name, value in outputs.items() if isinstance(value, MetricObject)}


def has_updates(metric: MetricObject) -> bool:
    """Whether the metric was updated since it was reset."""
    parts: Any = metric.values() if isinstance(metric, MetricCollection) else [metric]
    return any(part.update_called for part in parts)


def compute_and_reset(
    metrics: Mapping[str, MetricObject],
    *,
    guard: Callable[[str], AbstractContextManager[Any]] = lambda name: nullcontext(),
) -> dict[str, float]:
    """The values of metrics since their last reset, by name; parts of a collection as ``<name>/<part>``.

    With several ranks torchmetrics communicates: every rank computes the same metrics.

    Args:
        metrics: by name.
        guard: given a name, a block that reports its fault: one that cannot be computed is reset, and costs no other.

    Example:
        >>> from torchmetrics import MeanMetric
        >>> mean = MeanMetric()
        >>> mean.update(1.0), mean.update(3.0)
        (None, None)
        >>> compute_and_reset({"mean": mean}), has_updates(mean)
        ({'mean': 2.0}, False)
    """
    values: dict[str, Any] = {}
    for name, metric in metrics.items():
        with guard(f"metric {name}"):
            values[name] = metric.compute()
        metric.reset()
    return to_floats(scalars_of(values))
