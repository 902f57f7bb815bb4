"""HealthCallback in real fits."""

import copy
import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from puffer_callbacks import (
    HealthCallback,
    MemoryLogger,
    MetricsCallback,
    PufferCallback,
    Recorder,
    Rollout,
    default_callbacks,
)
from puffer_callbacks.adapters import Loop
from puffer_callbacks.callbacks.flight_recorder import FlightRecorder
from puffer_callbacks.faults import PufferWarning
from puffer_callbacks.ppo import PPO
from puffer_callbacks.runs import diagnose_run, read_run
from puffer_callbacks.values import Alert
from tests.support.accelerator import Accelerator
from tests.support.models import Supervised, losses, random_rollout
from tests.support.reading import accumulator
from tests.support.regression import Regression

SMALL = {"num_envs": 4, "num_steps": 64, "batch_size": 64}


class FailsAt(PPO):
    """Its loss becomes NaN once so many environment steps are made."""

    at = 2048

    def training_step(self, batch, batch_idx):
        metrics = super().training_step(batch, batch_idx)
        if self.env_steps >= self.at:
            metrics["loss"] = metrics["loss"] * math.nan
        return metrics


class BlindEye(PPO):
    """One observation of the first rollout is NaN."""

    def evaluate(self, trajectories):
        rollout = super().evaluate(trajectories)
        if self.env_steps <= 256:
            observations = rollout.observations.clone()
            observations[3, 1, 2] = math.nan
            rollout = dataclasses.replace(rollout, observations=observations)
        return rollout


def fit(quiet_trainer, module, health, **arguments):
    trainer = quiet_trainer(max_epochs=-1, callbacks=default_callbacks(health=health, metrics=4), **arguments)
    trainer.fit(module)
    return trainer


def series(logger, tag):
    return [value for _, value in logger.series(tag)]


def test_a_sound_run_has_no_alarm(quiet_trainer, memory_logger, capsys):
    health = HealthCallback(stop_on="warning")
    module = PPO("CartPole-v1", total_timesteps=16_384, **SMALL)
    fit(quiet_trainer, module, health, logger=memory_logger)
    assert [finding for finding in health.findings if finding.severity != "info"] == []
    assert module.env_steps == 16_384
    assert len(health.diagnosis.judged) > 30
    assert {"ratio_not_one", "weights_unchanged", "done_mask"} <= set(health.diagnosis.judged)
    assert "WARNING" not in capsys.readouterr().err
    assert set(series(memory_logger, "diagnostics/first_kl")) == {0.0}
    assert series(memory_logger, "diagnostics/num_actions") == [2.0]


def test_a_learning_rate_of_0_is_found_reported_once_and_ends_the_run(quiet_trainer, memory_logger, capsys):
    health = HealthCallback(stop_on="critical")
    module = PPO("CartPole-v1", total_timesteps=16_384, learning_rate=1e-12, anneal_lr=False, **SMALL)
    module.configure_optimizers = lambda: torch.optim.SGD(module.policy.parameters(), lr=0.0)
    fit(quiet_trainer, module, health, logger=memory_logger)
    assert module.env_steps < 16_384
    (finding,) = health.findings
    assert "the learning rate is 0" in finding.causes
    assert capsys.readouterr().err.count(f"CRITICAL {finding.rule}") == 1
    assert series(memory_logger, f"health/{finding.rule}")[0] == 1.0
    alerts = series(memory_logger, f"health/{finding.rule}/finding")
    assert [type(alert) for alert in alerts] == [Alert]
    assert alerts[0].severity == "critical"
    assert health.findings[0].causes[0] in alerts[0].text.replace("\n          ", " ")


def test_rules_can_be_switched_off(quiet_trainer, memory_logger):
    module = PPO("CartPole-v1", total_timesteps=4096, gamma=0.45, **SMALL)
    on, off = HealthCallback(), HealthCallback(rules={"gamma_low": False})
    fit(quiet_trainer, module, on, logger=memory_logger)
    assert "gamma_low" in {finding.rule for finding in on.findings}
    fit(quiet_trainer, PPO("CartPole-v1", total_timesteps=4096, gamma=0.45, **SMALL), off)
    assert "gamma_low" not in {finding.rule for finding in off.findings}
    assert "gamma_low" not in off.diagnosis.judged


