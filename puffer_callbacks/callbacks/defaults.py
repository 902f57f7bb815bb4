"""What most people want, in one call."""

from typing import Any

from lightning.pytorch import Callback

from puffer_callbacks.callbacks.attention import AttentionCallback
from puffer_callbacks.callbacks.gradient import GradientCallback
from puffer_callbacks.callbacks.histogram import HistogramCallback
from puffer_callbacks.callbacks.hyperparameters import HyperparametersCallback
from puffer_callbacks.callbacks.image import ImageCallback
from puffer_callbacks.callbacks.metrics import MetricsCallback
from puffer_callbacks.callbacks.rollout import RolloutCallback
from puffer_callbacks.callbacks.video import VideoCallback

_CALLBACKS: dict[str, tuple[type[Callback], str, bool]] = {
    "metrics": (MetricsCallback, "every_n_steps", True),
    "rollout": (RolloutCallback, "", True),
    "histograms": (HistogramCallback, "every_n_steps", True),
    "gradients": (GradientCallback, "every_n_steps", True),
    "images": (ImageCallback, "every_n_rollouts", False),
    "attention": (AttentionCallback, "every_n_steps", False),
    "videos": (VideoCallback, "every_n_rollouts", False),
    "hyperparameters": (HyperparametersCallback, "", True),
}
"""Name to the callback, its interval's argument, and whether it is there unasked."""


def default_callbacks(**overrides: bool | int | dict[str, Any] | Callback) -> list[Callback]:
    """The callbacks that most people want: metrics, rollout, histograms, gradients and hyperparameters.

    Args:
        **overrides: by name: ``metrics``, ``rollout``, ``histograms``, ``gradients``, ``hyperparameters``,
            and unless asked for left out ``images``, ``attention``, ``videos``. ``False`` leaves one out,
            ``True`` puts one in, an integer is its interval, a dict its arguments, a callback stands in its
            place.

    Raises:
        TypeError: if a name is unknown or an override is of another kind.

    Example:
        >>> callbacks = default_callbacks(histograms=False, metrics=100, images=True)
        >>> [type(callback).__name__.removesuffix("Callback") for callback in callbacks]
        ['Metrics', 'Rollout', 'Gradient', 'Image', 'Hyperparameters']
    """
    unknown = sorted(set(overrides) - set(_CALLBACKS))
    if unknown:
        raise TypeError(f"default_callbacks: expected some of {', '.join(_CALLBACKS)}; got {', '.join(unknown)}")
    callbacks = []
    for name, (kind, interval, default) in _CALLBACKS.items():
        callback = _build(name, kind, interval, overrides.get(name, default))
        if callback is not None:
            callbacks.append(callback)
    return callbacks


def _build(name: str, kind: type[Callback], interval: str, override: object) -> Callback | None:
    if isinstance(override, bool):
        return kind() if override else None
    if isinstance(override, int) and interval:
        return kind(**{interval: override})
    if isinstance(override, dict):
        return kind(**override)
    if callable(getattr(override, "setup", None)):
        return override  # type: ignore[return-value]
    expected = "True, False, an interval, a dict of arguments or a callback"
    raise TypeError(f"default_callbacks({name}=…): expected {expected}, got {override!r}")
