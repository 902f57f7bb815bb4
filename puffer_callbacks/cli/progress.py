"""A progress bar over environment steps: the return, steps per second, time left."""

import logging
import math
import sys
import time
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from puffer_callbacks.callbacks import PufferCallback
from puffer_callbacks.cli.curve import rounded
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.values.terminal import terminal_width

WINDOW = 100
"""Episodes that the shown mean return is over."""
_FEWEST = 500
"""Points of the curve of a long run, and less than twice as many."""
_WIDE = 70  # characters, for the speed beside the time left
_NARROW_BAR = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} <{remaining}{postfix}"


class ProgressCallback(PufferCallback):
    """Shows how far a run is, and keeps the curve of its return; a checkpoint carries both on."""

    def __init__(self) -> None:
        self._returns: deque[float] = deque(maxlen=WINDOW)
        self._bar: Any = None
        self._begun = time.monotonic()
        self._first_step = 0
        self.env_steps = 0
        self.curve: list[float] = []
        """Mean return of the last ``WINDOW`` episodes, at equal distances over the run."""
        self._stride, self._since = 1, 0  # rollouts from one point of the curve to the next, and since the last one

    @property
    def episodes(self) -> int:
        """Episodes that the mean return is over, at most ``WINDOW``."""
        return len(self._returns)

    @property
    def mean_return(self) -> float:
        """Mean return of the last episodes; NaN before the first one ends."""
        return sum(self._returns) / len(self._returns) if self._returns else math.nan

    @property
    def seconds(self) -> float:
        """Time since training began or continued."""
        return time.monotonic() - self._begun

    @property
    def steps_per_second(self) -> float:
        """Environment steps per second since then."""
        return (self.env_steps - self._first_step) / self.seconds

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Show the bar."""
        self._begun, self.env_steps = time.monotonic(), pl_module.env_steps
        self._first_step = self.env_steps
        self._bar = tqdm(
            total=pl_module.planned_steps,
            initial=self.env_steps,
            unit=" steps",
            unit_scale=True,
            dynamic_ncols=True,
            bar_format=None if terminal_width() >= _WIDE else _NARROW_BAR,
            mininterval=0.1 if sys.stderr.isatty() else 10,  # a file keeps each refresh as a line
            file=sys.stderr,
        )

    def on_rollout_end(self, trainer: Any, pl_module: Any, rollout: Rollout) -> None:
        """Move the bar."""
        if rollout.episode_returns is not None:
            self._returns.extend(rollout.episode_returns.tolist())
        if self._returns:
            self._extend_curve()
            self._bar.set_postfix_str(f"return={rounded(self.mean_return)}", refresh=False)
        self.env_steps = rollout.env_steps or 0
        self._bar.update(self.env_steps - self._bar.n)

    def _extend_curve(self) -> None:
        """Add every so many rollouts a point; where there are too many points, keep every second one from then on."""
        self._since += 1
        if self._since == self._stride:
            self.curve.append(self.mean_return)
            self._since = 0
        if len(self.curve) == 2 * _FEWEST:
            self.curve, self._stride = self.curve[1::2], 2 * self._stride

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Leave the bar where it is."""
        self._close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Leave the bar where it is."""
        self._close()

    def state_dict(self) -> dict[str, Any]:
        """The last returns and the curve."""
        places = {"stride": self._stride, "since": self._since}
        return {"returns": list(self._returns), "curve": self.curve, **places}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the curve of a checkpoint."""
        self._returns.extend(state_dict["returns"])
        self.curve = list(state_dict["curve"])
        self._stride, self._since = state_dict.get("stride", 1), state_dict.get("since", 0)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class _LinesAboveTheBar(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        show_line(record.getMessage(), kind=record.levelname.lower())


@contextmanager
def lines_above_the_bar() -> Iterator[None]:
    """While the block runs, each warning and log message is one line above the progress bar."""
    handler = _LinesAboveTheBar(logging.INFO)
    logging.getLogger().addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: show_line(str(message))
            yield
    finally:
        logging.getLogger().removeHandler(handler)


def show_line(message: str, *, kind: str = "warning") -> None:
    """Print one line to the error stream, above the bar where there is one."""
    tqdm.write(f"puffer-callbacks: {kind}: {' '.join(message.split())}", file=sys.stderr)