def test_a_threshold_moves_the_verdict(quiet_trainer):
    lenient = HealthCallback(thresholds={"gamma_low": 1.5})
    fit(quiet_trainer, PPO("CartPole-v1", total_timesteps=4096, gamma=0.45, **SMALL), lenient)
    assert "gamma_low" not in {finding.rule for finding in lenient.findings}
    assert "gamma_low" in lenient.diagnosis.judged


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rules": {"kl_lrge": False}}, "rules: expected one of kl_large.*, got 'kl_lrge'"),
        ({"thresholds": {"kl_zero": 1.0}}, "thresholds: expected one of .*, got 'kl_zero'"),
        (
            {"rules": ["gamma_low"]},
            r"rules: expected a mapping of .* to True or False, got \['gamma_low'\]",
        ),
        ({"rules": {"gamma_low": "no"}}, r"rules\['gamma_low'\]: expected True or False, got 'no'"),
        ({"thresholds": {"kl_large": "20"}}, r"thresholds\['kl_large'\]: expected a number, got '20'"),
        ({"stop_on": "info"}, "stop_on: expected 'warning', 'critical' or None, got 'info'"),
        ({"every_n_rollouts": 0}, "at least 1, got 0"),
        ({"max_bytes": 0}, "max_bytes: expected an integer of at least 1, got 0"),
    ],
)
def test_bad_options_are_one_clear_line(options, message):
    with pytest.raises(ValueError, match=message):
        HealthCallback(**options)


def test_a_run_is_stopped_as_soon_as_lightning_s_min_steps_allow_it(quiet_trainer):
    health = HealthCallback(stop_on="critical")
    module = FailsAt("CartPole-v1", total_timesteps=16_384, **SMALL)
    trainer = fit(quiet_trainer, module, health, logger=False, min_steps=200)
    assert health.findings[0].first_step == FailsAt.at  # long before
    assert trainer.global_step == 200


def test_supervised_training_has_no_alarm(quiet_trainer, memory_logger):
    health = HealthCallback(stop_on="warning")
    callbacks = default_callbacks(health=health, metrics=4, gradients=4)
    trainer = quiet_trainer(max_steps=200, logger=memory_logger, callbacks=callbacks)
    trainer.fit(Regression(steps=200))
    assert health.findings == []
    assert series(memory_logger, "health/findings") == [0.0]
    assert {"nonfinite_values", "value_explodes", "gradient_explodes"} <= set(health.diagnosis.judged)
    assert "ratio_not_one" in health.diagnosis.not_judged
    assert trainer.global_step == 200


def test_a_learning_rate_of_zero_late_in_a_run_stops_it_within_a_few_rollouts(quiet_trainer):
    """Verdicts come at rollouts 8, 16, 32 and 64 by then."""

    class Late(PPO):
        def on_train_epoch_start(self):
            super().on_train_epoch_start()
            if self.env_steps > 34 * 64:
                self.trainer.optimizers[0].param_groups[0]["lr"], self._learning_rate = 0.0, torch.zeros(())

    module = Late("CartPole-v1", total_timesteps=64 * 64, num_envs=4, num_steps=16, batch_size=32, update_epochs=2)
    health = HealthCallback(stop_on="critical")
    fit(quiet_trainer, module, health)
    assert [finding.rule for finding in health.findings if finding.severity == "critical"] == ["learning_rate_zero"]
    assert module.env_steps <= 48 * 64


def test_a_loss_of_nan_stops_at_its_step_and_leaves_what_reproduces_it(quiet_trainer, tmp_path, capsys):
    health, logger = HealthCallback(stop_on="critical"), TensorBoardLogger(tmp_path, name="", version="")
    module = FailsAt("CartPole-v1", total_timesteps=16_384, **SMALL)
    fit(quiet_trainer, module, health, logger=logger)
    assert module.env_steps == FailsAt.at
    (finding,) = health.findings
    assert (finding.rule, finding.first_step) == ("nonfinite_values", FailsAt.at)
    assert "nonfinite/train/loss" in finding.message
    (path,) = (tmp_path / "flight_recorder").iterdir()
    assert str(path) in capsys.readouterr().err
    saved = torch.load(path)
    assert saved["step"] == FailsAt.at
    assert saved["left_out"] == []
    again = FailsAt("CartPole-v1", total_timesteps=16_384, **SMALL)
    again.load_state_dict(saved["module"])  # as it was before the update, and so without NaN
    again.env_steps = saved["step"]
    assert all(parameter.isfinite().all() for parameter in again.parameters())
    assert again.training_step(saved["batch"], 0)["loss"].isnan()
    optimizer = again.configure_optimizers()
    optimizer.load_state_dict(saved["optimizers"][0])


