"""Two real processes: what is recorded is what one process would record of everything, and no rank waits for ever."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from puffer_callbacks import Histogram, MemoryLogger
from puffer_callbacks.values.checkpointing import from_state
from tests.robustness import ranks
from tests.support.models import Agent, losses
from tests.support.reading import tensorboard_scalars

ROOT = Path(__file__).parents[2]
OF_EPISODES = ("train/reward", "train/episode_length", "rollout/return_", "rollout/info/", "rollout/success_rate")


def run(how, folder):
    """The scenarios of a kind, in processes that are all ended should they hang."""
    command = [sys.executable, "-m", "tests.robustness.ranks", how, str(folder)]
    process = subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True
    )
    try:
        output, _ = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, output[-3000:]
    return folder


@pytest.fixture(scope="module")
def ddp(tmp_path_factory):
    return run("ddp", tmp_path_factory.mktemp("ddp"))


@pytest.fixture(scope="module")
def forked(tmp_path_factory):
    return run("fork", tmp_path_factory.mktemp("forked"))


def left(folder, scenario):
    """What rank 0 left."""
    return torch.load(folder / f"{scenario}.pt", weights_only=True)


def series(folder, scenario):
    """What rank 0 recorded."""
    packed = left(folder, scenario)["series"]
    return {tag: [(step, from_state(value)) for step, value in points] for tag, points in packed.items()}


def of_one_process(quiet_trainer, scenario, participants):
    """What one process records of the rollouts of these ranks together."""
    memory = MemoryLogger()

    def make(at, env_steps):
        return ranks.together([ranks.rollout(scenario, rank, at, env_steps) for rank in participants])

    module = Agent(losses(*range(ranks.BATCHES)), updates=ranks.UPDATES[scenario][0], make=make)
    quiet_trainer(logger=memory, callbacks=ranks.callbacks()).fit(module)
    return {tag: memory.series(tag) for tag in memory.tags}


@pytest.mark.parametrize(
    ("how", "scenario", "participants"),
    [("ddp", "even", (0, 1)), ("forked", "unfinished", (0, 1)), ("forked", "none", (0,))],
)
def test_statistics_are_exactly_those_of_one_process(request, quiet_trainer, how, scenario, participants):
    found = series(request.getfixturevalue(how), scenario)
    one = of_one_process(quiet_trainer, scenario, participants)
    tags = [tag for tag in one if tag.startswith(OF_EPISODES)]
    assert len(tags) >= 10
    assert {tag: found[tag] for tag in tags} == {tag: one[tag] for tag in tags}
    fit = "diagnostics/explained_variance"  # whose parts are merged, in another order of adding up
    assert [step for step, _ in found[fit]] == [step for step, _ in one[fit]]
    assert [value for _, value in found[fit]] == pytest.approx([value for _, value in one[fit]], rel=1e-12)


def test_ranks_with_different_numbers_of_rollouts_lose_none(forked):
    found = series(forked, "uneven")
    steps = [step for step, _ in found["rollout/return_mean"]]
    assert steps == sorted(set(steps))
    expected = []
    for batch in range(ranks.BATCHES):  # those that end at one optimizer step are one point
        ended = [
            ranks.rollout("uneven", rank, batch // every, 0)
            for rank, every in enumerate(ranks.UPDATES["uneven"])
            if batch % every == 0
        ]
        if ended:
            expected.append(torch.cat([rollout.episode_returns for rollout in ended]).double().mean().item())
    assert [value for _, value in found["rollout/return_mean"]] == expected


def test_training_scalars_are_the_means_over_all_ranks(ddp):
    found = series(ddp, "even")
    assert [value for _, value in found["train/rank"]] == [0.5] * len(found["train/rank"])
    # of ten intervals of four steps, three rollouts make three rows: each mean is over all steps of its row
    rows = [(0, 16), (16, 32), (32, ranks.BATCHES)]
    for name in ("train/only_0", "train/only_1"):  # which one rank returned
        assert [value for _, value in found[name]] == [sum(range(*row)) / (row[1] - row[0]) for row in rows]


def test_all_ranks_monitor_the_same_numbers(ddp):
    first, second = left(ddp, "even")["monitored"]
    assert first == second
    assert {"train/loss", "train/rank", "train/only_0", "train/only_1", "train/reward"} <= set(first)


def test_a_sharded_model_makes_no_forward_pass_of_ours(forked):
    reported = left(forked, "sharded")["reported"]
    expected = "expected a model that is whole on each rank, got a sharded one (FSDP, ZeRO 3); left out"
    for name in ("AttentionCallback", "VideoCallback", "HistogramCallback(activations=True)"):
        assert reported.count(f"{name}: {expected}") == 1
    assert not any(tag.startswith(("attention", "episodes", "activations")) for tag in series(forked, "sharded"))


def test_environment_steps_are_those_of_all_ranks(ddp):
    found = series(ddp, "even")["time/env_steps"]
    assert [step for step, _ in found] == [step for _, step in found]
    assert found[-1] == (3 * ranks.WORLD * ranks.ENV_STEPS,) * 2


def test_one_rank_writes(ddp):
    """Each was given a folder of its own."""
    assert sorted(path.name for path in ddp.iterdir()) == ["even.pt", "rank0"]
    assert len(list(ddp.glob("rank0/tensorboard/events*"))) == 1
    steps = [step for step, _ in tensorboard_scalars(ddp / "rank0" / "tensorboard")["time/env_steps"]]
    with (ddp / "rank0" / "csv" / "metrics.csv").open(newline="") as file:
        assert [int(row["step"]) for row in csv.DictReader(file) if row["time/env_steps"]] == steps
    assert steps == [step for step, _ in series(ddp, "even")["time/env_steps"]]


def test_averaged_gradients_count_once(ddp):
    found = series(ddp, "even")
    for name, size in {"layer.weight": 6, "layer.bias": 2}.items():
        for kind in ("weights", "gradients"):
            histograms = [histogram for _, histogram in found[f"{kind}/{name}"]]
            assert [histogram.count for histogram in histograms] == [size] * len(histograms)
        # the mean over the ranks of 1 and 2, the same for each weight
        assert all((histogram.min, histogram.max) == (1.5, 1.5) for histogram in histograms)


def test_shards_show_the_histograms_of_the_whole_model(forked):
    found = series(forked, "sharded")
    whole = Histogram.of_all(dict(ranks.model().named_parameters()))
    for name, expected in whole.items():
        points = found[f"weights/{name}"]
        assert [step for step, _ in points] == [1, 2, 3, 4, 5, 6]
        for _, histogram in points:
            same_bits(histogram, expected)
        assert found[f"gradients/{name}"][-1][1].count == expected.count


def same_bits(found: Histogram, whole: Histogram) -> None:
    assert found.bins.tolist() == whole.bins.tolist()
    assert found.bin_counts.tolist() == whole.bin_counts.tolist()
    assert (found.min, found.max, found.nonfinite) == (whole.min, whole.max, whole.nonfinite)
    assert found.sum == pytest.approx(whole.sum, rel=1e-12, abs=1e-15)  # added up in another order
    assert found.sum_squares == pytest.approx(whole.sum_squares, rel=1e-12)


def test_ranks_fire_together_whatever_recording_costs_each(forked):
    """Rank 0 was over its budget from the first step on, rank 1 never: a norm over shards needs both."""
    found = series(forked, "sharded")
    assert [step for step, _ in found["gradient_norm/total"]] == [2, 4, 6]
    assert not any(tag.startswith("logging/every_n_steps") for tag in found)
