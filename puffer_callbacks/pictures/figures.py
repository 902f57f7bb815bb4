"""Matplotlib figures of reward components and action frequencies."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from puffer_callbacks.measure.episode_counter import to_numpy
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.values import Image

MAX_PANELS = 12
"""The number of action dimensions, or reward components, that are drawn."""


def reward_figure(rollout: Rollout) -> Image | None:
    """A figure of the finished episodes' reward components: bars for means, lines from 10 % to 90 %.

    Args:
        rollout: its ``infos`` are drawn, or its ``episode_returns`` if it has no infos.

    Returns:
        The figure, or ``None`` if no episode has finished.

    Raises:
        ImportError: if matplotlib is missing; the message names the extra to install.
    """
    given: dict[str, Any] = dict(rollout.infos) or {"return": rollout.episode_returns}
    parts = {name: _finite(value) for name, value in given.items()}
    parts = {name: value for name, value in list(parts.items())[:MAX_PANELS] if value.size}
    if not parts:
        return None
    figure, axes = _figure(1, height=0.6 + 0.4 * len(parts))
    at = np.arange(len(parts))
    low, high = (np.array([np.quantile(value, q) for value in parts.values()]) for q in (0.1, 0.9))
    axes[0].barh(at, [value.mean() for value in parts.values()], color="#3b6ea5")
    axes[0].hlines(at, low, high, color="black", linewidth=2)
    axes[0].set_yticks(at, list(parts))
    axes[0].invert_yaxis()
    figure.suptitle("mean over finished episodes; line: 10 % to 90 %", fontsize=8)  # wider than axes beside long names
    return Image(figure, caption=f"{max(value.size for value in parts.values())} episodes")


def action_figure(rollout: Rollout) -> Image | None:
    """A figure of the frequency of each discrete action, or of the histograms of continuous ones.

    Args:
        rollout: its ``actions`` are drawn.

    Returns:
        The figure, or ``None`` if the rollout has no actions.

    Raises:
        ImportError: if matplotlib is missing; the message names the extra to install.
    """
    if rollout.actions is None or not rollout.actions.numel():
        return None
    actions = rollout.actions.detach().cpu()
    columns = actions.reshape(actions.shape[0] * actions.shape[1], -1)[:, :MAX_PANELS]
    figure, axes = _figure(columns.shape[1], height=2.2)
    for dimension, axis in enumerate(axes):
        numbers = _finite(columns[:, dimension])
        if actions.is_floating_point():
            axis.hist(numbers, bins=40, color="#3b6ea5")
        else:
            taken, counts = np.unique(numbers.astype(np.int64), return_counts=True)
            axis.bar(taken, counts / max(counts.sum(), 1), color="#3b6ea5")
            axis.set_xticks(taken[:: max(1, len(taken) // 10)])
        axis.set_title(f"action[{dimension}]" if columns.shape[1] > 1 else "action", fontsize=8)
    axes[0].set_ylabel("actions" if actions.is_floating_point() else "share of actions", fontsize=7)
    return Image(figure, caption=f"{len(columns)} actions")


def _finite(values: Tensor | None) -> NDArray[np.float64]:
    numbers = to_numpy(values)
    return numbers[np.isfinite(numbers)]


def _figure(panels: int, *, height: float) -> tuple[Any, list[Any]]:
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  # an optional extra
    except ImportError:
        missing = "expected matplotlib for figures, which is not installed"
        raise ImportError(f'{missing}; run: pip install "puffer_callbacks[plots]"') from None
    # not through pyplot, which would keep the figure alive and may need a display
    figure = Figure(figsize=(max(4.0, 2.4 * panels), height), dpi=100, layout="constrained")
    axes = [figure.add_subplot(1, panels, panel + 1) for panel in range(panels)]
    for axis in axes:
        axis.tick_params(labelsize=7)
    return figure, axes
