"""The bar, and what is printed above it."""

import logging
import warnings
from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch
from tqdm import tqdm

from puffer_callbacks.cli.progress import WINDOW, ProgressCallback, lines_above_the_bar
from puffer_callbacks.faults import PufferWarning
from puffer_callbacks.ppo import PPO
from puffer_callbacks.rollout import Rollout

SMALL = {"num_envs": 2, "num_steps": 32, "batch_size": 16, "update_epochs": 2, "total_timesteps": 1000}


def screen(text: str) -> list[str]:
    """What a terminal shows: each line as it was drawn last."""
    return [line.rpartition("\r")[2].strip() for line in text.split("\n") if line]


class Complains(pl.Callback):
    """Warns and logs in the middle of the run."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 20:
            warnings.warn("the disk\nis full", PufferWarning, stacklevel=1)
            logging.getLogger("puffer_callbacks").warning("recording took 3 %%, %s", "above its budget")


@pytest.mark.filterwarnings("default::puffer_callbacks.faults.PufferWarning")
def test_the_bar_ends_at_100_percent_and_a_warning_is_a_line_of_its_own(quiet_trainer, capsys, caplog):
    for package in ("lightning.pytorch", "pytorch_lightning"):  # whichever was imported last speaks for both
        caplog.set_level(logging.WARNING, logger=package)
    for bar in list(getattr(tqdm, "_instances", ())):  # of fits that failed: Lightning leaves them open
        bar.close()
    module = PPO("CartPole", **SMALL)
    progress = ProgressCallback()
    with lines_above_the_bar():
        quiet_trainer(callbacks=[progress, Complains()], max_epochs=-1).fit(module)
    *lines, bar = screen(capsys.readouterr().err)
    assert lines == [
        "puffer-callbacks: warning: the disk is full",
        "puffer-callbacks: warning: recording took 3 %, above its budget",
    ]
    assert bar.startswith("100%|") and "960/960" in bar and f"return={progress.mean_return:.1f}" in bar


def test_messages_go_their_usual_way_once_the_block_is_left(capsys):
    before = warnings.showwarning
    with lines_above_the_bar():
        assert warnings.showwarning is not before
    assert warnings.showwarning is before
    logging.getLogger("puffer_callbacks").warning("later")
    assert "puffer-callbacks: warning: later" not in capsys.readouterr().err


def test_the_curve_and_the_mean_return_continue_from_a_checkpoint(quiet_trainer):
    module = PPO("CartPole", **SMALL)
    first = ProgressCallback()
    quiet_trainer(callbacks=[first], max_epochs=-1).fit(module)
    second = ProgressCallback()
    second.load_state_dict(first.state_dict())
    assert second.curve == first.curve and len(first.curve) == 15
    assert second.mean_return == first.mean_return and second.episodes == first.episodes > 0


def test_the_points_of_a_long_run_are_at_equal_distances_also_after_a_checkpoint():
    """A run of ten million steps has ten thousand rollouts."""
    module, progress = SimpleNamespace(env_steps=0, planned_steps=3000), ProgressCallback()
    progress.on_train_start(None, module)
    for at in range(1, 3000):
        returns = torch.full((WINDOW,), float(at))
        progress.on_rollout_end(None, module, Rollout(episode_returns=returns, env_steps=at))
        if at == 1501:
            before, progress = progress, ProgressCallback()
            progress.load_state_dict(before.state_dict())
            progress.on_train_start(None, module)
            before.on_train_end(None, module)
    progress.on_train_end(None, module)
    assert progress.curve == [float(at) for at in range(4, 3000, 4)]


def test_before_an_episode_ends_there_is_no_return():
    progress = ProgressCallback()
    assert progress.episodes == 0 and progress.curve == []
