"""Causes in the policy's update and its exploration."""

from puffer_callbacks.health.causes.cause import Cause

POLICY: dict[str, Cause] = {
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
    "zero_grad_missing": Cause(
        "zero_grad is not called between two steps, or not for these parameters",
        "call optimizer.zero_grad() before each step's backward pass, on the optimizer that steps",
    ),
    "too_many_epochs": Cause(
        "too many passes over one rollout", "lower update_epochs, or set target_kl", needs=("ratio",)
    ),
    "no_clipping": Cause(
        "the gradient's norm is not limited",
        "clip the gradient's norm (0.5 to 1 is common)",
    ),
    "ratio_not_clipped": Cause(
        "the probability ratio is not limited", "clip the ratio (0.1 to 0.3) in the policy loss", needs=("ratio",)
    ),
    "clip_wrong": Cause(
        "the clipped objective is not PPO's: the ratio is not clamped about 1",
        "minimize the mean of max(−A · ratio, −A · ratio.clamp(1 − clip, 1 + clip))",
        needs=("ratio",),
    ),
    "policy_loss_broadcast": Cause(
        "log-probabilities of shape [N, 1] times advantages of shape [N] broadcast to [N, N], and cancel out",
        "give both one shape before the product: log_prob.squeeze(-1), or advantages.unsqueeze(-1)",
        needs=("advantages",),
    ),
    "log_prob_recomputed": Cause(
        "each update step compares its log-probabilities with themselves",
        "keep the log-probabilities of the rollout, and do not compute them anew in the update",
        needs=("ratio",),
    ),
    "log_prob_wrong_action": Cause(
        "the update takes log-probabilities of other actions than those taken",
        "index actions and log-probabilities alike; check shapes, order and squashing",
        needs=("advantages",),
    ),
    "log_prob_not_squashed": Cause(
        "log-probabilities of squashed actions lack tanh's correction, or are summed over the batch",
        "subtract log(scale (1 − tanh(u)²) + 1e-6) from those of the normal distribution; sum over dimensions (dim=1)",
        needs=("temperature",),
    ),
    "log_prob_stale": Cause(
        "the rollout's log-probabilities are those of an earlier policy",
        "compute log-probabilities with the policy that acts, when it acts",
        needs=("advantages",),
    ),
    "sampler_drift": Cause(
        "the sampler acts by other weights, or another precision, than the learner's",
        "synchronize the sampler before each rollout; take old log-probabilities from the sampler",
        needs=("advantages",),
    ),
    "train_eval_mismatch": Cause(
        "the network differs between collecting and training (dropout, batch normalization)",
        "leave dropout out of the policy, or use one mode in both",
        needs=("advantages",),
    ),
    "advantage_sign": Cause(
        "the sign of the advantages, or of the policy loss, is wrong",
        "minimize −advantage · log-probability of the action, with advantage = return − baseline",
        needs=("advantages",),
        remedies={"ratio": "minimize −advantage · ratio, with advantage = return − baseline"},
    ),
    "advantage_misaligned": Cause(
        "advantages belong to other steps than the log-probabilities",
        "flatten and shuffle every field with the same indices",
        needs=("advantages",),
    ),
    "actor_sign": Cause(
        "the sign of the actor's loss is wrong: it lowers the critic's values of its actions",
        "minimize −q(s, actor(s)).mean()",
        needs=("target_network", "actor"),
        remedies={"temperature": "minimize (alpha · log_prob − q(s, actor(s))).mean()"},
    ),
    "actor_not_trained": Cause(
        "the actor's weights are not trained",
        "give the actor's parameters to the optimizer; check requires_grad and detach()",
        needs=("actor",),
    ),
    "entropy_sign": Cause(
        "the entropy bonus has the wrong sign: the loss rewards certainty",
        "subtract ent_coef · entropy from the loss, with ent_coef ≥ 0",
        needs=("entropy_bonus",),
    ),
    "entropy_coefficient_high": Cause(
        "the entropy bonus outweighs the advantages",
        "lower the entropy coefficient (0 to 0.01 is common)",
        needs=("entropy_bonus",),
    ),
    "entropy_coefficient_low": Cause(
        "nothing keeps the policy exploring",
        "add an entropy bonus to the loss, or raise its coefficient",
        needs=("advantages",),
    ),
    "double_softmax": Cause(
        "softmax is applied twice: probabilities are given as logits",
        "give the distribution raw outputs as logits, or pass probs=",
        needs=("advantages",),
    ),
    "epsilon_stays": Cause(
        "the exploration rate does not fall",
        "check the exploration schedule: its final value and fraction of the run",
        needs=("exploration_rate",),
    ),
    "not_sampled": Cause(
        "actions are not drawn from the policy: the likeliest ones are taken (argmax), or at another temperature",
        "draw actions in the rollout (distribution.sample()); take the likeliest ones in evaluations alone",
        needs=("advantages",),
    ),
    "clip_range_small": Cause(
        "the clip range in force is about 0", "check the clip range and its schedule (0.1 to 0.3)", needs=("ratio",)
    ),
    "exploration_missing": Cause(
        "the policy explores too little",
        "explore more",
        needs=("environment",),
        remedies={
            "advantages": "add an entropy bonus to the loss, or raise its coefficient",
            "exploration_rate": "raise the exploration rate, or let it fall later",
            "action_noise": "raise the action noise",
            "temperature": "raise the temperature, or the entropy that it is learned for",
        },
    ),
    "temperature_high": Cause(
        "the temperature rates entropy far above reward",
        "learn the temperature, or lower it to the rewards' scale",
        needs=("temperature",),
    ),
}
