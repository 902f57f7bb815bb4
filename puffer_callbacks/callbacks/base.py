"""The base of every callback here, and the two ways a module speaks to a run: ``emit`` and ``log``."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from lightning.pytorch import Callback

from puffer_callbacks.recorder.hooks import Gate, hide_idle_hooks, is_ours
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.schedule import Every
from puffer_callbacks.trainers import trainer_of
from puffer_callbacks.values import Histogram, Image, Text, Value, Video
from puffer_callbacks.values.scalars import Scalar, as_scalar, to_floats

C = TypeVar("C", bound="PufferCallback")
P = ParamSpec("P")


class PufferCallback(Callback):
    """A Lightning callback with two more hooks: ``on_step`` and ``on_rollout_end``.

    Example:
        >>> class BestReturn(PufferCallback):
        ...     best = float("-inf")
        ...     def on_rollout_end(self, trainer, pl_module, rollout):
        ...         self.best = max(self.best, rollout.rewards.sum(0).max().item())
    """

    expensive = False
    """Whether the recorder may widen the interval, ``_every``, where recording goes over its budget."""
    meets = False
    """Whether it may have to do with other ranks where it fires. With several its interval stays as it is, since
    each rank would widen it at another step, and they would wait for each other for ever."""
    looks_ahead: int | None = None
    """For a callback whose step hooks have to do with firings only: the optimizer steps before one at which
    ``on_before_optimizer_step`` is wanted. The hooks are called then, and not at other steps."""
    _every: Every

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Make sure that the run has a recorder, and that it listens."""
        recorder = Recorder.of(trainer)
        recorder.setup(trainer, pl_module, stage)
        if self.expensive and not (self.meets and trainer.world_size > 1):
            recorder.budget.register(type(self).__name__, self._every)
        hide_idle_hooks(self)
        hide_idle_hooks(self, PufferCallback, ("on_step",))

    def gate(self) -> Gate | None:
        """What holds the step hooks back between firings, for a callback that looks ahead to them."""
        if self.looks_ahead is None or not is_ours(self, "on_step"):
            return None
        return Gate(self, self._every, ahead=self.looks_ahead)

    def on_step(self, trainer: Any, pl_module: Any, metrics: Mapping[str, Scalar]) -> None:
        """Called once after each training batch.

        Args:
            trainer: the trainer.
            pl_module: the module in training.
            metrics: the scalars that ``training_step`` returned, detached: 0-d tensors on their device, or
                floats.
        """

    def on_rollout_end(self, trainer: Any, pl_module: Any, rollout: Rollout) -> None:
        """Called when the module has collected a rollout: ``emit(self, "on_rollout_end", rollout)``."""


def contained(hook: Callable[Concatenate[C, P], None]) -> Callable[Concatenate[C, P], None]:
    """A hook of ours, whose time counts as overhead and whose faults never end the run."""
    sees_rollout = hook.__name__ == "on_rollout_end"

    @wraps(hook)
    def run(self: C, /, *args: P.args, **kwargs: P.kwargs) -> None:
        recorder = Recorder.of(args[0])
        with recorder.guard(type(self).__name__):
            if sees_rollout:
                recorder.counters.see_rollout(args[2])
            hook(self, *args, **kwargs)

    @wraps(hook)
    def run_at_the_end(self: C, /, *args: P.args, **kwargs: P.kwargs) -> None:
        with Recorder.of(args[0]).faults.lenient():
            run(self, *args, **kwargs)

    return run_at_the_end if hook.__name__ == "on_exception" else run


def emit(trainer_or_module: Any, hook: str, *args: Any) -> None:
    """Call a hook on every callback that has it.

    Args:
        trainer_or_module: the trainer, or a module in training. A module without a trainer calls nobody.
        hook: its name, such as ``"on_rollout_end"``.
        *args: what it is given after the trainer and the module.

    Raises:
        TypeError: if ``on_rollout_end`` is given anything but one ``Rollout``.

    Example:
        ``emit(self, "on_rollout_end", rollout)`` at the end of a module's rollout.
    """
    if hook == "on_rollout_end" and not (len(args) == 1 and isinstance(args[0], Rollout)):
        given = ", ".join(type(arg).__name__ for arg in args) or "nothing"
        raise TypeError(f"on_rollout_end: expected one Rollout, got {given}")
    trainer, module = trainer_of(trainer_or_module)
    for callback in getattr(trainer, "callbacks", ()):
        call = getattr(callback, hook, None)
        if callable(call):
            call(trainer, module, *args)


def log(trainer_or_module: Any, values: Mapping[str, Scalar | Histogram | Image | Video | Text]) -> None:
    """Log values of your own, of any kind, into every logger of the run.

    What cannot be recorded is left out with one warning that names it; training goes on.

    Args:
        trainer_or_module: the trainer, or a module in training.
        values: tag to a number, 0-d tensor, ``Histogram``, ``Image``, ``Video`` or ``Text``.

    Example:
        ``log(self, {"curriculum/level": level, "curriculum/returns": Histogram.of(returns)})``
    """
    trainer, _ = trainer_of(trainer_or_module)
    if trainer is None:
        return
    recorder = Recorder.of(trainer)
    with recorder.guard("log"):
        scalars: dict[str, Scalar] = {}
        others: dict[str, Value] = {}
        if not hasattr(values, "keys"):
            raise TypeError(f"expected a mapping of tags to values, got a {type(values).__name__}")
        for tag, value in dict(values).items():
            scalar = as_scalar(value)
            if scalar is not None:
                scalars[str(tag)] = scalar
            elif isinstance(value, Histogram | Image | Video | Text):
                others[str(tag)] = value
            else:
                recorder.faults.report(f"log({str(tag)!r})", _expected(value))
        if not recorder.is_open:
            recorder.faults.report("log", "expected a run in training, got one outside fit; its values are left out")
        recorder.record({**_floats(scalars, recorder), **others})


def _floats(scalars: Mapping[str, Scalar], recorder: Recorder) -> dict[str, float]:
    """The scalars on the host; where one of them holds no number, the others."""
    try:
        return to_floats(scalars)
    except Exception:
        if len(scalars) == 1:
            tag, value = next(iter(scalars.items()))
            recorder.faults.report(f"log({tag!r})", _expected(value))
            return {}
    return {tag: number for each in scalars.items() for tag, number in _floats(dict([each]), recorder).items()}


def _expected(value: object) -> str:
    given = f"a {type(value).__name__}"
    with suppress(Exception):  # where it cannot even be asked
        given += f" of shape {list(value.shape)} and {value.dtype}"  # type: ignore[attr-defined]
    return f"expected a number, 0-d real tensor, Histogram, Image, Video or Text, got {given}; it is left out"
