"""A progress bar over environment steps: the return, steps per second, time left."""

import sys
from collections import deque
from typing import Any

from tqdm import tqdm

from puffer_callbacks.callbacks import PufferCallback
from puffer_callbacks.rollout import Rollout

WINDOW = 100
"""Episodes that the shown mean return is over."""


class ProgressCallback(PufferCallback):
    """Shows how far a run is.

    Args:
        total: environment steps to train for.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._returns: deque[float] = deque(maxlen=WINDOW)
        self._bar: Any = None

    @property
    def mean_return(self) -> float:
        """Mean return of the last ``WINDOW`` episodes; NaN before the first one ends."""
        return sum(self._returns) / len(self._returns) if self._returns else float("nan")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Show the bar."""
        self._bar = tqdm(
            total=self._total, initial=pl_module.env_steps, unit=" steps", unit_scale=True, file=sys.stderr
        )

    def on_rollout_end(self, trainer: Any, pl_module: Any, rollout: Rollout) -> None:
        """Move the bar."""
        if rollout.episode_returns is not None:
            self._returns.extend(rollout.episode_returns.tolist())
        if self._bar is not None:
            if self._returns:
                self._bar.set_postfix_str(f"return={self.mean_return:.1f}", refresh=False)
            self._bar.update(rollout.env_steps - self._bar.n)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Leave the bar as it stands."""
        self._close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Leave the bar as it stands."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
