"""``TransformersCallback``: the callbacks in Hugging Face's trainers."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Self

import torch

from puffer_callbacks.adapters.loop import Loop
from puffer_callbacks.adapters.method_locals import locals_of
from puffer_callbacks.adapters.module_view import as_lightning_module
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.values.scalars import Scalar, scalars_of, to_floats

try:
    from transformers import TrainerCallback
except ImportError as error:
    needs = 'TransformersCallback needs transformers: pip install "puffer_callbacks[transformers]"'
    raise ImportError(needs) from error

_CHECKPOINT = "puffer_callbacks.pt"
_SHARED = {
    "objective/kl": "kl",
    "objective/entropy": "entropy",
    "objective/scores": "reward",
    "loss/policy_avg": "policy_loss",
    "loss/value_avg": "value_loss",
    "policy/approxkl_avg": "approx_kl",
    "policy/clipfrac_avg": "clip_fraction",
}
"""What TRL's PPO calls a thing, and its name here, which TRL's other trainers have too."""
_TIMINGS = ("_runtime", "_per_second", "_preparation_time")
_SKIPPED = {"epoch", "step", "lr", "total_flos", "train_loss"}


class TransformersCallback(TrainerCallback):
    """Runs the callbacks in ``transformers.Trainer`` and the trainers built on it: TRL's GRPO, PPO, DPO.

    What the trainer logs stands under ``train/<name>``, so TRL's ``reward``, ``kl``, ``entropy``,
    ``clip_ratio/…``, ``frac_reward_zero_std`` and ``sampling/…`` have the names that all algorithms share; what
    it evaluates, under ``eval/<name>``. Intervals are in optimizer steps. Weights and gradients are seen as
    everywhere, and training is the same, bit for bit. Each checkpoint of the trainer holds the callbacks' state, and a
    trainer that resumes from it, in whatever folder, continues it. A callback that sets ``trainer.should_stop`` ends
    the training.

    The trainer does not inform callbacks of an exception; ``with TransformersCallback(…) as callback:`` around
    ``train`` does.

    Args:
        loggers: Lightning loggers, one or several; ``None`` for none.
        callbacks: the callbacks, or the arguments of ``default_callbacks`` as a mapping; left out, the default ones.
        log_dir: a folder for TensorBoard's files, for a configuration in YAML that cannot name a logger.

    Raises:
        TypeError: if a callback is none.

    Example:
        ``Trainer(model, args, train_dataset=data, callbacks=[TransformersCallback(logger, default_callbacks())])``
    """

    def __init__(self, loggers: Any = (), callbacks: Any = None, *, log_dir: str | PathLike[str] | None = None) -> None:
        self.loop = Loop(loggers, callbacks, log_dir=log_dir)
        self._step_is_open = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **trainer: Any) -> None:
        """Begin the fit, or continue that of a checkpoint."""
        self.loop.close()
        if state.global_step:
            self._resume(self._resumed_folder() or _folder(args, state))
        model, optimizer = trainer["model"], trainer.get("optimizer")
        listed = optimizer if isinstance(optimizer, torch.optim.Optimizer) else None
        settings = {**args.to_dict(), "model": _config(model)}
        self.loop.fit_start(model, settings, optimizers=listed, global_step=state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **trainer: Any) -> None:
        """An optimizer step is over; what it logs comes next, if it logs."""
        self._finish_step()
        self._step_is_open = True
        self._pass_on_stop(control)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **trainer: Any) -> None:
        """Log what the trainer logs; before and after ``train`` what it evaluates."""
        metrics, evaluated = split_logs(logs or {})
        if not self.loop.is_open:
            self._record_alone(trainer.get("model"), evaluated)
            return
        recorder = Recorder.of(self.loop)
        with recorder.guard("TransformersCallback"):
            recorder.record(to_floats(evaluated))
        if metrics:
            self._step_is_open = False
            self.loop.step(metrics)
            self._pass_on_stop(control)

    def on_save(self, args: Any, state: Any, control: Any, **trainer: Any) -> None:
        """Keep the callbacks' state beside the trainer's checkpoint."""
        self._finish_step()
        recorder = Recorder.of(self.loop)
        with recorder.guard("TransformersCallback, its part of a checkpoint"):
            kept = self.loop.state_dict(over_ranks=True)
            if state.is_world_process_zero:
                torch.save(kept, _folder(args, state) / _CHECKPOINT)

    def on_train_end(self, args: Any, state: Any, control: Any, **trainer: Any) -> None:
        """End the fit."""
        self._finish_step()
        self.loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._finish_step()
        self.loop.__exit__(kind, error, trace)

    def _resume(self, folder: Path) -> None:
        saved = folder / _CHECKPOINT
        if saved.exists():
            self.loop.load_state_dict(torch.load(saved, weights_only=True))
        else:
            expected = f"expected {saved}, which is not there; steps continue, and intervals begin anew"
            Recorder.of(self.loop).faults.report("TransformersCallback", expected)

    def _resumed_folder(self) -> Path | None:
        """The folder that ``train`` was given or has found: transformers passes it to no callback."""
        running = locals_of(lambda owner: self in getattr(getattr(owner, "callback_handler", None), "callbacks", ()))
        folder = running.get("resume_from_checkpoint")
        return Path(folder) if isinstance(folder, str | PathLike) else None

    def _record_alone(self, model: Any, values: Mapping[str, Scalar]) -> None:
        """Log values of an evaluation before training or after it, at a point of their own."""
        recorder = Recorder.of(self.loop)
        with recorder.guard("TransformersCallback"):
            if values and isinstance(model, torch.nn.Module):
                recorder.open_in_mid_run(self.loop, as_lightning_module(model, self.loop))
                recorder.record(to_floats(values))
                recorder.end()
                self.loop.finalize_loggers("success")

    def _pass_on_stop(self, control: Any) -> None:
        if self.loop.should_stop:
            control.should_training_stop = True

    def _finish_step(self) -> None:
        if self._step_is_open and self.loop.is_open:
            self.loop.step()
        self._step_is_open = False


def split_logs(logs: Mapping[str, Any]) -> tuple[dict[str, Scalar], dict[str, Scalar]]:
    """A trainer's log as metrics of training by name, and of evaluation by tag; its timings are left out.

    Example:
        >>> split_logs({"loss": 0.5, "objective/kl": 0.1, "eval_loss": 0.7, "train_runtime": 3.0, "epoch": 1})
        ({'loss': 0.5, 'kl': 0.1}, {'eval/loss': 0.7})
    """
    metrics: dict[str, Scalar] = {}
    evaluated: dict[str, Scalar] = {}
    for name, value in scalars_of(logs).items():
        if name in _SKIPPED or name.endswith(_TIMINGS):
            continue
        if name.startswith("eval_"):
            evaluated[f"eval/{name.removeprefix('eval_')}"] = value
        else:
            metrics[_SHARED.get(name, name)] = value
    return metrics, evaluated


def _folder(args: Any, state: Any) -> Path:
    return Path(args.output_dir, f"checkpoint-{state.global_step}")


def _config(model: Any) -> Mapping[str, Any]:
    to_dict = getattr(getattr(model, "config", None), "to_dict", dict)
    return dict(to_dict())
