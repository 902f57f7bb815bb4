"""``puffer-callbacks train``, as a person types it."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from puffer_callbacks.cli import main
from puffer_callbacks.cli.summary import _findings
from puffer_callbacks.cli.training_run import histogram_interval
from puffer_callbacks.ppo import PPO
from puffer_callbacks.writers.wandb.run_file import read_history
from tests.ppo.environments import Counter, registered

SHORT = ["--total-timesteps", "2048", "--num-envs", "4", "--num-steps", "64", "--batch-size", "64"]


def history(run: Path) -> list[dict[str, str]]:
    """The rows of an offline run, once W&B's service has closed its file."""
    import wandb

    wandb.teardown()
    return list(read_history(run))


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0}).Reload()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_tensorboard_is_the_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--env", "CartPole", "--log-dir", "./runs/exp1", *SHORT]) == 0
    logged = events(tmp_path / "runs" / "exp1")
    assert [event.step for event in logged.Scalars("train/reward")] == list(range(256, 2049, 256))
    shown = capsys.readouterr()
    assert re.search(r"Mean return of the last \d+ episodes: \d", shown.out)
    assert "tensorboard --logdir runs/exp1" in shown.out
    assert "return=" in shown.err and "steps/s" in shown.err and "100%" in shown.err
    assert not (tmp_path / "wandb").exists()


def test_each_line_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--log-dir", "runs", "--wandb", *SHORT]) == 0
    shown = capsys.readouterr()
    lines = [line for line in (shown.out + shown.err).splitlines() if line.strip()]
    assert len(lines) == len(set(lines)) and "WARNING" not in shown.err and "anonymous" not in shown.err


def test_wandb_alone_runs_offline_and_reports_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--env", "CartPole", "--wandb", "--wandb-project", "myproject", *SHORT]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "W&B: offline (no API key)" in lines
    (send,) = [line for line in lines if "wandb sync " in line]
    (run,) = Path(send.rpartition("wandb sync ")[2]).glob("*.wandb")
    assert [int(row["time/env_steps"]) for row in history(run) if "train/reward" in row][-1] == 2048
    assert not list(tmp_path.rglob("*tfevents*"))
    for purpose, made in (("Report:", "Report: "), ("Diagnosis:", "2,048 env steps")):
        (command,) = [line.split()[2:] for line in lines if line.startswith(purpose)]
        assert main(command) == 0
        assert made in capsys.readouterr().out


def test_both(tmp_path: Path) -> None:
    assert main(["train", "--env", "CartPole", "--log-dir", "./runs/exp1", "--wandb", *SHORT]) == 0
    assert events(tmp_path / "runs" / "exp1").Scalars("train/reward")
    (run,) = (tmp_path / "runs" / "exp1" / "wandb").glob("offline-run-*/*.wandb")
    assert history(run)


def test_a_second_run_is_announced_and_beside_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert main(["train", "--log-dir", "runs", *SHORT]) == 0
    assert [len(list((tmp_path / name).rglob("*tfevents*"))) for name in ("runs", "runs_2")] == [1, 1]
    announced = (
        "runs holds a run already; this one is beside it.\nTraining PPO on CartPole-v1 for 2,048 env steps in runs_2"
    )
    assert announced in capsys.readouterr().out


