"""The two ways a module reaches the callbacks and loggers of its run: ``emit`` and ``log``."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import torch
from torch import nn

from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.values import Histogram, Image, Text, Value, Video
from puffer_callbacks.values.scalars import Scalar, as_scalar, to_floats


def emit(trainer_or_module: Any, hook: str, *args: Any) -> None:
    """Call a hook on every callback that has it.

    Args:
        trainer_or_module: the trainer, or a module in training. A module without a trainer calls no callback.
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
    with _out_of_inference_mode() if torch.is_inference_mode_enabled() else nullcontext():
        for callback in getattr(trainer, "callbacks", ()):
            call = getattr(callback, hook, None)
            if callable(call):
                call(trainer, module, *args)


@contextmanager
def _out_of_inference_mode() -> Iterator[None]:
    """Have callbacks make tensors that can be written to later, without gradients, which a rollout of inference mode
    cannot have."""
    with torch.inference_mode(False), torch.no_grad():
        yield


def log(trainer_or_module: Any, values: Mapping[str, Scalar | Histogram | Image | Video | Text]) -> None:
    """Log values of your own, of any kind, into every logger of the run.

    Numbers logged several times at one point of the x axis are their mean, as Stable-Baselines3's ``record_mean``; of
    other values the last is kept. In validation and test they stand at the present point of training. What cannot be
    recorded is left out with one warning that names it; training goes on.

    Args:
        trainer_or_module: the trainer, or a module in training.
        values: tag to a number, 0-d tensor, ``Histogram``, ``Image``, ``Video`` or ``Text``.

    Example:
        ``log(self, {"curriculum/level": level, "curriculum/returns": Histogram.of(returns)})``
    """
    trainer, module = trainer_of(trainer_or_module)
    if trainer is None:
        return
    recorder = Recorder.of(trainer)
    with recorder.guard("log"):
        if not hasattr(values, "keys"):
            raise TypeError(f"expected a mapping of tags to values, got a {type(values).__name__}")
        if not recorder.is_open and _is_running(trainer):  # no callback opened it
            recorder.open_in_mid_run(trainer, module)
        if not recorder.is_open:
            recorder.faults.report("log", "expected a run in training, got one outside fit; its values are left out")
        scalars, others = _sorted_by_kind(dict(values), recorder)
        recorder.record(_floats(scalars, recorder), count=1)
        recorder.record(others)


def _is_running(trainer: Any) -> bool:
    return getattr(getattr(trainer, "state", None), "status", None) == "running"


def _sorted_by_kind(values: Mapping[str, Any], recorder: Recorder) -> tuple[dict[str, Scalar], dict[str, Value]]:
    scalars: dict[str, Scalar] = {}
    others: dict[str, Value] = {}
    for tag, value in values.items():
        scalar = as_scalar(value)
        if scalar is not None:
            scalars[str(tag)] = scalar
        elif isinstance(value, Histogram | Image | Video | Text):
            others[str(tag)] = value
        else:
            recorder.faults.report(f"log({str(tag)!r})", _expected(value))
    return scalars, others


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


def trainer_of(trainer_or_module: Any) -> tuple[Any, Any]:
    """The trainer and the module in training, from either; ``(None, module)`` for a module without a trainer.

    Args:
        trainer_or_module: a module, whose ``trainer`` it is; anything else
            with ``callbacks`` is a trainer.

    Example:
        >>> trainer_of(object())[0] is None
        True
    """
    if hasattr(trainer_or_module, "callbacks") and not isinstance(trainer_or_module, nn.Module):
        return trainer_or_module, getattr(trainer_or_module, "lightning_module", None)
    try:
        trainer = trainer_or_module.trainer
    except (AttributeError, RuntimeError):  # Lightning raises where a module is not attached
        trainer = None
    return (trainer if hasattr(trainer, "callbacks") else None), trainer_or_module
