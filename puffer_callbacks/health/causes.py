"""The causes that rules name, each with the knob to turn."""

from typing import NamedTuple


class Cause(NamedTuple):
    """A cause.

    Args:
        text: what is wrong, as a finding lists it.
        remedy: what to change.
    """

    text: str
    remedy: str


CAUSES: dict[str, Cause] = {
    # data
    "nonfinite_observation": Cause(
        "the environment returned an observation that is NaN or infinite",
        "check observations where they enter (divisions, sensors, normalization); clip or replace bad ones",
    ),
    "nonfinite_reward": Cause(
        "the environment returned a reward that is NaN or infinite",
        "check the reward function for divisions and logarithms",
    ),
    "nonfinite_activation": Cause(
        "a network's output became NaN or infinite",
        "look at the largest inputs and weights; lower the learning rate; clip observations",
    ),
    "nonfinite_loss": Cause(
        "a term of the loss became NaN or infinite (log 0, 0/0, an overflow)",
        "guard logarithms and divisions in the loss; clamp log-ratios before exp",
    ),
    "nonfinite_gradient": Cause(
        "a gradient became NaN or infinite while the loss was finite",
        "look for sqrt(0), norms of zero vectors and masks that multiply NaN; skip such steps",
    ),
    "nonfinite_weight": Cause(
        "weights became NaN or infinite", "lower the learning rate; clip gradients; resume before"
    ),
    "value_vanished": Cause(
        "the trainer leaves out values that are not finite", "look for NaN just before the series ends"
    ),
    "observation_constant": Cause(
        "the policy is given the same observation at every step",
        "check that the observation buffer is written, and copied, at every step",
    ),
    "observation_stale": Cause(
        "observations are stored or shown one step late",
        "store the observation that the action was chosen from",
    ),
    "reset_steps_stored": Cause(
        "vectorized environments reset themselves in the step after an end (next-step autoreset)",
        "leave the step after an end out of the loss, or make environments with AutoresetMode.SAME_STEP",
    ),
    "observation_scale": Cause(
        "observations are far larger than networks expect",
        "normalize observations (norm_obs, VecNormalize) or divide them by their range",
    ),
    "observation_ignored": Cause(
        "the policy does not depend on the observation",
        "check that the actor's first layers get the observation and are trained",
    ),
    "reward_missing": Cause(
        "rewards are always 0: lost on the way, or never reached",
        "check that the reward reaches the buffer; else shape it or explore more",
    ),
    "reward_scale_large": Cause(
        "rewards are too large for the critic to reach their scale",
        "scale or normalize rewards (norm_reward, VecNormalize) to returns of order 1 to 10",
    ),
    "dones_missing": Cause("the ends of episodes do not reach the trainer", "pass terminated or truncated on as done"),
    "done_mask_missing": Cause(
        "advantages run on over the ends of episodes", "multiply the next value and the next advantage by (1 − done)"
    ),
    "time_limit_only": Cause(
        "no episode reaches its goal before the time limit", "shape the reward, explore more or allow longer episodes"
    ),
    "data_repeated": Cause(
        "the same rollout is learned from again and again",
        "refill the buffer before each update; check that a copy is stored, not a reference",
    ),
    "data_stale": Cause(
        "updates learn from a rollout of an earlier policy",
        "learn from the latest rollout; check the buffer's order and asynchronous collection",
    ),
    "minibatch_repeated": Cause(
        "a part of the rollout is learned from over and over, the rest never",
        "take the next indices for each minibatch",
    ),
    "environment_slows": Cause(
        "the environment takes longer and longer for a step",
        "look for what grows: lists, logs, recorded frames, memory",
    ),
    # the policy's update
    "learning_rate_high": Cause("the learning rate is too high", "lower the learning rate, by a factor of 3 to 10"),
    "learning_rate_low": Cause("the learning rate is too low", "raise the learning rate, by a factor of 3 to 10"),
    "learning_rate_zero": Cause("the learning rate is 0", "check the schedule's units and its end"),
    "schedule_not_applied": Cause(
        "the learning rate does not follow its schedule",
        "step the scheduler, or set the rate in param_groups before each update",
    ),
    "optimizer_missing": Cause(
        "the optimizer does not step, or holds other parameters than the model's",
        "call optimizer.step(); make the optimizer after the model is on its device",
    ),
    "too_many_epochs": Cause("too many passes over one rollout", "lower update_epochs, or set target_kl"),
    "no_clipping": Cause(
        "neither the probability ratio nor the gradient is limited",
        "clip the ratio (0.1 to 0.3) and the gradient's norm (0.5 to 1)",
    ),
    "log_prob_wrong_action": Cause(
        "the update takes log-probabilities of other actions than those taken",
        "index actions and log-probabilities alike; check shapes, order and squashing",
    ),
    "log_prob_stale": Cause(
        "the rollout's log-probabilities are those of an earlier policy",
        "compute log-probabilities with the policy that acts, when it acts",
    ),
    "sampler_drift": Cause(
        "the sampler acts by other weights, or another precision, than the learner's",
        "synchronize the sampler before each rollout; take old log-probabilities from the sampler",
    ),
    "train_eval_mismatch": Cause(
        "the network differs between collecting and training (dropout, batch normalization)",
        "leave dropout out of the policy, or use one mode in both",
    ),
    "advantage_sign": Cause(
        "the sign of the advantages, or of the policy loss, is wrong",
        "minimize −advantage · ratio, with advantage = return − value",
    ),
    "advantage_misaligned": Cause(
        "advantages belong to other steps than the log-probabilities",
        "flatten and shuffle every field with the same indices",
    ),
    "actor_not_trained": Cause(
        "the actor's weights are not trained",
        "give the actor's parameters to the optimizer; check requires_grad and detach()",
    ),
    # entropy and exploration
    "entropy_sign": Cause(
        "the entropy bonus has the wrong sign: the loss rewards certainty",
        "subtract ent_coef · entropy from the loss, with ent_coef ≥ 0",
    ),
    "entropy_coefficient_high": Cause(
        "the entropy bonus outweighs the advantages", "lower the entropy coefficient (0 to 0.01 is common)"
    ),
    "entropy_coefficient_low": Cause("nothing keeps the policy exploring", "raise the entropy coefficient"),
    "double_softmax": Cause(
        "softmax is applied twice: probabilities are given as logits",
        "give the distribution raw outputs as logits, or pass probs=",
    ),
    "epsilon_stays": Cause(
        "the exploration rate does not fall", "check the exploration schedule: its final value and fraction of the run"
    ),
    "exploration_missing": Cause(
        "the policy explores too little", "raise the entropy coefficient, the action noise or the exploration rate"
    ),
    "temperature_high": Cause(
        "the temperature rates entropy far above reward",
        "learn the temperature (ent_coef='auto') or lower it to the rewards' scale",
    ),
    # critic
    "critic_detached": Cause(
        "the value loss does not reach the critic (detached, or not in the optimizer)",
        "do not detach values in the value loss; give the critic's parameters to the optimizer",
    ),
    "value_coefficient_zero": Cause("the value loss has weight 0", "set the value loss coefficient (0.5 is common)"),
    "critic_misfit": Cause(
        "the critic learns too slowly for its targets",
        "raise its learning rate, its epochs or the value coefficient; look at the scale of returns",
    ),
    "gamma_low": Cause(
        "the discount factor makes the policy blind to all but the next few rewards",
        "raise gamma: 1 / (1 − gamma) should reach the rewards that matter (0.99 sees 100 steps)",
    ),
    "target_not_updated": Cause(
        "the target network is never updated", "update it every few hundred to thousand steps, or with tau > 0"
    ),
    "no_updates": Cause("no update takes place", "check learning_starts, train_freq and the batch size"),
    # networks
    "dead_units": Cause(
        "units are dead: ReLU layers that are 0 for every observation",
        "lower the learning rate; look at biases; use a leaky activation or layer normalization",
    ),
    "initialization_saturates": Cause(
        "initial weights are so large that units start saturated",
        "initialize orthogonally with gain √2 (0.01 for the actor's last layer)",
    ),
    "weights_saturate": Cause(
        "weights have grown until units saturate",
        "lower the learning rate; normalize observations; add layer normalization",
    ),
    "weight_decay": Cause("weight decay is stronger than learning", "lower weight_decay, to 1e-2 or less"),
    "plasticity_lost": Cause(
        "the network has lost its plasticity: many units are dormant, or the rank is low",
        "lower the learning rate or the number of epochs; reset dormant units; use layer normalization",
    ),
    "gradient_explodes": Cause("gradients grow without limit", "clip the gradient's norm; lower the learning rate"),
    "gradient_vanishes": Cause(
        "gradients vanish on their way back",
        "look for saturated or dead units; use normalization and smaller initial weights",
    ),
    "action_saturated": Cause(
        "actions lie at their bounds, whatever the observation",
        "check the scale of the action head: it outputs units of the action space, scaled once",
    ),
    "action_dominates": Cause(
        "one action is taken at every step", "check the action head's bias and the mapping of actions"
    ),
    "exploration_unlucky": Cause(
        "the environment is hard, or learning has not begun yet",
        "train longer; try several seeds; compare with known hyperparameters of the environment",
    ),
}
"""Key to cause. Rules name causes by key; findings carry their texts."""