def test_the_weights_depend_on_the_seed_and_not_on_the_cores(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert main(["train", "--log-dir", f"of_{threads}", *SHORT, "--total-timesteps", "256"]) == 0
    finally:
        torch.set_num_threads(before)
    one, two = (torch.load(tmp_path / f"of_{threads}/checkpoints/last.ckpt")["state_dict"] for threads in (1, 2))
    assert all(value.equal(two[name]) for name, value in one.items())


def test_a_small_return_keeps_its_digits(capsys: pytest.CaptureFixture[str]) -> None:
    class Sparse(Counter):
        def step(self, action):
            observation, _, *rest = super().step(action)
            return observation, 0.001, *rest

    with registered("Sparse-v0", Sparse, kwargs={"length": 4}):
        assert main(["train", "--env", "Sparse", "--log-dir", "runs", *SHORT]) == 0
    shown = capsys.readouterr()
    assert "0.00400 ┤" in shown.out and "Mean return of the last 100 episodes: 0.00400\n" in shown.out
    assert "return=0.00400" in shown.err


def test_a_folder_with_spaces_is_quoted_in_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--log-dir", "my runs", *SHORT]) == 0
    assert "tensorboard --logdir 'my runs'\n" in capsys.readouterr().out


def test_a_short_run_has_histograms_over_time(tmp_path: Path) -> None:
    assert main(["train", "--log-dir", "runs", *SHORT]) == 0
    logged = events(tmp_path / "runs")
    weights = next(tag for tag in logged.Tags()["histograms"] if tag.startswith("weights/"))
    assert len(logged.Histograms(weights)) >= 8  # one for each of the rollouts: x is env steps
    for steps, interval in ((2048, 4), (200_000, 104), (10_000_000, 1000)):
        small = {"num_envs": 4, "num_steps": 64, "batch_size": 64} if steps == 2048 else {}
        assert histogram_interval(PPO("CartPole", total_timesteps=steps, **small)) == interval


def test_findings_are_listed_where_a_callback_diagnoses() -> None:
    finding = SimpleNamespace(severity="critical", message="the entropy is 0")
    run = SimpleNamespace(trainer=SimpleNamespace(callbacks=[SimpleNamespace(findings=[finding])]))
    assert list(_findings(run)) == ["Findings: 1", "  critical: the entropy is 0"]
    run.trainer.callbacks[0].findings = []
    assert list(_findings(run)) == ["Findings: none"]
    run.trainer.callbacks = [object()]
    assert list(_findings(run)) == []


def test_resumes_where_it_was_in_the_same_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--hidden-sizes", "32,32", "--learning-rate", "0.001"]
    assert main(["train", "--env", "Acrobot", "--log-dir", "runs", *SHORT, *sizes]) == 0
    capsys.readouterr()
    more = ["--checkpoint", "runs/checkpoints/last.ckpt", "--total-timesteps", "4096"]
    assert main(["train", *more]) == 0  # environment, sizes and rate are the checkpoint's
    shown = capsys.readouterr()
    assert "Training PPO on Acrobot-v1 from 2,048 to 4,096 env steps in runs\n" in shown.out
    assert " 50%|" in shown.err and "100%|" in shown.err and "  0%|" not in shown.err
    steps = [event.step for event in events(tmp_path / "runs").Scalars("logging/overhead_pct")]
    assert steps == list(range(256, 4097, 256))
    hparams = yaml.safe_load((tmp_path / "runs" / "hparams.yaml").read_text())
    assert hparams["env_id"] == "Acrobot-v1" and hparams["learning_rate"] == 0.001
    assert hparams["total_timesteps"] == 4096


def test_a_complete_run_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--log-dir", "runs", *SHORT]) == 0
    before, _ = contents(tmp_path), capsys.readouterr()
    assert main(["train", "--checkpoint", "runs/checkpoints/last.ckpt"]) == 0
    line = "The run is complete: 2,048 env steps. To continue it, raise --total-timesteps.\n"
    assert capsys.readouterr().out == line and contents(tmp_path) == before


def test_a_run_of_less_than_a_rollout_is_continued_by_the_command_that_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "--log-dir", "runs", *SHORT, "--total-timesteps", "1"]) == 0
    command = capsys.readouterr().out.partition("Continue:")[2].split()[1:]
    assert main(command) == 0
    assert "Training: complete at 512 env steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--env", "CartPole"], "expected its own --env Acrobot-v1; got --env CartPole-v1; leave out what differs"),
        (["--hidden-sizes", "8"], "expected its own --hidden-sizes 64,64; got --hidden-sizes 8; leave out"),
        (
            ["--gamma", "0.5", "--norm-obs"],
            "expected its own --gamma 0.99, --norm-obs false; got --gamma 0.5, --norm-obs true; leave out",
        ),
        (["--gamma", "2"], "expected its own --gamma 0.99; got --gamma 2.0"),
    ],
)
def test_what_contradicts_a_checkpoint_leaves_the_run_as_it_was(
    options: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--env", "Acrobot", "--log-dir", "runs", *SHORT]) == 0
    before, _ = contents(tmp_path), capsys.readouterr()
    more = ["--checkpoint", "runs/checkpoints/last.ckpt", "--total-timesteps", "4096"]
    assert main(["train", *more, *options]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"puffer-callbacks: error: --checkpoint: {line}") and shown.err.count("\n") == 1
    assert not shown.out and contents(tmp_path) == before


def damaged(checkpoint: dict[str, object]) -> dict[str, object]:
    state = {name: value[:1] for name, value in checkpoint["state_dict"].items()}
    return {**checkpoint, "state_dict": state}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:3000]), "which cannot be read (RuntimeError: "),
        (lambda path: torch.save({"state_dict": {}}, path), "which cannot be read (KeyError: 'hyper_parameters')"),
        (lambda path: torch.save(damaged(torch.load(path)), path), "expected weights for CartPole-v1, got others ("),
    ],
)
def test_a_checkpoint_that_cannot_be_loaded_leaves_the_run_as_it_was(
    change: object, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--log-dir", "runs", *SHORT]) == 0
    checkpoint = tmp_path / "runs" / "checkpoints" / "last.ckpt"
    change(checkpoint)
    before, _ = contents(tmp_path), capsys.readouterr()
    assert main(["train", "--checkpoint", str(checkpoint), "--total-timesteps", "4096"]) == 2
    shown = capsys.readouterr()
    assert line in shown.err and shown.err.count("\n") == 1 and not shown.out and contents(tmp_path) == before


def test_a_config_file_and_flags_over_it(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("num_envs: 2\ntotal_timesteps: 1024\nlearning_rate: 0.001\n")
    options = ["--config", "config.yaml", "--num-envs", "4", "--num-steps", "64", "--batch-size", "64"]
    assert main(["train", "--log-dir", "runs", *options]) == 0
    settings = (tmp_path / "runs" / "hparams.yaml").read_text()
    assert "num_envs: 4" in settings and "learning_rate: 0.001" in settings and "total_timesteps: 1024" in settings


def test_of_several_config_files_the_later_one_wins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "base.yaml").write_text("env: Acrobot\nnum_envs: 2\ngamma: 0.9\nwandb: null\n")
    (tmp_path / "more.yaml").write_text("env: null\ngamma: 0.8\nseed: 3\n")
    assert main(["train", "--config", "base.yaml", "--config=more.yaml", "--seed", "4", "--print_config"]) == 0
    options = yaml.safe_load(capsys.readouterr().out)
    given = {"env": "Acrobot", "num_envs": 2, "gamma": 0.8, "seed": 4, "wandb": False}
    assert {name: options[name] for name in given} == given


def test_an_environment_in_this_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the installed command too, for which Python does not look here."""
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(tmp_path))])
    module = "import gymnasium\ngymnasium.register('Here-v0', 'tests.ppo.environments:Counter')\n"
    (tmp_path / "envs_of_this_folder.py").write_text(module)
    assert main(["train", "--env", "envs_of_this_folder:Here", "--print_config"]) == 0
    del gymnasium.registry["Here-v0"]


def test_a_reward_that_is_nan_costs_neither_the_summary_nor_other_episodes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class OneOddReward(Counter):
        count = 0

        def step(self, action: Any) -> Any:
            observation, reward, *rest = super().step(action)
            OneOddReward.count += 1
            return observation, math.nan if OneOddReward.count == 1500 else reward, *rest

    with registered("OneOddReward-v0", OneOddReward, max_episode_steps=4):
        assert main(["train", "--env", "OneOddReward", "--log-dir", "runs", *SHORT]) == 0
    assert "Training: complete at 2,048 env steps" in capsys.readouterr().out
    returns = [event.value for event in events(tmp_path / "runs").Scalars("train/reward")]
    assert [math.isnan(value) for value in returns].count(True) <= 1 and returns[-1] == 10.0


def test_the_hyperparameters_that_a_run_saved_are_a_config_file(tmp_path: Path) -> None:
    sizes = ["--hidden-sizes", "16,8", "--target-kl", "0.5", "--max-grad-norm", "none"]
    assert main(["train", "--env", "Acrobot", "--log-dir", "one", *SHORT, *sizes]) == 0
    assert main(["train", "--config", "one/hparams.yaml", "--log-dir", "two"]) == 0
    one, two = ((tmp_path / name / "hparams.yaml").read_text() for name in ("one", "two"))
    assert one == two and "env_id: Acrobot-v1" in one


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--env", "CartPol"], "--env: expected a registered environment, got 'CartPol'; near: CartPole-v1"),
        (["--env", "Blackjack"], "PPO: expected a Box or Discrete observation space, got Tuple("),
        (["--env", "tests.ppo.environments:Missing"], "--env: expected a registered environment, got 'tests.ppo.env"),
        (["--num-envs", "-3"], "--num-envs: expected an integer of at least 1, got -3"),
        (["--num-envs", "many"], "--num-envs: expected an integer of at least 1, got 'many'"),
        (["--total-timesteps", "3e-4"], "--total-timesteps: expected an integer of at least 1, got '3e-4'"),
        (["--learning-rate", "-0.1"], "--learning-rate: expected a finite number above 0, got -0.1"),
        (["--target-kl", "x"], "--target-kl: expected a finite number above 0, or none, got 'x'"),
        (["--hidden-sizes", "32,x"], "--hidden-sizes: expected a list of integers of at least 1, got '32,x'"),
        (["--norm-obs", "maybe"], "--norm-obs: expected true or false, got 'maybe'"),
        (["--log-dir", "file"], "--log-dir: expected a folder that can be written, got 'file' (file is a file)"),
        (["--log-dir", "/proc/runs"], "--log-dir: expected a folder that can be written, got '/proc/runs'"),
        (["--log-dir", ""], "--log-dir: expected a path, got ''"),
        (["--run-name", "../x"], "--run-name: expected the name of a folder, without slashes, got '../x'"),
        (["--checkpoint", "none.ckpt"], "--checkpoint: expected a checkpoint that train saved, such as checkpoints/"),
        (["--config", "none.yaml"], "--config: expected a YAML file of options and values, got 'none.yaml' (No such"),
        (["--config", "nested.yaml"], "--config: expected options of a run in the file, got config; leave it out"),
        (
            ["--config", "empty.yaml"],
            "--config: expected a YAML file of options and values, got 'empty.yaml', which is empty",
        ),
        (
            ["--config", "list.yaml"],
            "--config: expected a YAML file of options and values, got 'list.yaml', which holds a list",
        ),
        (
            ["--config", "typo.yaml"],
            "--config: expected names of options, got 'lerning_rate' in 'typo.yaml'; near: learning_rate",
        ),
        (["--lerning-rate", "1"], "unknown option --lerning-rate; near: --learning-rate (see puffer-callbacks train"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    files = {"nested": "config: other.yaml\n", "empty": "", "list": "- 1\n", "typo": "lerning_rate: 1\n"}
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    before = sorted(tmp_path.iterdir())
    assert main(["train", "--log-dir", "runs", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"puffer-callbacks: error: {line}")
    assert shown.err.count("\n") == 1 and not shown.out
    assert sorted(tmp_path.iterdir()) == before  # nothing half-written


def test_wandb_that_is_not_installed_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert main(["train", "--wandb", "--log-dir", "runs", *SHORT]) == 2
    assert 'pip install "puffer_callbacks[wandb]"' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_error_in_the_environment_keeps_its_traceback(tmp_path: Path) -> None:
    class Broken(Counter):
        def step(self, action):
            raise ValueError("the simulator is gone")

    with registered("Broken-v0", Broken), pytest.raises(ValueError, match="the simulator is gone"):
        main(["train", "--env", "Broken", "--log-dir", "runs", *SHORT])


def test_is_a_program(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "puffer_callbacks", "train", "--help"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    ).stdout
    assert "--total-timesteps" in shown and "--num-envs" in shown
    assert "--gae-lambda" in shown and "of generalized advantage estimation" in shown


def test_ppo_from_python_learns_as_the_command_line_does(tmp_path: Path, quiet_trainer) -> None:
    assert main(["train", "--env", "Acrobot", "--log-dir", "runs", "--total-timesteps", "2048"]) == 0
    module = PPO.from_preset("Acrobot", total_timesteps=2048)
    quiet_trainer(max_epochs=-1).fit(module)
    saved = torch.load(tmp_path / "runs" / "checkpoints" / "last.ckpt")
    assert dict(module.hparams) == saved["hyper_parameters"] and module.hparams["learning_rate"] == 1e-3
    assert all(value.equal(saved["state_dict"][name]) for name, value in module.state_dict().items())
