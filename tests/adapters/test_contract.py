"""All callbacks in all trainers: fit twice, close twice, no logger, two, no rollout, an exception."""

import importlib.util

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
import sys
from tests.adapters import contract
for name, callbacks, scenario in contract.cases():
    print(name, scenario.__name__, file=sys.stderr, flush=True)
    scenario(contract.PuffeRL(sys.argv[1]), callbacks)
"""


@pytest.mark.slow
def test_every_callback_in_pufferl(tmp_path):
    """In one process, as PufferLib is slow to import and changes it; its output ends with the case that failed."""
    if importlib.util.find_spec("pufferlib") is None:
        pytest.skip("pufferlib-core is not installed")
    finish(start("-c", PUFFERL, tmp_path), seconds=600)
