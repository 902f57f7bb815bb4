"""All callbacks in all trainers: fit twice, close twice, no logger, two, no rollout, an exception."""

import importlib.util
import json

import pytest

from tests.adapters import contract
from tests.adapters.pufferl.test_bridge import finish, start

CASES = {(name, scenario.__name__): (callbacks, scenario) for name, callbacks, scenario in contract.cases()}
TRAINERS = {
    "lightning.pytorch": lambda: contract.Lightning("lightning.pytorch"),
    "pytorch_lightning": lambda: contract.Lightning("pytorch_lightning"),
    "Loop": contract.HandWritten,
    "Fabric": contract.Fabric,
    "PPO": lambda: contract.SB3("PPO"),
    "DQN": lambda: contract.SB3("DQN"),
    "transformers": contract.Transformers,
    "rsl_rl": contract.RslRl,
}
NEEDED = {
    "pytorch_lightning": "pytorch_lightning",
    "PPO": "stable_baselines3",
    "DQN": "stable_baselines3",
    "transformers": "accelerate",
    "rsl_rl": "rsl_rl",
}
ROLLOUTS_AND_PICTURES = {"RolloutCallback", "ImageCallback", "AttentionCallback", "VideoCallback"}
NOT_FOR = {
    "transformers": ROLLOUTS_AND_PICTURES | {"all"},
    "rsl_rl": {"AttentionCallback", "VideoCallback", "all"},
}
"""Callbacks that need what a trainer does not have: rollouts, a batch to probe with, an environment's id."""
PAIRS = [(trainer, *case) for trainer in TRAINERS for case in CASES if case[0] not in NOT_FOR.get(trainer, ())]


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore:.*does not have many workers",
    "ignore:.*fewer batches",
)
@pytest.mark.parametrize("trainer, name, scenario", PAIRS)
def test_every_callback_in_every_trainer(trainer, name, scenario, monkeypatch, tmp_path):
    if trainer in NEEDED:
        pytest.importorskip(NEEDED[trainer])
    monkeypatch.chdir(tmp_path)
    callbacks, run = CASES[name, scenario]
    run(TRAINERS[trainer](), callbacks)


PUFFERL = """
import json, sys, traceback
from pathlib import Path
from tests.adapters import contract
results = {}
for name, callbacks, scenario in contract.cases():
    try:
        scenario(contract.PuffeRL(sys.argv[1]), callbacks)
        results[f"{name} {scenario.__name__}"] = ""
    except BaseException:
        results[f"{name} {scenario.__name__}"] = traceback.format_exc()
Path(sys.argv[1], "results.json").write_text(json.dumps(results))
"""


@pytest.fixture(scope="module")
def pufferl(tmp_path_factory):
    if importlib.util.find_spec("pufferlib") is None:
        pytest.skip("pufferlib-core is not installed")
    folder = tmp_path_factory.mktemp("contract")
    finish(start("-c", PUFFERL, folder), seconds=600)
    return json.loads((folder / "results.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name, scenario", CASES)
def test_every_callback_in_pufferl(pufferl, name, scenario):
    trace = pufferl[f"{name} {scenario}"]
    assert not trace, trace
