"""The real trainer, in processes of its own: importing PufferLib changes filters and signal handlers."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from puffer_callbacks import MemoryLogger, Rollout, default_callbacks
from puffer_callbacks.adapters import PuffeRLBridge
from puffer_callbacks.adapters.pufferl.interrupt import before_exit
from puffer_callbacks.adapters.pufferl.rollouts import UnreportedEpisodes
from tests.support.reading import accumulator, tensorboard_scalars, wandb_rows

pufferlib = importlib.util.find_spec("pufferlib")
needs_pufferlib = pytest.mark.skipif(not pufferlib, reason="pufferlib-core is not installed")
ROOT = Path(__file__).parents[3]

EVERY_UPDATE = (
    *("train/policy_loss", "train/value_loss", "train/entropy", "train/learning_rate"),
    *("losses/policy", "losses/value", "losses/entropy"),
    *("diagnostics/approx_kl", "diagnostics/clip_fraction", "diagnostics/explained_variance"),
    *("time/env_steps", "time/optimizer_steps", "time/elapsed", "throughput/sps", "logging/overhead_pct"),
)
WITH_EPISODES = (
    *("train/reward", "train/episode_length", "rollout/return_mean", "rollout/return_median"),
    *("rollout/return_p10", "rollout/return_p90", "rollout/episode_length_mean"),
)
HISTOGRAMS = (
    *(
        "weights/encoder.0.weight",
        "weights/value.bias",
        "gradients/encoder.0.weight",
        "gradients/decoder.bias",
    ),
    *("rollout/advantages", "rollout/values", "rollout/rewards", "rollout/actions"),
)


def start(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb", "WANDB_SILENT": "true"}
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def finish(process, seconds=300):
    output, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, output[-3000:]
    return output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pufferl")


@pytest.fixture(scope="module")
def output(folder):
    return finish(start("-m", "tests.adapters.puffer_runs", folder))


@pytest.fixture(scope="module")
def runs(folder, output):
    return json.loads((folder / "results.json").read_text())


def steps(series, tag):
    return [step for step, _ in series[tag]]


@needs_pufferlib
def test_every_tag_of_the_contract_is_there_at_its_agent_step(runs):
    series = runs["cartpole"]["series"]
    updates = list(range(128, 2049, 128))
    for tag in EVERY_UPDATE:
        assert steps(series, tag) == updates, tag
    for tag in HISTOGRAMS:
        assert steps(series, tag) == [updates[0], *updates[3::4]], tag
    for tag in WITH_EPISODES:
        assert set(steps(series, tag)) <= set(updates), tag
        assert len(series[tag]) > 10, tag
    assert series["time/optimizer_steps"] == [[step, step / 64] for step in updates]
    assert {"environment/episode_return", "performance/train"} <= set(series)


@needs_pufferlib
def test_tensorboard_and_wandb_hold_the_same(runs, folder):
    series = runs["cartpole"]["series"]
    scalars = tensorboard_scalars(folder / "cartpole" / "tb")
    for tag in (*EVERY_UPDATE, *WITH_EPISODES):
        expected = [(step, pytest.approx(value, nan_ok=True)) for step, value in series[tag]]
        assert scalars[tag] == expected, tag
    assert set(HISTOGRAMS) <= set(accumulator(folder / "cartpole" / "tb").Tags()["histograms"])
    rows = wandb_rows(folder / "cartpole")
    rewards = [[row["time/env_steps"], row["train/reward"]] for row in rows if "train/reward" in row]
    assert rewards == series["train/reward"]


@needs_pufferlib
def test_the_configuration_is_logged(runs):
    settings = runs["cartpole"]["settings"]
    assert (settings["gamma"], settings["bptt_horizon"], settings["optimizer/name"]) == (0.99, 16, "Adam")


@needs_pufferlib
def test_losses_stand_at_the_update_that_they_belong_to(runs):
    shown = runs["losses"]["shown"]
    series = runs["losses"]["series"]
    assert series["train/value_loss"] == [[step, loss] for step, loss, _ in shown]
    assert series["diagnostics/explained_variance"] == [[step, fit] for step, _, fit in shown]
    assert runs["every_update"]["series"]["train/value_loss"] == series["train/value_loss"]


@needs_pufferlib
def test_training_is_the_same_bit_for_bit(runs):
    assert runs["same"] == dict.fromkeys(("lstm", "continuous", "pair", "segments", "bfloat16", "offload"), True)


@needs_pufferlib
@pytest.mark.parametrize("kind", ["lstm", "continuous", "pair", "segments", "bfloat16", "offload"])
def test_policies_and_environments_of_every_kind(runs, kind):
    run = runs["kinds"][kind]
    agents = {"pair": 16, "segments": 32}.get(kind, 8)
    assert run["shape"] == [15, agents]
    assert run["actions"] == ([15, 8, 1] if kind == "continuous" else [15, agents])
    updates = 4 if kind == "segments" else 8 if kind == "pair" else 32 if kind == "continuous" else 16
    assert len(run["series"]["train/policy_loss"]) == updates
    assert run["series"]["rollout/actions"]
    assert min(run["norms"]) > 0.5, "before the clip"
    assert "train/reward" in run["series"]


@needs_pufferlib
def test_rewards_stand_beside_the_actions_that_earned_them(runs):
    pair = runs["kinds"]["pair"]
    assert pair["right"] and all(pair["right"])
    assert pair["series"]["train/reward"][0][1] == 7.0
    assert pair["infos"] == [], "a text is no number"


@needs_pufferlib
def test_recurrent_weights_are_there(runs):
    assert "gradients/lstm.weight_hh_l0" in runs["kinds"]["lstm"]["series"]


@needs_pufferlib
def test_the_dashboard_stays_and_the_trainer_is_left_as_it_was(runs, output):
    assert "PufferLib" in output
    assert runs["cartpole"]["left"] == []


@needs_pufferlib
def test_a_logger_that_was_there_before_goes_on(runs):
    run = runs["other_logger"]
    assert run["run_id"] == "theirs"
    assert run["steps"][-1] == 512
    assert len(run["closed"]) == 1
    assert run["back"]


@needs_pufferlib
def test_a_trainer_that_pufferl_train_makes_is_attached_by_itself(runs):
    series = runs["by_name"]["series"]
    assert steps(series, "train/value_loss")[-1] == 2048
    assert steps(series, "train/reward")[-1] > 2048, "its final evaluation"
    assert runs["by_name"]["checkpoints"] == [runs["by_name"]["id"] + ".pt"]


@needs_pufferlib
def test_an_exception_is_recorded_and_raised(runs):
    run = runs["exception"]
    assert run["raised"] == "the simulator is gone"
    assert run["ended_by"] == "OSError('the simulator is gone')"
    assert "OSError: the simulator is gone" in run["text"]
    assert steps(run["series"], "train/policy_loss") == [128, 256]
    assert run["should_stop"] == [False, True, False], "as a callback asked, until the next run"


@needs_pufferlib
def test_what_is_not_finite_is_counted_where_warnings_are_errors(runs):
    assert runs["odd_numbers"]["faults"] == {}
    series = runs["odd_numbers"]["series"]
    assert series["nonfinite/train/loss"] == [[4, 1.0]]
    assert series["train/big"] == [[4, 1e308]]
    assert {"histogram", "rollout/rewards", "gradients/weight"} <= set(series)


INTERRUPTED = """
import os, sys, signal, threading, time
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from puffer_callbacks import default_callbacks
from puffer_callbacks.adapters import PuffeRLBridge
from tests.adapters.puffer import make_trainer, train
from tests.adapters.process_state import process_state
folder, earlier_runs = sys.argv[1], int(sys.argv[2])
def make(name, total):
    loggers = [CSVLogger(folder, name=name, version="csv"), TensorBoardLogger(folder, name=name, version="tb")]
    bridge = PuffeRLBridge(loggers, default_callbacks(metrics=1))
    return bridge.attach(make_trainer(folder, total_timesteps=total))