def test_the_file_lies_beside_logs_below_the_home_folder(quiet_trainer, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    health = HealthCallback(stop_on="critical")
    module = FailsAt("CartPole-v1", total_timesteps=16_384, **SMALL)
    fit(quiet_trainer, module, health, logger=CSVLogger("~/runs", name="", version=""))
    assert {path.name for path in (tmp_path / "runs").iterdir()} >= {"flight_recorder", "metrics.csv"}
    assert not (tmp_path / "~").exists()


def test_above_the_budget_the_state_is_copied_at_fewer_rollouts(quiet_trainer, monkeypatch):
    class Widened(HealthCallback):
        def on_train_start(self, trainer, pl_module):
            self._every.multiplier = 3

    copied, copy_state = [], FlightRecorder.copy_state
    monkeypatch.setattr(
        FlightRecorder, "copy_state", lambda *given: (copied.append(module.env_steps), copy_state(*given))
    )
    module = PPO("CartPole-v1", total_timesteps=8 * 256, **SMALL)
    fit(quiet_trainer, module, Widened(), logger=False)
    assert copied == [256 * (1 + rollout) for rollout in (0, 3, 6)]


def test_nan_in_one_observation_is_named(quiet_trainer, tmp_path):
    health = HealthCallback(stop_on="critical")
    fit(quiet_trainer, BlindEye("CartPole-v1", total_timesteps=4096, **SMALL), health,
        logger=TensorBoardLogger(tmp_path, name="", version=""))  # fmt: skip
    finding = health.findings[0]
    assert finding.rule == "nonfinite_values"
    assert finding.causes[0] == "the environment returned an observation that is NaN or infinite"
    (path,) = (tmp_path / "flight_recorder").iterdir()
    assert torch.load(path)["nonfinite"] == ["observations"]


def test_an_exception_about_nan_is_judged(quiet_trainer):
    class Raises(PPO):
        def training_step(self, batch, batch_idx):
            if self.env_steps > 1024:
                raise ValueError("expected a finite loss, got nan")
            return super().training_step(batch, batch_idx)

    health = HealthCallback()
    with pytest.raises(ValueError, match="got nan"):
        fit(quiet_trainer, Raises("CartPole-v1", total_timesteps=4096, **SMALL), health)
    assert "got nan" in health.findings[0].message


def test_the_last_row_is_judged_too(quiet_trainer):
    health = HealthCallback(flight_recorder=False)
    trainer = quiet_trainer(callbacks=[MetricsCallback(50), health])
    trainer.fit(Supervised(losses(1.0, 2.0, math.nan)))
    assert [finding.rule for finding in health.findings] == ["nonfinite_values"]


def test_the_log_is_judged_as_the_run_was(quiet_trainer, tmp_path):
    health, logger = HealthCallback(), TensorBoardLogger(tmp_path, name="", version="")
    fit(quiet_trainer, PPO("CartPole-v1", total_timesteps=8192, gamma=0.45, **SMALL), health, logger=logger)
    read = diagnose_run(read_run(tmp_path))
    assert {f.rule for f in read.findings} == {f.rule for f in health.diagnosis.findings} >= {"gamma_low"}
    assert set(read.judged) == set(health.diagnosis.judged)
    texts = [tag for tag in accumulator(tmp_path).Tags()["tensors"] if tag.startswith("health/")]
    assert "health/gamma_low/finding/text_summary" in texts


def test_training_is_the_same_with_it(quiet_trainer):
    trained = []
    for callbacks in ([], [HealthCallback()]):
        module = PPO("CartPole-v1", total_timesteps=2048, **SMALL)
        quiet_trainer(max_epochs=-1, callbacks=callbacks).fit(module)
        trained.append(torch.cat([parameter.detach().flatten() for parameter in module.parameters()]))
    assert torch.equal(*trained)


def test_a_checkpoint_carries_what_was_found(quiet_trainer, tmp_path):
    health = HealthCallback()
    trainer = fit(quiet_trainer, PPO("CartPole-v1", total_timesteps=4096, gamma=0.45, **SMALL), health)
    state = torch.load(_saved(trainer, tmp_path), weights_only=False)["callbacks"][health.state_key]
    other = HealthCallback()
    other.load_state_dict(state)
    assert [f.rule for f in other.findings] == [f.rule for f in health.findings]
    assert other.findings[0] == health.findings[0]
    assert other._monitor.judge() == []  # what was reported is not reported again


def _saved(trainer, tmp_path):
    path = tmp_path / "health.ckpt"
    trainer.save_checkpoint(path)
    return path


def test_it_sees_what_others_log(quiet_trainer):
    class Constant(PufferCallback):
        def on_rollout_end(self, trainer, pl_module, rollout):
            from puffer_callbacks import log

            log(trainer, {"train/learning_rate": 0.0})

    health = HealthCallback()
    module = PPO("CartPole-v1", total_timesteps=4096, **SMALL)
    quiet_trainer(max_epochs=-1, callbacks=[Constant(), health]).fit(module)
    assert "learning_rate_zero" in {finding.rule for finding in health.findings}


def test_the_flight_recorder_keeps_to_its_size(tmp_path):
    recorder = FlightRecorder(max_bytes=1000)
    recorder.copy_state(torch.nn.Linear(100, 100), [])
    path = recorder.save(tmp_path, step=1, batch=torch.zeros(100), rollout=torch.zeros(1000))
    saved = torch.load(path)
    assert saved["left_out"] == ["rollout"]
    assert "module" not in saved and len(saved["batch"]) == 100


def test_losses_on_a_device_are_checked_together():
    """Losses that are no CPU tensors wait for the rollout's end; meta tensors stand for those of a device here."""
    recorder = FlightRecorder()
    assert recorder.add_loss({"loss": torch.tensor(1.0, device="meta")}) is False
    assert recorder.add_loss({"loss": torch.tensor(math.inf)}) is True
    assert recorder.add_loss({"loss": torch.ones(1, device="meta")}) is False  # [1] is a scalar as well
    assert recorder.add_loss(None) is False
    assert torch.stack(recorder._losses).shape == (2,)


def test_a_loss_on_a_device_whose_memory_is_used_again_is_checked_as_it_was():
    """As the outputs of a CUDA graph are."""
    recorder = FlightRecorder()
    with Accelerator() as accelerator:
        loss = accelerator.put(torch.zeros(()))
        for number in (0.5, math.nan, 0.5):
            assert not recorder.add_loss({"loss": loss.fill_(number)})
        assert recorder.check(Rollout()) == ["loss"]


def test_the_panel_is_readable(quiet_trainer, capsys):
    fit(quiet_trainer, PPO("CartPole-v1", total_timesteps=4096, gamma=0.45, **SMALL), HealthCallback())
    printed = capsys.readouterr().err
    panel = re.search(r"-+ WARNING gamma_low --\n(.*?)\n-{80}\n", printed, re.DOTALL)
    assert panel is not None
    assert all(len(line) <= 80 for line in panel[1].splitlines())
    assert "cause:" in panel[1] and "remedy:" in panel[1]


def test_a_loss_without_rollouts_is_checked_too(quiet_trainer, tmp_path):
    module = Supervised(losses(0.5, 0.25, float("nan")))
    health = HealthCallback()
    quiet_trainer(logger=CSVLogger(tmp_path), callbacks=[health]).fit(module)
    assert [finding.rule for finding in health.findings] == ["nonfinite_values"]
    (saved,) = tmp_path.rglob("nonfinite_step_3.pt")
    assert torch.load(saved, weights_only=False)["nonfinite"] == ["loss"]


def test_a_full_disk_costs_the_file_but_no_verdict(quiet_trainer, tmp_path, monkeypatch, capsys):
    def full(path, content):
        written = write_bytes(path, content if path.suffix != ".pt" else b"torn")
        if path.suffix == ".pt":
            raise OSError(28, "No space left on device")
        return written

    write_bytes = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", full)
    health, module = HealthCallback(stop_on="critical"), Supervised(losses(0.5, math.nan, 0.5, 0.5))
    trainer = quiet_trainer(logger=CSVLogger(tmp_path), callbacks=[health])
    with pytest.warns(PufferWarning, match="flight recorder: left out after OSError.*No space left"):
        trainer.fit(module)
    assert [(finding.rule, finding.first_step) for finding in health.findings] == [("nonfinite_values", 2)]
    assert module.step == 2
    printed = capsys.readouterr().err
    assert "nonfinite_values" in printed and "nonfinite_step_2.pt" not in printed
    assert not list(tmp_path.rglob("nonfinite_step_*"))


def test_a_file_that_does_not_fit_on_the_disk_is_none(tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            FlightRecorder().save(tmp_path, step=1, batch=torch.zeros(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [float, np.float32, np.array])
def test_a_loss_that_a_loop_gives_as_a_number_is_checked(tmp_path, kind):
    net, health = torch.nn.Linear(1, 1), HealthCallback()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    loop = Loop(CSVLogger(tmp_path), [health])
    loop.fit_start(net, {})
    for loss in (0.5, 0.25, math.inf, 0.5):
        net(torch.ones(1, 1)).sum().backward()
        optimizer.step()
        loop.step({"loss": kind(loss)})
    loop.close()
    assert [(finding.rule, finding.first_step) for finding in health.findings] == [("nonfinite_values", 3)]
    (saved,) = tmp_path.rglob("nonfinite_step_3.pt")
    assert torch.load(saved, weights_only=False)["nonfinite"] == ["loss"]


def looped(since, until, state=None, *, same_data=False, save_at=None):
    """The life of an annealed loop from one step to another: its logger, its callback, and a checkpoint of it."""
    torch.manual_seed(0)
    net, logger, health = torch.nn.Linear(4, 2), MemoryLogger(), HealthCallback(flight_recorder=False)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda at: max(1 - at / 70, 0.02))
    loop = Loop(logger, [Recorder(overhead_budget=1.0), MetricsCallback(1), health])
    if state is not None:
        for part, of_part in zip((net, optimizer, schedule, loop), state, strict=True):
            part.load_state_dict(of_part)
    env_steps, saved = 16 * since, None
    loop.fit_start(net, {"gamma": 0.99}, env_steps=lambda: env_steps)
    for at in range(since, until):
        rollout = random_rollout(at % 2 if same_data else at, env_steps)
        env_steps = rollout.env_steps
        loop.rollout_end(rollout)
        optimizer.zero_grad()
        (net(rollout.observations.flatten(0, 1)) - 1).square().mean().backward()
        optimizer.step()
        schedule.step()
        loop.step({"policy_loss": 1.0})
        if at + 1 == save_at:
            saved = copy.deepcopy([part.state_dict() for part in (net, optimizer, schedule, loop)])
    loop.close()
    return logger, health, saved


def test_a_schedule_that_was_resumed_is_no_other_than_configured(capsys):
    _, _, state = looped(0, 63, save_at=63)
    _, whole, _ = looped(0, 64)
    _, resumed, _ = looped(63, 64, state)
    assert not [f.rule for each in (whole, resumed) for f in each.findings if f.rule == "schedule_not_applied"]


@pytest.mark.parametrize("checkpoint", [8, 32])
def test_a_rollout_that_came_before_the_checkpoint_is_known_after_it(capsys, checkpoint):
    tag = "diagnostics/repeated_rollout"
    _, _, state = looped(0, checkpoint, same_data=True, save_at=checkpoint)
    whole, _, _ = looped(0, 64, same_data=True)
    resumed, _, _ = looped(checkpoint, 64, state, same_data=True)
    after = [point for point in resumed.series(tag) if point[0] > 16 * checkpoint]
    assert after == [point for point in whole.series(tag) if point[0] > 16 * checkpoint]
    assert after[0][1] == 1.0


def test_a_checkpoint_of_an_earlier_version_is_loaded(capsys):
    _, _, state = looped(0, 8, save_at=8)
    of_loop = state[-1]["callbacks"] if "callbacks" in state[-1] else state[-1]
    for key, of_callback in of_loop.items():
        if key.startswith("Recorder"):
            del of_callback["configured"]
        if key.startswith("HealthCallback"):
            del of_callback["looks"]["seen"]
    logger, _, _ = looped(8, 20, state)
    assert logger.series("diagnostics/repeated_rollout")
