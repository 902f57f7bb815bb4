"""Statistics of rollouts and minibatches on a device without float64, as Apple's, against those on the host."""

import torch

from puffer_callbacks.health.statistics import Collector
from puffer_callbacks.rollout import Rollout
from tests.support.accelerator import Accelerator

GENERATOR = torch.Generator().manual_seed(0)
FIELDS = {name: torch.randn(16, 4, generator=GENERATOR) for name in ("rewards", "values", "log_probs", "advantages")}
FIELDS |= {
    "observations": torch.randn(16, 4, 3, generator=GENERATOR),
    "actions": torch.randint(2, (16, 4), generator=GENERATOR),
    "dones": torch.rand(16, 4, generator=GENERATOR) < 0.1,
    "returns": FIELDS["advantages"] + FIELDS["values"],
    "episode_lengths": torch.tensor([3, 16]),
}


def statistics(put):
    """Of two rollouts and the minibatch between them."""
    fields = {name: put(tensor) for name, tensor in FIELDS.items()}
    collector, rollout = Collector(max_episode_steps=16), Rollout(**fields)
    found = collector.add_rollout(rollout)
    batch = {name: put(FIELDS[name].flatten()) for name in ("values", "returns", "advantages")}
    collector.add_step({"value_loss": put(torch.tensor(0.5)), "policy_loss": put(torch.tensor(0.1))}, batch)
    return found, collector.add_rollout(rollout)


def test_a_device_without_float64():
    expected = statistics(lambda tensor: tensor)
    with Accelerator(has_float64=False) as accelerator:
        assert statistics(accelerator.put) == expected
    assert expected[1]["diagnostics/batch_coverage"] == 1.0