def ended(trainer):
    train(trainer)
    for thread in threading.enumerate()[1:]:  # PufferLib's own, which ends a moment later
        thread.join(10)
ended(make("first", 256))
before = process_state()
for run in range(1, earlier_runs):
    ended(make(f"run{run}", 256))
    assert process_state() == before, (run, process_state(), before)
trainer = make("last", 10**9)
def interrupt():
    while trainer.global_step < 1024:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
train(trainer)
"""


@pytest.mark.slow
@needs_pufferlib
@pytest.mark.parametrize("earlier_runs", [1, 19])
def test_ctrl_c_keeps_every_row_of_the_last_run_and_earlier_ones_leave_nothing(tmp_path, earlier_runs):
    # PufferLib's handler ends the process at once, with status 0
    finish(start("-c", INTERRUPTED, tmp_path, earlier_runs))
    scalars = tensorboard_scalars(tmp_path / "last" / "tb")
    updates = [step for step, _ in scalars["train/policy_loss"]]
    assert updates == list(range(128, updates[-1] + 1, 128))
    assert updates[-1] >= 896
    assert "KeyboardInterrupt: Ctrl+C" in (tmp_path / "last" / "csv" / "metrics.csv").read_text()


@needs_pufferlib
def test_under_torchrun_the_first_rank_logs_the_episodes_of_all(tmp_path):
    command = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    finish(start(*command, "-m", "tests.adapters.puffer_ranks", tmp_path))
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert second["series"] == {}
    assert first["env_steps"] == second["env_steps"] == list(range(256, 4097, 256))
    assert steps(first["series"], "train/value_loss") == list(range(256, 4097, 256))
    returns = [value for run in (first, second) for values in run["returns"] for value in values]
    assert min(value for _, value in first["series"]["rollout/return_min"]) == min(returns)
    assert max(value for _, value in first["series"]["rollout/return_max"]) == max(returns)


def test_no_trainer_s_package_is_imported():
    packages = {"pufferlib", "stable_baselines3", "transformers", "rsl_rl", "tensordict", "torchrl", "skrl", "tianshou"}
    code = (
        "import sys, lightning.pytorch; before = set(sys.modules)\n"  # torchmetrics imports transformers by itself
        "import puffer_callbacks, puffer_callbacks.adapters as adapters\n"
        "adapters.PuffeRLBridge(None), adapters.RslRlBridge(None), adapters.Loop(None)\n"
        f"print({packages} & (set(sys.modules) - before))"
    )
    assert finish(start("-c", code)).strip() == "set()"


def test_another_object_gets_one_clear_error():
    bridge = PuffeRLBridge(MemoryLogger(), default_callbacks())
    with pytest.raises(TypeError, match=r"attach: expected a PuffeRL trainer, got dict, which has no evaluate, train"):
        bridge.attach({})
    bridge.log({"environment/score": 1.0}, 5)
    bridge.close("model.pt")
    bridge.close()


def test_environments_that_report_no_episodes_are_noticed_once():
    steps = {"rewards": torch.ones(2, 1), "dones": torch.tensor([[False], [True]])}
    none, one = torch.zeros(0), torch.ones(1)
    unreported = UnreportedEpisodes()
    noticed = [unreported.update(Rollout(**steps, episode_returns=none)) for _ in range(30)]
    assert [at for at, warn in enumerate(noticed) if warn] == [9]
    reported = UnreportedEpisodes()
    assert not any(reported.update(Rollout(**steps, episode_returns=one if at == 3 else none)) for at in range(30))


@pytest.fixture
def sigint():
    """Restores the handler of this process."""
    before = signal.getsignal(signal.SIGINT)
    yield before
    signal.signal(signal.SIGINT, before)


def handler_of_pufferlib(calls):
    def handler(number, frame):
        calls.append("PufferLib")

    handler.__module__ = "pufferlib.pufferl"
    return handler


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0)


def test_another_package_s_handler_stays(sigint):
    before_exit("pufferlib", lambda: None)
    assert signal.getsignal(signal.SIGINT) is sigint


def test_an_action_runs_before_pufferlib_s_handler(sigint):
    calls = []
    handler = handler_of_pufferlib(calls)
    signal.signal(signal.SIGINT, handler)
    undo = before_exit("pufferlib", lambda: calls.append("ours"))
    interrupt()
    undo()
    assert calls == ["ours", "PufferLib"]
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("first", [0, 1])
def test_the_handler_is_back_after_the_last_of_two_runs_in_any_order(sigint, first):
    calls = []
    handler = handler_of_pufferlib(calls)
    signal.signal(signal.SIGINT, handler)
    undo = [before_exit("pufferlib", lambda run=run: calls.append(run)) for run in range(2)]
    undo[first]()
    undo[first]()
    interrupt()
    assert calls == [1 - first, "PufferLib"]
    undo[1 - first]()
    assert signal.getsignal(signal.SIGINT) is handler
