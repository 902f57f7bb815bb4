"""Causes in what is learned from: observations, rewards, episodes, minibatches."""

from puffer_callbacks.health.causes.cause import Cause

DATA: dict[str, Cause] = {
    "nonfinite_observation": Cause(
        "the environment returned an observation that is NaN or infinite",
        "check observations where they enter (divisions, sensors, normalization); clip or replace bad ones",
        needs=("environment",),
    ),
    "nonfinite_reward": Cause(
        "the environment returned a reward that is NaN or infinite",
        "check the reward function for divisions and logarithms",
        needs=("environment",),
    ),
    "nonfinite_activation": Cause(
        "a network's output became NaN or infinite",
        "look at the largest inputs and weights; lower the learning rate; clip inputs",
    ),
    "nonfinite_loss": Cause(
        "a term of the loss became NaN or infinite (log 0, 0/0, an overflow)",
        "guard logarithms and divisions in the loss; clamp what exp takes",
        remedies={"ratio": "guard logarithms and divisions in the loss; clamp log-ratios before exp"},
    ),
    "nonfinite_gradient": Cause(
        "a gradient became NaN or infinite while the loss was finite",
        "look for sqrt(0), norms of zero vectors and masks that multiply NaN; skip such steps",
    ),
    "nonfinite_weight": Cause(
        "weights became NaN or infinite", "lower the learning rate; clip gradients; resume from an earlier checkpoint"
    ),
    "value_vanished": Cause(
        "the trainer leaves out values that are not finite", "look for NaN just before the series ends"
    ),
    "observation_constant": Cause(
        "the policy is given the same observation at every step",
        "check that the observation buffer is written, and copied, at every step",
        needs=("environment",),
    ),
    "observation_stale": Cause(
        "observations are stored or shown one step late",
        "store the observation that the action was chosen from",
        needs=("environment",),
    ),
    "reset_steps_stored": Cause(
        "vectorized environments reset themselves in the step after an end (next-step autoreset)",
        "leave the step after an end out of the loss, or make environments with AutoresetMode.SAME_STEP",
        needs=("environment",),
    ),
    "observation_scale": Cause(
        "observations are far larger than networks expect",
        "normalize observations (norm_obs, VecNormalize) or divide them by their range",
        needs=("environment",),
    ),
    "observation_ignored": Cause(
        "the policy does not depend on the observation",
        "check that the actor's first layers get the observation and are trained",
        needs=("environment", "actor"),
    ),
    "limit_small": Cause(
        "the limit of the gradient's norm is far below what gradients have",
        "raise the limit (max_grad_norm, gradient_clip_val), or scale down the loss",
    ),
    "nonfinite_batch": Cause(
        "a batch has inputs or targets that are NaN or infinite",
        "check the data where it enters (divisions, logarithms, missing values); replace bad rows or leave them out",
        needs=("dataset",),
    ),
    "input_scale": Cause(
        "inputs are far larger than networks expect",
        "normalize inputs, or divide them by their range",
        needs=("dataset",),
    ),
    "step_slows": Cause(
        "a batch, or a step, takes longer and longer",
        "look for what grows: lists, logs, memory, losses that are kept with their graph",
        needs=("dataset",),
    ),
    "reward_missing": Cause(
        "rewards are always 0: lost on the way, or never reached",
        "check that the reward reaches the buffer; else shape it or explore more",
        needs=("environment",),
    ),
    "reward_scale_large": Cause(
        "rewards are too large for networks to reach their scale",
        "scale or normalize rewards (norm_reward, VecNormalize) to returns of order 1 to 10",
        needs=("environment",),
    ),
    "returns_alike": Cause(
        "every episode has the same return: the reward is out of reach, or does not depend on actions",
        "shape the reward, make the task easier at first, or explore more",
        needs=("environment",),
    ),
    "dones_missing": Cause(
        "the ends of episodes do not reach the trainer",
        "pass terminated or truncated on as done",
        needs=("environment",),
    ),
    "done_mask_missing": Cause(
        "advantages run on over the ends of episodes",
        "multiply the next value and the next advantage by (1 − done)",
        needs=("advantages",),
    ),
    "bootstrap_mask_missing": Cause(
        "the next value is not masked at the ends of episodes",
        "multiply the next value by (1 − terminated); at a time limit take the value of the last observation",
        needs=("environment",),
    ),
    "done_mask_shifted": Cause(
        "advantages are masked by the dones of another step",
        "mask step t by the done that this step returned, not by that of the step before or after",
        needs=("advantages",),
    ),
    "done_mask_inverted": Cause(
        "the mask at the ends of episodes is inverted",
        "multiply by (1 − done), where done is 1 at an end",
        needs=("environment",),
    ),
    "dones_late": Cause(
        "Rollout.dones are those of the step before, as flags that mark the first observation of an episode do",
        "give Rollout the dones that `step` returned for the same step's action",
        needs=("advantages",),
    ),
    "gamma_other": Cause(
        "advantages are made with another discount factor than configured",
        "pass the configured gamma to the estimator; check the order of gamma and lambda",
        needs=("advantages",),
    ),
    "time_limit_as_end": Cause(
        "the time limit is learned as if it were the end of the task",
        "at truncations add gamma times the value of the last observation to the reward",
        needs=("advantages",),
    ),
    "time_limit_only": Cause(
        "no episode reaches its goal before the time limit",
        "shape the reward, explore more or allow longer episodes",
        needs=("environment",),
    ),
    "data_repeated": Cause(
        "the same rollout is learned from again and again",
        "refill the buffer before each update; check that a copy is stored, not a reference",
        needs=("environment",),
    ),
    "data_stale": Cause(
        "updates learn from a rollout of an earlier policy",
        "learn from the latest rollout; check the buffer's order and asynchronous collection",
        needs=("advantages",),
    ),
    "minibatch_repeated": Cause(
        "a part of the rollout is learned from over and over, the rest never",
        "take the next indices for each minibatch",
        needs=("advantages",),
    ),
    "environment_slows": Cause(
        "the environment takes longer and longer for a step",
        "look for what grows: lists, logs, recorded frames, memory",
        needs=("environment",),
    ),
}
