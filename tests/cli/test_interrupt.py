"""Ctrl-C and SIGTERM in a real process, and the run that continues."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from puffer_callbacks.cli import main

ROOT = Path(__file__).parents[2]
LONG = ["--total-timesteps", "10_000_000", "--num-envs", "4", "--num-steps", "64", "--batch-size", "64"]


def ended_by(signals: list[int], *options: str) -> subprocess.CompletedProcess[str]:
    """A run in this folder that gets the signals once it has a checkpoint."""
    process = subprocess.Popen(
        [sys.executable, "-m", "puffer_callbacks", "train", "--log-dir", "runs", *LONG, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own, which gets the signal as from a terminal
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 240
    while not Path("runs/checkpoints/last.ckpt").is_file():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    for number in signals:
        os.killpg(process.pid, number)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def continued() -> list[int]:
    """Continue the run by eight rollouts; the steps of its rows."""
    steps = torch.load("runs/checkpoints/last.ckpt")["env_steps"]
    goal = str(steps + 8 * 256)
    assert main(["train", "--checkpoint", "runs/checkpoints/last.ckpt", "--total-timesteps", goal]) == 0
    events = EventAccumulator("runs", size_guidance={"scalars": 0}).Reload()
    rows = [event.step for event in events.Scalars("logging/overhead_pct")]
    assert rows[-1] == int(goal)
    return rows


@pytest.mark.parametrize("more", [[], ["--wandb"]])
def test_ctrl_c_ends_with_the_summary_and_the_run_continues(more, capsys):
    done = ended_by([signal.SIGINT], *more)
    assert done.returncode == 130 and "Traceback" not in done.stderr
    assert "Stopping after this step; Ctrl-C again stops at once." in done.stderr
    assert "Mean return" in done.stdout and "Training: interrupted at " in done.stdout
    assert "Logs: runs\nCheckpoint: runs/checkpoints/last.ckpt\n" in done.stdout
    command = "puffer-callbacks train --checkpoint runs/checkpoints/last.ckpt"
    assert f" {command}{' --wandb --wandb-project puffer_callbacks --log-dir runs' if more else ''}\n" in done.stdout
    rows = continued()
    assert rows == list(range(256, rows[-1] + 1, 256))  # neither a gap nor a row twice


def test_a_second_ctrl_c_stops_at_once():
    done = ended_by([signal.SIGINT, signal.SIGINT, signal.SIGINT])
    assert done.returncode == 130 and "Traceback" not in done.stderr and "Training: interrupted" in done.stdout


def test_sigterm_saves_the_run_too():
    done = ended_by([signal.SIGTERM])
    assert done.returncode == 143 and "Traceback" not in done.stderr
    assert "Training: interrupted at " in done.stdout
    rows = continued()
    assert rows == list(range(256, rows[-1] + 1, 256))
