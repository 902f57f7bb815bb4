"""``default_callbacks``: what most people want, in one call."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback

from puffer_callbacks.callbacks.attention import AttentionCallback
from puffer_callbacks.callbacks.gradient import GradientCallback
from puffer_callbacks.callbacks.health import HealthCallback
from puffer_callbacks.callbacks.histogram import HistogramCallback
from puffer_callbacks.callbacks.hyperparameters import HyperparametersCallback
from puffer_callbacks.callbacks.image import ImageCallback
from puffer_callbacks.callbacks.metrics import MetricsCallback
from puffer_callbacks.callbacks.plasticity import PlasticityCallback
from puffer_callbacks.callbacks.rollout import RolloutCallback
from puffer_callbacks.callbacks.video import VideoCallback

Choice = bool | int | Mapping[str, Any] | Callback
"""Whether to have a callback, its interval, its arguments, or the callback itself."""


def default_callbacks(
    *,
    metrics: Choice = True,
    rollout: Choice = True,
    histograms: Choice = True,
    gradients: Choice = True,
    hyperparameters: Choice = True,
    health: Choice = True,
    images: Choice = False,
    attention: Choice = False,
    videos: Choice = False,
    plasticity: Choice = False,
) -> list[Callback]:
    """The callbacks that most people want.

    ``False`` leaves one out, ``True`` puts one in, an integer is its interval, a dict its arguments, and a callback
    stands in its place.

    Args:
        metrics: ``MetricsCallback``; its interval is ``every_n_steps``.
        rollout: ``RolloutCallback``; it has no interval.
        histograms: ``HistogramCallback``; ``every_n_steps``.
        gradients: ``GradientCallback``; ``every_n_steps``.
        hyperparameters: ``HyperparametersCallback``; it has no interval.
        health: ``HealthCallback``; ``every_n_rollouts``.
        images: ``ImageCallback``; ``every_n_rollouts``.
        attention: ``AttentionCallback``; ``every_n_steps``.
        videos: ``VideoCallback``; ``every_n_rollouts``.
        plasticity: ``PlasticityCallback``; ``every_n_steps``.

    Raises:
        TypeError: if a choice is of another kind.

    Example:
        >>> callbacks = default_callbacks(histograms=False, metrics=100, images=True)
        >>> [type(callback).__name__.removesuffix("Callback") for callback in callbacks]
        ['Metrics', 'Rollout', 'Gradient', 'Image', 'Hyperparameters', 'Health']
    """
    steps, rollouts = "every_n_steps", "every_n_rollouts"
    chosen = [
        _build("metrics", MetricsCallback, steps, metrics),
        _build("rollout", RolloutCallback, "", rollout),
        _build("histograms", HistogramCallback, steps, histograms),
        _build("gradients", GradientCallback, steps, gradients),
        _build("images", ImageCallback, rollouts, images),
        _build("attention", AttentionCallback, steps, attention),
        _build("videos", VideoCallback, rollouts, videos),
        _build("plasticity", PlasticityCallback, steps, plasticity),
        _build("hyperparameters", HyperparametersCallback, "", hyperparameters),
        _build("health", HealthCallback, rollouts, health),  # last: it judges what the others log
    ]
    return [callback for callback in chosen if callback is not None]


def _build(name: str, kind: type[Callback], interval: str, override: object) -> Callback | None:
    if isinstance(override, bool):
        return kind() if override else None
    if hasattr(override, "__index__") and interval:  # NumPy's integers are integers too
        return kind(**{interval: override})
    if isinstance(override, Mapping):
        return kind(**override)
    if callable(getattr(override, "setup", None)):
        return override  # type: ignore[return-value]
    expected = "True, False, an interval, a dict of arguments or a callback"
    raise TypeError(f"default_callbacks({name}=…): expected {expected}, got {override!r}")
