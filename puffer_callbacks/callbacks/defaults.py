"""What most people want, in one call."""

from typing import Any

from lightning.pytorch import Callback

from puffer_callbacks.callbacks.gradient import GradientCallback
from puffer_callbacks.callbacks.histogram import HistogramCallback
from puffer_callbacks.callbacks.hyperparameters import HyperparametersCallback
from puffer_callbacks.callbacks.metrics import MetricsCallback
from puffer_callbacks.callbacks.rollout import RolloutCallback

_CALLBACKS: dict[str, tuple[type[Callback], bool]] = {
    "metrics": (MetricsCallback, True),
    "rollout": (RolloutCallback, True),
    "histograms": (HistogramCallback, True),
    "gradients": (GradientCallback, True),
    "hyperparameters": (HyperparametersCallback, True),
}
"""Name to the callback and whether it is there unasked."""


def default_callbacks(**overrides: bool | int | dict[str, Any] | Callback) -> list[Callback]:
    """The callbacks that most people want: metrics, rollout, histograms, gradients and hyperparameters.

    Args:
        **overrides: by name (``metrics``, ``rollout``, ``histograms``, ``gradients``, ``hyperparameters``): ``False`` leaves one out,
            ``True`` puts one in, an integer is its interval, a dict its arguments, a callback stands in its place.

    Raises:
        TypeError: if a name is unknown or an override is of another kind.

    Example:
        >>> names = [type(c).__name__ for c in default_callbacks(histograms=False, metrics=100)]
        >>> names
        ['MetricsCallback', 'RolloutCallback', 'GradientCallback', 'HyperparametersCallback']
    """
    unknown = sorted(set(overrides) - set(_CALLBACKS))
    if unknown:
        raise TypeError(f"default_callbacks: expected some of {', '.join(_CALLBACKS)}; got {', '.join(unknown)}")
    callbacks = []
    for name, (kind, default) in _CALLBACKS.items():
        callback = _build(name, kind, overrides.get(name, default))
        if callback is not None:
            callbacks.append(callback)
    return callbacks


def _build(name: str, kind: type[Callback], override: object) -> Callback | None:
    if isinstance(override, bool):
        return kind() if override else None
    if isinstance(override, int):
        return kind(override)  # type: ignore[call-arg]  # the first argument of each is its interval
    if isinstance(override, dict):
        return kind(**override)
    if callable(getattr(override, "setup", None)):
        return override  # type: ignore[return-value]
    expected = "True, False, an interval, a dict of arguments or a callback"
    raise TypeError(f"default_callbacks({name}=…): expected {expected}, got {override!r}")
