"""The series of a run in progress, bounded in memory."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from puffer_callbacks.health.series import Floats

_GROUPS = ("train", "losses", "diagnostics", "nonfinite", "gradient_norm", "update_ratio", "plasticity", "rollout")
_NOT_JUDGED = "rollout/info/"
MAX_POINTS = 1024


class History:
    """Keeps the scalar series that rules look at, as rows are written.

    Of a series with more than ``max_points`` points every second one is dropped, non-finite ones excepted: it stays
    even over the run, at half the density.

    Args:
        max_points: of one series.

    Example:
        >>> history = History()
        >>> history.log_values({"train/reward": 20.0, "mine": 1.0}, 1024)
        >>> history.series
        {'train/reward': (array([1024]), array([20.]))}
    """

    def __init__(self, *, max_points: int = MAX_POINTS) -> None:
        self._max_points = max_points
        self._points: dict[str, tuple[list[int], list[float]]] = {}
        self.last_step = 0
        """The step of the latest row."""

    def log_values(self, values: Mapping[str, Any], step: int) -> None:
        """Add a row; what is no number, or of no interest to a rule, is passed over."""
        self.last_step = max(self.last_step, step)
        for tag, value in values.items():
            if isinstance(value, float) and _is_judged(tag):
                steps, kept = self._points.setdefault(tag, ([], []))
                steps.append(step)
                kept.append(value)
                if len(kept) > self._max_points:
                    self._thin(steps, kept)

    @property
    def series(self) -> dict[str, tuple[np.ndarray[Any, np.dtype[np.int64]], Floats]]:
        """Tag to steps int64 [n] and values float64 [n]."""
        return {
            tag: (np.array(steps, np.int64), np.array(values, np.float64))
            for tag, (steps, values) in self._points.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """The series, for a checkpoint."""
        tensors = {
            tag: (torch.tensor(steps), torch.tensor(values, dtype=torch.float64))
            for tag, (steps, values) in self._points.items()
        }
        return {"last_step": self.last_step, "series": tensors}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.last_step = state["last_step"]
        self._points = {tag: (steps.tolist(), values.tolist()) for tag, (steps, values) in state["series"].items()}

    @staticmethod
    def _thin(steps: list[int], values: list[float]) -> None:
        kept = [at for at, value in enumerate(values) if at % 2 == 0 or not math.isfinite(value)]
        if len(kept) == len(values):  # nothing but NaN
            kept = kept[::2]
        steps[:], values[:] = [steps[at] for at in kept], [values[at] for at in kept]


def _is_judged(tag: str) -> bool:
    return tag == "throughput/sps" or (tag.split("/", 1)[0] in _GROUPS and not tag.startswith(_NOT_JUDGED))
