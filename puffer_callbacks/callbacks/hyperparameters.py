"""``HyperparametersCallback``: the configuration of a run, and how it ended."""

from collections.abc import Iterable
from typing import Any

from puffer_callbacks.callbacks.base import PufferCallback
from puffer_callbacks.callbacks.guarded import guarded
from puffer_callbacks.config.flatten import flat_settings
from puffer_callbacks.config.redact import SECRET_NAMES, Redactor
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.values import Hyperparameters, Setting
from puffer_callbacks.values.tags import as_names

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

    Nested names are joined by ``/``. What looks like a secret, by its name or by its form, is redacted, also in
    what Lightning itself logs (``hparams.yaml``), and there is no ``hp_metric`` of −1.
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

    def __init__(self, redact: str | Iterable[str] = ()) -> None:
        self._redact = Redactor([*SECRET_NAMES, *as_names(redact)])
        self._settings: dict[str, Setting] = {}
        self._metrics: dict[str, float | None] = {}
        self._replaced: list[tuple[Any, str, Any]] = []

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Have Lightning, which logs the hyperparameters next, log no secret."""
        super().setup(trainer, pl_module, stage)
        self._restore()
        self._hide_secrets(trainer, pl_module, stage)

    @guarded
    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Read the configuration: rows are written from the start of training on."""
        self._read_settings(trainer, pl_module)
        self._metrics = dict.fromkeys(_RL_METRICS if hasattr(pl_module, "env_steps") else _METRICS)

    @guarded
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Log that the run succeeded, with its final metrics."""
        self._write(Recorder.of(trainer), "success")

    @guarded
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Log that the run failed, with its last metrics."""
        self._restore()
        self._write(Recorder.of(trainer), "failure")

    def on_sanity_check_start(self, trainer: Any, pl_module: Any) -> None:
        """Restore hyperparameters that were hidden from Lightning, which has logged by now."""
        self._restore()

    @guarded
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Log the configuration, with the learning rate that a finder may have found."""
        self._restore()
        self._read_settings(trainer, pl_module)
        self._write(Recorder.of(trainer), "running")

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Leave the module, the data module and the loggers as they were."""
        self._restore()

    @guarded
    def _hide_secrets(self, trainer: Any, pl_module: Any, stage: str) -> None:
        owner: Any
        for owner in (pl_module, getattr(trainer, "datamodule", None)):
            initial = getattr(owner, "_hparams_initial", None)
            if initial:
                self._replace(owner, "_hparams_initial", {})  # rather none than a secret, if the next line fails
                owner._hparams_initial = self._redact.redact_all(initial)
        for logger in trainer.loggers if stage == "fit" else ():
            if getattr(logger, "_default_hp_metric", False):  # TensorBoard's: −1 for ever
                self._replace(logger, "_default_hp_metric", False)

    def _read_settings(self, trainer: Any, pl_module: Any) -> None:
        settings = run_settings(trainer, pl_module)
        settings.pop("_instantiator", None)  # a note of Lightning's command line to itself
        self._settings = {name: self._redact(name, value) for name, value in settings.items()}

    def _replace(self, owner: Any, name: str, value: Any) -> None:
        self._replaced.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def _restore(self) -> None:
        while self._replaced:
            owner, name, value = self._replaced.pop()
            setattr(owner, name, value)

    def _write(self, recorder: Recorder, status: str) -> None:
        metrics = {tag: recorder.latest.get(tag) for tag in self._metrics}
        recorder.record_now({"hyperparameters": Hyperparameters(self._settings, metrics, status)})


def run_settings(trainer: Any, pl_module: Any) -> dict[str, Setting]:
    """The flat configuration of a run; of optimizers as the run began with them."""
    settings: dict[str, Setting] = {}
    for owner in (getattr(trainer, "datamodule", None), pl_module):
        if not hasattr(owner, "_hparams_initial") or getattr(owner, "_log_hyperparams", True):
            settings |= flat_settings(getattr(owner, "hparams", None) or {})  # else save_hyperparameters(logger=False)
    run = Recorder.of(trainer).run
    has_begun = bool(run.counters.optimizer_steps or trainer.global_step)
    for at, groups in enumerate(run.configured.read(trainer.optimizers, has_begun=has_begun)):
        prefix = "optimizer/" if at == 0 else f"optimizer/{at}/"
        settings[f"{prefix}name"] = type(trainer.optimizers[at]).__name__
        settings |= _optimizer_settings(groups, prefix)
    names = _TRAINER if hasattr(trainer, "strategy") else ("world_size",)  # other trainers have settings of their own
    of_trainer = {name: getattr(trainer, name) for name in names if hasattr(trainer, name)}
    return settings | flat_settings(of_trainer, "trainer/")


def _optimizer_settings(groups: list[dict[str, Setting]], prefix: str) -> dict[str, Setting]:
    """What the first parameter group is trained with, and what other groups have instead."""
    first, *others = groups
    settings = {f"{prefix}{name}": value for name, value in first.items()}
    for at, group in enumerate(others, start=1):
        own = {name: value for name, value in group.items() if value != first.get(name)}
        settings |= {f"{prefix}group_{at}/{name}": value for name, value in own.items()}
    return settings
