"""``puffer-callbacks train``, as a person types it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from puffer_callbacks.cli import main
from puffer_callbacks.writers.wandb.run_file import read_history

SHORT = ["--total-timesteps", "2048", "--num-envs", "4", "--num-steps", "64", "--batch-size", "64"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no_netrc"))


def history(run: Path) -> list[dict[str, str]]:
    """The rows of an offline run, once W&B's service has closed its file."""
    import wandb

    wandb.teardown()
    return list(read_history(run))


def scalars(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()


def test_tensorboard_is_the_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--env", "CartPole", "--log-dir", "./runs/exp1", *SHORT]) == 0
    events = scalars(tmp_path / "runs" / "exp1")
    assert [event.step for event in events.Scalars("train/reward")] == list(range(256, 2049, 256))
    shown = capsys.readouterr()
    assert "Mean return of the last 100 episodes: " in shown.out
    assert "tensorboard --logdir runs/exp1" in shown.out
    assert "return=" in shown.err and "steps/s" in shown.err
    assert not (tmp_path / "wandb").exists()


def test_wandb_alone_runs_offline_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--env", "CartPole", "--wandb", "--wandb-project", "myproject", *SHORT]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("W&B: ")]
    assert said and all("offline (no API key); send it with: wandb sync" in line for line in said)
    folder = Path(said[0].rpartition("wandb sync ")[2])
    (run,) = folder.glob("*.wandb")
    assert [int(row["time/env_steps"]) for row in history(run) if "train/reward" in row][-1] == 2048
    assert not list(tmp_path.rglob("*tfevents*"))


def test_both(tmp_path: Path) -> None:
    assert main(["train", "--env", "CartPole", "--log-dir", "./runs/exp1", "--wandb", *SHORT]) == 0
    assert scalars(tmp_path / "runs" / "exp1").Scalars("train/reward")
    (run,) = (tmp_path / "runs" / "exp1" / "wandb").glob("offline-run-*/*.wandb")
    assert history(run)


def test_a_second_run_does_not_mix_with_the_first(tmp_path: Path) -> None:
    for _ in range(2):
        assert main(["train", "--log-dir", "runs", *SHORT]) == 0
    assert len(list((tmp_path / "runs").glob("*tfevents*"))) == 1
    assert len(list((tmp_path / "runs" / "run_2").glob("*tfevents*"))) == 1


def test_resumes_in_the_same_folder(tmp_path: Path) -> None:
    assert main(["train", "--log-dir", "runs", "--no-such"]) == 2
    assert main(["train", "--log-dir", "runs", *SHORT]) == 0
    more = ["--checkpoint", "runs/checkpoints/last.ckpt", *SHORT, "--total-timesteps", "4096"]
    assert main(["train", "--log-dir", "runs", *more]) == 0
    steps = [event.step for event in scalars(tmp_path / "runs").Scalars("train/reward")]
    assert steps == list(range(256, 4097, 256))


def test_a_config_file_and_flags_over_it(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("num_envs: 2\ntotal_timesteps: 1024\nlearning_rate: 0.001\n")
    options = ["--config", "config.yaml", "--num-envs", "4", "--num-steps", "64", "--batch-size", "64"]
    assert main(["train", "--log-dir", "runs", *options]) == 0
    settings = (tmp_path / "runs" / "hparams.yaml").read_text()
    assert "num_envs: 4" in settings and "learning_rate: 0.001" in settings and "total_timesteps: 1024" in settings


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--env", "CartPol"], "--env: expected a registered environment, got 'CartPol'; near: CartPole-v1"),
        (["--num-envs", "-3"], "--num-envs: expected an integer of at least 1, got -3"),
        (["--num-envs", "many"], "--num-envs: expected int, got 'many'"),
        (["--learning-rate", "-0.1"], "--learning-rate: expected a finite number above 0, got -0.1"),
        (["--target-kl", "x"], "--target-kl: expected float or NoneType, got 'x'"),
        (
            ["--log-dir", "file"],
            "--log-dir: expected a folder that can be written, got 'file' (file is a file)",
        ),
        (["--log-dir", "/proc/runs"], "--log-dir: expected a folder that can be written, got '/proc/runs'"),
        (["--run-name", "../x"], "--run-name: expected the name of a folder, without slashes, got '../x'"),
        (["--checkpoint", "none.ckpt"], "--checkpoint: expected a Lightning checkpoint, got 'none.ckpt'"),
        (["--config", "none.yaml"], "--config: File does not exist"),
        (["--no-such-flag", "1"], "unrecognized arguments: --no-such-flag 1"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["train", "--log-dir", "runs", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"puffer-callbacks: error: {line}")
    assert shown.err.count("\n") == 1 and not shown.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]  # nothing half-written


def test_wandb_that_is_not_installed_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert main(["train", "--wandb", "--log-dir", "runs", *SHORT]) == 2
    assert 'pip install "puffer_callbacks[wandb]"' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


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
