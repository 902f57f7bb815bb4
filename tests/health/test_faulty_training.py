"""Bugs of estimators and of the clipped objective, in real fits: each is named while it trains, a sound run is not."""

import pytest

from puffer_callbacks import HealthCallback, default_callbacks
from puffer_callbacks.health.causes import CAUSES
from puffer_callbacks.ppo import PPO
from tests.benchmarks.faults.ppo_faults import FAULTS

SMALL = {"num_envs": 4, "num_steps": 64, "batch_size": 64, "total_timesteps": 6144}
BY_NAME = {fault.name: fault for fault in FAULTS}
NAMED = {
    "no mask at dones": "done_mask",
    "no mask of next values": "done_mask",
    "no mask of next advantages": "done_mask",
    "mask of the step before": "done_mask",
    "mask inverted": "gamma_not_applied",
    "gamma 0.5 in the estimator": "gamma_not_applied",
    "advantages as value targets": "value_targets",
    "ratio clipped about 0": "surrogate_not_zero",
    "ratio always 1": "kl_zero",
    "gradients never zeroed": "gradients_not_zeroed",
    "value loss broadcast": "value_loss_broadcast",
    "policy loss broadcast": "policy_loss_cancels",
}


def alarms(quiet_trainer, module):
    health = HealthCallback()
    quiet_trainer(max_epochs=-1, callbacks=default_callbacks(health=health, histograms=False)).fit(module)
    return {finding.rule: finding for finding in health.findings if finding.severity != "info"}


@pytest.mark.parametrize("name", NAMED)
def test_the_bug_is_named_first_with_its_cause(quiet_trainer, name):
    fault = BY_NAME[name]
    kind = type("Broken", (fault.kind,), {"fault": fault})
    first = next(iter(alarms(quiet_trainer, kind("CartPole-v1", **SMALL)).values()))
    assert first.rule == NAMED[name]
    assert first.causes[0] in {CAUSES[cause].text for cause in fault.causes}


@pytest.mark.parametrize(
    "options",
    [
        {"norm_reward": True, "norm_obs": True},
        {"gae_lambda": 0.0},
        {"gae_lambda": 1.0, "norm_adv": False},
        {"env_id": "Pendulum-v1", "gamma": 0.9},
        {"env_id": "Acrobot-v1", "norm_reward": True, "num_envs": 8},
    ],
    ids=str,
)
def test_sound_estimators_are_not(quiet_trainer, options):
    found = alarms(quiet_trainer, PPO(**{"env_id": "CartPole-v1", **SMALL, **options}))
    assert not found.keys() & {*NAMED.values(), "dones_late", "advantage_sign", "advantages_inconsistent"}
