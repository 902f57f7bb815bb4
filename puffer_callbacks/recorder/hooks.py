"""Lightning's hooks that a callback does not use, kept out of the training loop's way."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from lightning.pytorch import Callback

from puffer_callbacks.schedule import Every

_PER_BATCH = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_backward",
    "on_after_backward",
    "on_before_zero_grad",
    "on_before_optimizer_step",
)

_ATTEMPTS = 64


def hide_idle_hooks(callback: Callback, base: type[Callback] = Callback, hooks: tuple[str, ...] = _PER_BATCH) -> None:
    """Shadow the per-batch hooks that do nothing, so that the trainer passes over them.

    Lightning spends about 2 µs on each hook of each callback, empty or not, but skips one that is not
    callable. Six hooks of eight callbacks are a tenth of a small training step.

    Args:
        callback: the callback whose idle hooks are shadowed on the instance; its class stays as it is.
        base: the class whose hooks do nothing.
        hooks: their names.
    """
    for hook in hooks:
        if getattr(type(callback), hook, None) is getattr(base, hook):
            setattr(callback, hook, None)


def price_of_a_call() -> float:
    """Seconds that it takes Lightning to call a hook, beside the hook's own: it opens a block of its profiler."""
    began = perf_counter()
    for _ in range(_ATTEMPTS):
        with _block():
            pass
    return (perf_counter() - began) / _ATTEMPTS


@contextmanager
def _block() -> Iterator[None]:
    yield


class Gate:
    """Wakes a callback's step hooks only where its schedule fires: at most steps it then costs nothing.

    Args:
        callback: whose hooks they are.
        schedule: when it fires, in optimizer steps.
        ahead: how many steps before that ``on_before_optimizer_step`` is wanted.
    """

    def __init__(self, callback: Callback, schedule: Every, *, ahead: int) -> None:
        self._callback = callback
        self._schedule = schedule
        self._ahead = ahead
        self._hides = is_ours(callback, "on_before_optimizer_step")
        self._awake = True

    @property
    def attention(self) -> int:
        """The step from which on it wants to be asked."""
        return self._schedule.next - self._ahead

    def wakes(self, steps: int) -> bool:
        """Whether ``on_step`` is wanted at this step."""
        if self._schedule.is_due(steps + self._ahead):
            self._set(awake=True)
            return self._schedule.is_due(steps)
        self._set(awake=False)
        return False

    def settle(self, steps: int) -> None:
        """After a firing, or at the start: look for the next one."""
        self._schedule.begin(steps)
        self._set(awake=self._schedule.is_due(steps + self._ahead))

    def _set(self, *, awake: bool) -> None:
        if awake == self._awake or not self._hides:
            return
        self._awake = awake
        if awake:
            vars(self._callback).pop("on_before_optimizer_step", None)
        else:
            setattr(self._callback, "on_before_optimizer_step", None)  # noqa: B010  # hides the method


class Listeners:
    """Who is told of a training step: callbacks without a gate always, the others where their gate wakes.

    Between firings nobody is asked, so a step costs the same however many callbacks wait for theirs.

    Args:
        callbacks: those that have ``on_step``, in order.
        steps: optimizer steps so far.
    """

    def __init__(self, callbacks: Iterable[Any], steps: int) -> None:
        self._all = [(callback, _gate(callback)) for callback in callbacks]
        self.until = 0
        """The step from which on somebody may be due."""
        self.read_metrics = not all(is_ours(callback, "on_step") for callback, _ in self._all)
        """Whether anybody looks at the metrics: ours have no need of them."""
        self.settle(steps)

    def due(self, steps: int) -> list[Any]:
        """Those to call at this step; ``settle`` comes after the calls."""
        return [callback for callback, gate in self._all if gate is None or gate.wakes(steps)]

    def settle(self, steps: int) -> None:
        """Look for the next step at which a gate has to be asked."""
        gates = [gate for _, gate in self._all if gate is not None]
        for gate in gates:
            gate.settle(steps)
        self.until = 0 if len(gates) < len(self._all) else min((gate.attention for gate in gates), default=sys.maxsize)


def _gate(callback: Any) -> Gate | None:
    return callback.gate() if hasattr(callback, "gate") else None


def is_ours(callback: Callback, hook: str) -> bool:
    """Whether a hook is as this package has it, not a subclass's own."""
    return str(getattr(getattr(type(callback), hook, None), "__module__", "")).startswith("puffer_callbacks.")
