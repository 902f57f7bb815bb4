"""``HealthCallback``: the diagnosis of a run while it trains."""

import sys
from collections.abc import Mapping
from typing import Any, Literal

from tqdm import tqdm

from puffer_callbacks.callbacks.base import PufferCallback
from puffer_callbacks.callbacks.flight_recorder import FlightRecorder, log_folder, nonfinite_tag, rollout_fields
from puffer_callbacks.callbacks.guarded import guarded, guarded_state
from puffer_callbacks.callbacks.rollout_looks import RolloutLooks
from puffer_callbacks.callbacks.run_facts import as_scalars, facts_of_run, with_action_space
from puffer_callbacks.faults import format_error
from puffer_callbacks.health import Diagnosis, Finding, Severity, selected_rules
from puffer_callbacks.health.look_schedule import is_check_due
from puffer_callbacks.health.monitor import Monitor
from puffer_callbacks.health.panel import panel
from puffer_callbacks.health.tracker import Change
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.schedule import Every, check_counts, check_flags
from puffer_callbacks.values import Alert
from puffer_callbacks.values.nonfinite import nonfinite_names
from puffer_callbacks.values.terminal import terminal_width


class HealthCallback(PufferCallback):
    """Diagnoses a run: what is wrong, with likely causes and what to change (see ``puffer_callbacks.health``).

    Statistics of rollouts and updates are logged as ``diagnostics/…``, and rules judge them together with all other
    series of the run. What a critic with a target network learns is judged where a step's batch is a mapping with its
    ``values``, ``returns`` (their targets), ``rewards`` (as in these) and ``terminated``, [B] each. A finding is
    printed once, and its end once. It is logged as the text ``health/<rule>/finding``, which W&B notifies of;
    ``health/<rule>`` is 1 while it lasts and 0 after, and ``health/findings`` counts those that last.

    When values become NaN or infinite, the batch and the state before the update (before an earlier one where the
    budget is exceeded) are saved in ``flight_recorder/nonfinite_step_<step>.pt`` beside the logs, once in a run.

    With several ranks rank 0 judges by its own rollouts, and the policy is not evaluated.

    Args:
        stop_on: ``"critical"`` or ``"warning"``, which ends training with the first finding of this severity or a
            graver one, once the trainer's ``min_epochs`` and ``min_steps`` allow it; ``None`` never does.
        rules: rule to ``False`` to switch it off.
        thresholds: rule to the threshold in place of its own, for those that have one.
        every_n_rollouts: at most every n-th one is looked at (see ``puffer_callbacks.health.look_schedule``).
        flight_recorder: whether to save what is needed to reproduce an update with NaN.
        max_bytes: of the file that is saved, and of the copy of the state in memory.

    Raises:
        ValueError: if a rule is unknown or has no threshold, a number is below 1, or ``stop_on`` is another word.

    Example:
        >>> HealthCallback(stop_on="critical", rules={"gamma_low": False}, thresholds={"kl_large": 20}).findings
        []
    """

    expensive = True
    interval_unit = "rollouts"
    reads_every_step = True

    def __init__(
        self,
        *,
        stop_on: Literal["warning", "critical"] | None = None,
        rules: Mapping[str, bool] | None = None,
        thresholds: Mapping[str, float] | None = None,
        every_n_rollouts: int = 1,
        flight_recorder: bool = True,
        max_bytes: int = 64 * 2**20,
    ) -> None:
        if stop_on not in (None, "warning", "critical"):
            raise ValueError(f"stop_on: expected 'warning', 'critical' or None, got {stop_on!r}")
        check_counts(max_bytes=max_bytes)
        check_flags(flight_recorder=flight_recorder)
        self.stop_on, self.every_n_rollouts, self._every = stop_on, every_n_rollouts, Every(every_n_rollouts)
        self._rules, self._thresholds = selected_rules(rules or {}, thresholds or {}), dict(thresholds or {})
        self._max_bytes = max_bytes if flight_recorder else 0
        HealthCallback.reset(self, None)  # not that of a subclass, which may read the trainer

    def reset(self, trainer: Any) -> None:
        """Forget earlier runs."""
        self._monitor, self._looks = Monitor(rules=self._rules, thresholds=self._thresholds), RolloutLooks(self._every)
        self._flight = FlightRecorder(max_bytes=self._max_bytes)
        self._may_save = self._max_bytes > 0
        self._has_action_space = self._loss_is_nonfinite = False
        self._run: Any = None

    @property
    def findings(self) -> list[Finding]:
        """Every trouble of the run so far, those that have ended included; the gravest first."""
        return self._monitor.findings

    @property
    def diagnosis(self) -> Diagnosis:
        """The latest verdict: findings, the rules that could be judged, and the others with the reason."""
        return self._monitor.diagnosis

    @property
    def next_step(self) -> int:
        """The training step whose loss is not finite, none otherwise."""
        return 0 if self._loss_is_nonfinite else sys.maxsize

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Judge by every row of the fit."""
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            Recorder.of(trainer).run.add_listener(self._monitor)

    @guarded
    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Read the facts of the run."""
        self._monitor.facts, self._has_action_space = facts_of_run(trainer, pl_module), False
        self._looks.max_episode_steps = self._monitor.facts.max_episode_steps
        self._run = Recorder.of(trainer).run if trainer.is_global_zero else None

    def update(self, outputs: object, learning_rates: Mapping[str, Any], *, loss_scale: int = 1) -> bool:
        """Check the loss of a training step, and follow an update. The recorder calls it at every step."""
        if self._run is None or self._run.steps is None:  # on other ranks
            return False
        self._loss_is_nonfinite |= self._may_save and self._flight.add_loss(outputs)
        if self._looks.is_following:
            self._looks.add_step(outputs, self._run.steps.batch, updates=self._run.counters.optimizer_steps)
        return self._loss_is_nonfinite

    @guarded
    def on_step(self, trainer: Any, pl_module: Any, metrics: Any) -> None:
        """Save the batch of a step whose loss is not finite."""
        if self._loss_is_nonfinite:
            self._loss_is_nonfinite, batch = False, self._run.steps.batch
            names = nonfinite_names(batch) if isinstance(batch, Mapping) else []
            self._save(trainer, names or ["loss"], metrics=dict(metrics), batch=batch)

    @guarded
    def on_rollout_end(self, trainer: Any, pl_module: Any, rollout: Rollout) -> None:
        """Look at the rollout and the update before it where it is time, and judge the run."""
        if not trainer.is_global_zero:
            return
        recorder = Recorder.of(trainer)
        if not self._has_action_space:
            self._has_action_space = True
            self._monitor.facts = with_action_space(self._monitor.facts, rollout)
            recorder.record(self._monitor.unseen(as_scalars(self._monitor.facts)))
        if self._may_save:
            self._check(trainer, pl_module, rollout)
        # a forward pass may need every rank
        recorder.record(self._looks.add_rollout(rollout, pl_module, evaluates_policy=trainer.world_size == 1))
        if self._looks.verdict_is_due or (is_check_due(self._looks.rollouts) and self._monitor.finds_anew()):
            self._judge(trainer)

    @guarded
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Stop on every rank where rank 0 stops."""
        if trainer.world_size > 1 and self.stop_on is not None:
            trainer.should_stop = trainer.strategy.reduce_boolean_decision(trainer.should_stop, all=False)

    @guarded
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Judge the whole run."""
        self._judge_at_end(trainer)

    @guarded
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Judge the run that the exception ended."""
        self._judge_at_end(trainer, error=format_error(exception))

    @guarded_state
    def state_dict(self) -> dict[str, Any]:
        """The series so far, the troubles, and the rollouts: how many, and what the last are known by."""
        return {"monitor": self._monitor.state_dict(), "looks": self._looks.state_dict()}

    @guarded_state
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self._monitor.load_state_dict(state_dict["monitor"])
        self._looks.load_state_dict(state_dict["looks"])

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_run": None}

    def _judge_at_end(self, trainer: Any, *, error: str | None = None) -> None:
        self._monitor.end(*Recorder.of(trainer).run.open_row, error=error)
        self._judge(trainer)

    def _judge(self, trainer: Any) -> None:
        """Judge the run so far, and report what is new."""
        if not trainer.is_global_zero:
            return
        changes, recorder = self._monitor.judge(), Recorder.of(trainer)
        recorder.record(self._monitor.scalars())
        for change in changes:
            self._report(change, recorder)
        if self.stop_on is not None and self._monitor.has(self.stop_on):
            trainer.should_stop = True

    def _report(self, change: Change, recorder: Recorder) -> None:
        finding, ended = change.finding, change.kind == "ends"
        saved = self._flight.saved if finding.rule == "nonfinite_values" else None
        note = "" if saved is None else f"\nThe data and the state before the update are in {saved}"
        tqdm.write(panel(finding, ended=ended, width=terminal_width()) + note, file=sys.stderr)  # above the bar
        severity: Severity = "info" if ended else finding.severity
        title, text = f"{finding.rule} {change.kind} at step {finding.first_step}", panel(finding, ended=ended) + note
        recorder.record({f"health/{finding.rule}/finding": Alert(text, title=title, severity=severity)})

    def _check(self, trainer: Any, pl_module: Any, rollout: Rollout) -> None:
        """Look for NaN in the rollout, and keep the state before the update that follows."""
        if names := self._flight.check(rollout):
            self._save(trainer, names, rollout=rollout_fields(rollout))
        elif self._looks.rollouts % self._every.multiplier == 0 or not self._flight.has_state:
            self._flight.copy_state(pl_module, trainer.optimizers)

    def _save(self, trainer: Any, names: list[str], **parts: Any) -> None:
        """Save what is needed to reproduce the update, once in a run, and judge at once."""
        recorder, folder, self._may_save = Recorder.of(trainer), log_folder(trainer), False
        with recorder.guard("HealthCallback, flight recorder"):  # a full disk costs no verdict
            if folder is not None:
                self._flight.save(folder / "flight_recorder", step=recorder.run.x, nonfinite=names, **parts)
        self._monitor.log_values({nonfinite_tag(name): 1.0 for name in names}, recorder.run.x)
        self._judge(trainer)
