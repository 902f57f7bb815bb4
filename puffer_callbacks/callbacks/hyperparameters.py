"""The configuration of the run, once at its start; how it ended, beside it."""

from collections.abc import Iterable
from typing import Any

from puffer_callbacks.callbacks.base import PufferCallback, guarded
from puffer_callbacks.config.flatten import flat_settings
from puffer_callbacks.config.redact import SECRET_NAMES, Redactor
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.values import Hyperparameters, Setting

_TRAINER = (
    "max_epochs",
    "max_steps",
    "accumulate_grad_batches",
    "gradient_clip_val",
    "precision",
    "world_size",
)
_RL_METRICS = ("rollout/return_last_100", "train/reward", "train/episode_length")
_METRICS = ("train/loss",)


class HyperparametersCallback(PufferCallback):
    """Logs the configuration on ``on_fit_start``: the module's and data module's ``hparams``, optimizer and
    trainer.

    Nested names are joined by ``/``. What looks like a secret, by its name or by its form, is redacted. While
    this callback is there it logs in Lightning's place, which would log secrets, and an ``hp_metric`` of −1.
    TensorBoard's HParams tab shows the return over the last hundred episodes (``train/loss`` for a module without
    ``env_steps``) beside the configuration, of which it lists first what people compare first.

    Args:
        redact: regular expressions of further secret names, on top of ``api_key``, ``token``, ``password``,
            ….

    Raises:
        ValueError: if a pattern is no regular expression.

    Example:
        >>> HyperparametersCallback(redact=["team_name"])  # doctest: +ELLIPSIS
        <puffer_callbacks.callbacks.hyperparameters.HyperparametersCallback object at ...>
    """

    def __init__(self, redact: Iterable[str] = ()) -> None:
        redact = (redact,) if isinstance(redact, str) else redact
        self._redact = Redactor([*SECRET_NAMES, *redact])
        self._settings: dict[str, Setting] = {}
        self._metrics: dict[str, float | None] = {}

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Log in Lightning's place."""
        super().setup(trainer, pl_module, stage)
        for owner in (pl_module, getattr(trainer, "datamodule", None)):
            if owner is not None and getattr(owner, "_log_hyperparams", False):
                owner._log_hyperparams = False

    @guarded
    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Log the configuration."""
        settings = run_settings(trainer, pl_module)
        self._settings = {name: self._redact(name, value) for name, value in settings.items()}
        self._metrics = dict.fromkeys(_RL_METRICS if hasattr(pl_module, "env_steps") else _METRICS)
        self._write(Recorder.of(trainer), "running")

    @guarded
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Log how it ended."""
        self._write(Recorder.of(trainer), "success")

    @guarded
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Log that it failed."""
        self._write(Recorder.of(trainer), "failure")

    def _write(self, recorder: Recorder, status: str) -> None:
        metrics = {tag: recorder.latest.get(tag) for tag in self._metrics}
        recorder.record_now({"hyperparameters": Hyperparameters(self._settings, metrics, status)})


def run_settings(trainer: Any, pl_module: Any) -> dict[str, Setting]:
    """The flat configuration of a run, as it stands."""
    settings: dict[str, Setting] = {}
    for owner in (getattr(trainer, "datamodule", None), pl_module):
        settings |= flat_settings(getattr(owner, "hparams", None) or {})
    for at, optimizer in enumerate(trainer.optimizers):
        prefix = "optimizer/" if at == 0 else f"optimizer/{at}/"
        settings[f"{prefix}name"] = type(optimizer).__name__
        settings |= flat_settings(optimizer.defaults, prefix)
    known = {name: getattr(trainer, name) for name in _TRAINER if hasattr(trainer, name)}
    return settings | flat_settings(known, "trainer/")
