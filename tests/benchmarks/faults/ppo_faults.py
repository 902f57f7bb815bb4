"""Bugs that are injected into the reference PPO, one at a time."""

from collections.abc import Callable
from typing import Any

from tests.benchmarks.faults import ppo_estimates as estimates
from tests.benchmarks.faults import ppo_networks as networks
from tests.benchmarks.faults import ppo_rollouts as rollouts
from tests.benchmarks.faults import ppo_updates as updates
from tests.benchmarks.faults import wrappers
from tests.benchmarks.faults.ppo_faulty import ENVS, Fault

ENDING = ("CartPole-v1", "Acrobot-v1")
"""Where episodes end before the time limit, once something is learned."""
DISCRETE = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0")


def _constant(change: Any) -> Callable[[], Any]:
    return lambda: change


FAULTS = (
    Fault("learning rate x 100", ("learning_rate_high",), options={"learning_rate_factor": 100.0}),
    Fault("learning rate 0", ("learning_rate_zero",), updates.NoLearningRate, begins=0.4),
    Fault("entropy bonus negative", ("entropy_sign",), updates.NegativeEntropy),
    Fault("entropy bonus huge", ("entropy_coefficient_high",), updates.HugeEntropy),
    Fault("critic detached", ("critic_detached",), updates.DetachedCritic),
    Fault("NaN in one observation", ("nonfinite_observation",), change=wrappers.NanOnce, begins=0.4),
    Fault(
        "reward x 1e4",
        ("reward_scale_large",),
        change=_constant(wrappers.scaled_reward(1e4)),
        options={"norm_reward": False},
    ),
    Fault("reward 0", ("reward_missing",), change=_constant(wrappers.scaled_reward(0.0))),
    Fault("dead ReLUs", ("dead_units",), networks.DeadReLUs, options={"activation": "relu"}),
    Fault("actor frozen", ("actor_not_trained",), updates.FrozenActor),
    Fault("advantage flipped in the loss", ("advantage_sign",), updates.FlippedAdvantage),
    Fault("advantage flipped in the rollout", ("advantage_sign",), rollouts.FlippedReturns),
    Fault("advantages shuffled in the loss", ("advantage_misaligned",), updates.ShuffledAdvantages),
    Fault("advantages shuffled in the rollout", ("advantage_misaligned",), rollouts.ShuffledRollout),
    Fault("no mask at dones", ("done_mask_missing",), estimates.NoDoneMask),
    Fault("no mask of next values", ("bootstrap_mask_missing",), estimates.NoValueMask, envs=ENDING),
    Fault("no mask of next advantages", ("done_mask_missing",), estimates.NoAdvantageMask, envs=ENDING),
    Fault("mask of the step before", ("done_mask_shifted",), estimates.LateMask, envs=ENDING),
    Fault("mask inverted", ("done_mask_inverted",), estimates.InvertedMask, envs=ENDING),
    Fault("gamma 0.5 in the estimator", ("gamma_other",), estimates.OtherGamma, envs=ENDING),
    Fault("advantages as value targets", ("target_without_value",), estimates.AdvantageTargets, envs=ENDING),
    Fault("ratio clipped about 0", ("clip_wrong",), updates.ClipAboutZero, envs=ENDING),
    Fault("ratio always 1", ("log_prob_recomputed",), updates.RatioOfOne, envs=ENDING),
    Fault("gradients never zeroed", ("zero_grad_missing",), updates.NoZeroGrad, envs=ENDING),
    Fault("value loss broadcast", ("value_loss_broadcast",), updates.BroadcastValueLoss, envs=ENDING),
    Fault("policy loss broadcast", ("policy_loss_broadcast",), updates.BroadcastPolicyLoss, envs=ENDING),
    Fault("constant observation", ("observation_constant",), change=_constant(wrappers.constant_observation)),
    Fault("observations of the step before", ("observation_stale",), change=wrappers.Stale),
    Fault("saturated actions", ("action_saturated",), networks.SaturatedActions),
    Fault("log-probabilities of the wrong action", ("log_prob_wrong_action",), updates.WrongLogProbs),
    Fault("log-probabilities of the policy before", ("log_prob_stale",), rollouts.StaleLogProbs),
    Fault("no clipping, exploding gradients", ("no_clipping",), updates.NoClipping, envs=ENVS[:3]),
    Fault("double softmax", ("double_softmax",), networks.DoubleSoftmax, envs=DISCRETE),
    Fault("same rollout again and again", ("data_repeated",), rollouts.StaleData, begins=0.3),
    Fault("rollout of the policy before", ("data_stale",), rollouts.LateRollout),
    Fault("value loss coefficient 0", ("value_coefficient_zero",), updates.NoValueLoss),
    Fault("gamma 0.45", ("gamma_low",), options={"gamma": 0.45}),
    Fault("one minibatch repeated", ("minibatch_repeated",), rollouts.OneMinibatch),
    Fault("weight decay that kills", ("weight_decay",), updates.WeightDecay),
    Fault("dropout in training only", ("train_eval_mismatch",), networks.Dropout),
    Fault(
        "observations x 1e4",
        ("observation_scale",),
        change=_constant(wrappers.large_observation),
        options={"norm_obs": False},
    ),
    Fault("saturated initialization", ("initialization_saturates",), networks.SaturatedInit),
    Fault("actor blind to observations", ("observation_ignored",), networks.BlindActor),
    Fault("episodes never end", ("dones_missing",), change=_constant(wrappers.no_dones)),
    Fault("learning rate schedule not applied", ("schedule_not_applied",), updates.NotAnnealed),
    Fault("sampler drifts from learner", ("sampler_drift",), rollouts.Drift),
    Fault("environment slows down", ("environment_slows",), change=wrappers.Slowing, envs=("CartPole-v1",)),
)

LARGE_REWARDS = Fault(
    "entropy 0.15, large rewards",
    ("entropy_coefficient_high", "reward_scale_large"),
    change=_constant(wrappers.scaled_reward(100.0)),
)
"""As users of Stable-Baselines3 have reported it: entropy coefficient 0.15, rewards that are not normalized."""
