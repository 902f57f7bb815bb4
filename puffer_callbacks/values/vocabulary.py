"""The vocabulary of a run: what each tag means, its unit, and what a healthy value looks like."""

import re
from dataclasses import dataclass
from functools import cache

LOSSES = {
    "policy_loss": ("losses/policy", 1.0),
    "value_loss": ("losses/value", 1.0),
    "entropy": ("losses/entropy", -1.0),
}
"""A training step's scalar, which is ``train/<name>``, to its tag among the grouped losses and its sign there."""


@dataclass(frozen=True)
class Description:
    """The meaning of a tag.

    Args:
        tag: the tag, or the pattern that it follows, such as ``weights/<parameter>``.
        meaning: one sentence.
        unit: such as ``nats`` or ``steps``; empty for a pure number.
        good: the healthy range or trend; empty where there is none.

    Example:
        >>> describe("train/entropy").unit
        'nats'
    """

    tag: str
    meaning: str
    unit: str = ""
    good: str = ""

    def __str__(self) -> str:
        """One line, as a chart's caption shows it."""
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.meaning}{unit}" + (f" Good: {self.good}." if self.good else "")


def describe(tag: str) -> Description | None:
    """The description of a tag, or ``None`` for a tag that is not in the vocabulary.

    Args:
        tag: one of our own tags; those of other libraries are translated first, by ``puffer_callbacks.runs``.

    Example:
        >>> describe("gradient_norm/actor").tag, describe("mine") is None
        ('gradient_norm/<module>', True)
    """
    exact = VOCABULARY.get(tag)
    return exact or next((found for pattern, found in _patterns() if pattern.fullmatch(tag)), None)


def unit_of(tag: str) -> str:
    """The unit of a tag; empty for a pure number, and for a tag that is not in the vocabulary.

    Example:
        >>> unit_of("train/entropy"), unit_of("mine")
        ('nats', '')
    """
    description = describe(tag)
    return description.unit if description else ""


@cache
def _patterns() -> list[tuple[re.Pattern[str], Description]]:
    return [
        (re.compile(re.sub(r"<\w+>", ".+", re.escape(tag))), description)
        for tag, description in VOCABULARY.items()
        if "<" in tag
    ]


_ENTRIES = (
    ("train/reward", "Mean undiscounted return of the episodes that finished in the rollout.", "reward", "rising"),
    ("train/episode_length", "Mean length of the episodes that finished in the rollout.", "steps"),
    ("train/loss", "The whole loss that is minimized."),
    ("train/policy_loss", "The policy's surrogate loss.", "", "small, around 0"),
    ("train/value_loss", "The critic's regression loss.", "reward²", "falling, or steady while returns still change"),
    ("train/entropy", "Mean entropy of the policy.", "nats", "falls slowly; below 0 is fine if continuous"),
    ("train/learning_rate", "Learning rate of the optimizer.", "", "as configured"),
    ("train/ent_coef", "Weight of the entropy bonus; SAC's temperature."),
    ("train/std", "Mean standard deviation of a Gaussian policy's actions.", "action", "falls slowly"),
    ("train/q_values", "Mean action value of the sampled batch.", "reward", "near the discounted returns"),
    ("rollout/exploration_rate", "Probability of a random action, as DQN explores.", "", "falls to its final value"),
    ("losses/policy", "The policy's surrogate loss; the same as train/policy_loss."),
    ("losses/value", "The critic's regression loss; the same as train/value_loss.", "reward²", "falling"),
    ("losses/entropy", "The entropy as a loss: minus the mean entropy of the policy.", "nats", "rises slowly"),
    ("rollout/return_mean", "Mean undiscounted return of the finished episodes.", "reward", "rising"),
    ("rollout/return_last_100", "Mean undiscounted return of the last 100 episodes.", "reward", "rising"),
    ("rollout/return_min", "Lowest return among the finished episodes.", "reward", "rising"),
    ("rollout/return_p10", "Return that 10 % of the finished episodes stay below.", "reward", "rising"),
    ("rollout/return_median", "Median return of the finished episodes.", "reward", "rising"),
    ("rollout/return_p90", "Return that 90 % of the finished episodes stay below.", "reward", "rising"),
    ("rollout/return_max", "Highest return among the finished episodes.", "reward", "rising"),
    ("rollout/episode_length_mean", "Mean length of the finished episodes.", "steps"),
    ("rollout/success_rate", "Share of the finished episodes that succeeded.", "", "rising to 1"),
    ("rollout/info/<name>", "Mean of a number that the environment reports at the end of an episode."),
    ("rollout/advantages", "Distribution of the advantages.", "reward", "centered near 0, with spread"),
    ("rollout/values", "Distribution of the critic's values.", "reward", "as wide as the returns"),
    ("rollout/rewards", "Distribution of the rewards of single steps.", "reward", "not all equal"),
    ("rollout/actions", "Distribution of the actions.", "action", "not all at the limits, not all one action"),
    ("diagnostics/approx_kl", "KL from the rollout's policy, as mean(r − 1 − log r).", "nats", "0.001 to 0.02"),
    ("diagnostics/old_approx_kl", "The same KL as mean(−log r): noisier, can be below 0.", "nats", "near 0"),
    ("diagnostics/clip_fraction", "Share of samples whose ratio left the clip range.", "", "0.05 to 0.3"),
    ("diagnostics/explained_variance", "1 − Var(return − value) / Var(return).", "", "rising to 1; 0 is a constant"),
    ("diagnostics/first_kl", "KL at the first minibatch of a fresh rollout.", "nats", "0"),
    ("diagnostics/first_clip_fraction", "Clip fraction at the first minibatch of a fresh rollout.", "", "0"),
    (
        "diagnostics/first_policy_loss",
        "Policy loss at the first minibatch of a rollout.",
        "",
        "0, of normalized advantages",
    ),
    ("diagnostics/largest_policy_loss", "Largest size of the policy loss in an update's minibatches.", "", "above 0"),
    ("diagnostics/value_pairing", "Weight of values with their own returns in the value loss.", "", "1; 0 is a bug"),
    ("diagnostics/target_copied", "1 where each step makes the target network equal to the trained one.", "", "0"),
    ("diagnostics/untrained_outputs", "Share of the critic's outputs that no update has changed.", "", "0"),
    ("diagnostics/terminal_bootstrap", "Size of next values in targets where episodes end, over all.", "", "0"),
    ("diagnostics/next_value_spread", "Spread of next values in targets over their size.", "", "above 0"),
    ("diagnostics/log_prob_change", "Mean change of log-probabilities by an update.", "nats", "0.01 to 0.2"),
    ("diagnostics/log_prob_error", "Mean error of the rollout's log-probabilities, computed again.", "nats", "0"),
    ("diagnostics/log_prob_spread", "Spread of an action's log-probability over observations.", "nats", "above 0"),
    ("diagnostics/max_probability", "Highest probability of an action taken.", "", "rising"),
    ("diagnostics/softmaxes", "Softmaxes between the last layer and the log-probabilities.", "", "1; 2 is a bug"),
    ("diagnostics/sampling_bias", "Mean log-probability of actions above that of draws, over the entropy.", "", "0"),
    ("diagnostics/action_entropy", "Entropy of the actions' frequencies over log n.", "", "above 0"),
    ("diagnostics/action_spread", "Standard deviation of the actions over half their range.", "", "above 0"),
    ("diagnostics/dominant_action_fraction", "Share of the most frequent action.", "", "below 1"),
    ("diagnostics/saturated_action_fraction", "Share of actions at a bound.", "", "well below 1"),
    ("diagnostics/training_steps", "Training steps since the rollout before."),
    ("diagnostics/batch_coverage", "Share of the rollout that the minibatches of an update cover.", "", "1"),
    ("diagnostics/repeated_rollout", "1 where a rollout has come before.", "", "0"),
    ("diagnostics/reset_delay_fraction", "Share of episodes whose first observation comes a step late.", "", "0"),
    ("diagnostics/reset_step_fraction", "Share of episodes whose end a step without effect follows.", "", "0"),
    ("diagnostics/unrewarded_end_fraction", "Share of marked ends with a reward of exactly 0."),
    ("diagnostics/reset_early_fraction", "Share of episodes whose first observation comes before the end.", "", "0"),
    ("diagnostics/observation_scale", "Largest root mean square of an observed number.", "", "about 1"),
    ("diagnostics/observation_constant_fraction", "Share of observed numbers that do not vary.", "", "0"),
    ("diagnostics/observation_repeat_fraction", "Share of steps after which no observation changed.", "", "0"),
    ("diagnostics/reward_scale", "Root mean square of the rewards of single steps.", "reward", "about 0.1 to 10"),
    ("diagnostics/nonzero_reward_fraction", "Share of steps with a reward.", "", "above 0"),
    ("diagnostics/return_std", "Standard deviation of the critic's targets.", "reward", "above 0"),
    ("diagnostics/value_std", "Standard deviation of the critic's values.", "reward", "as that of the targets"),
    ("diagnostics/value_error", "Root mean squared error of the values over the size of their targets.", "", "falling"),
    ("diagnostics/advantage_std", "Standard deviation of the advantages.", "reward", "above 0"),
    ("diagnostics/advantage_fit", "Share of the advantages that rewards and values explain.", "", "1"),
    ("diagnostics/advantage_sign", "Sign of −value in the advantages.", "", "1"),
    ("diagnostics/advantage_alignment", "Correlation of an update's effect with the advantages.", "", "above 0"),
    ("diagnostics/estimated_gamma", "Discount factor that the advantages follow.", "", "as configured"),
    ("diagnostics/leak_fraction", "Share of episode ends over which advantages flow back.", "", "0"),
    ("diagnostics/bootstrap_leak_fraction", "Share of episode ends over which values alone flow back.", "", "0"),
    (
        "diagnostics/plain_end_fraction",
        "Share of episode ends at which an advantage is reward less value.",
        "",
        "1, of terminations",
    ),
    ("diagnostics/mask_shift", "Steps from the ends of episodes to those of the advantages.", "steps", "0"),
    ("diagnostics/target_advantage_weight", "Weight of the advantages in the critic's targets.", "", "1"),
    ("diagnostics/target_value_weight", "Weight of the values in the critic's targets.", "", "1"),
    ("diagnostics/done_fraction", "Share of steps that end an episode.", "", "above 0"),
    ("diagnostics/time_limit_fraction", "Share of episodes cut at the time limit."),
    ("diagnostics/num_actions", "Actions of a discrete action space."),
    ("diagnostics/action_dimensions", "Numbers in a continuous action."),
    ("diagnostics/max_action_entropy", "Entropy of actions that are all as likely within their bounds.", "nats"),
    ("diagnostics/max_episode_steps", "The environment's time limit.", "steps"),
    ("diagnostics/has_embedding", "1 where the module has an embedding."),
    ("diagnostics/has_dropout", "1 where the module has dropout layers.", "", "0 in reinforcement learning"),
    ("diagnostics/weight_norm/<module>", "L2 norm of a module's weights.", "", "rises slowly"),
    ("diagnostics/weight_change/<module>", "Norm of an update's change over that of the weights.", "", "above 0"),
    ("diagnostics/importance", "Mean probability ratio of new to old policy.", "", "near 1"),
    ("diagnostics/reference_kl", "KL from the reference model.", "nats", "rises slowly"),
    ("diagnostics/mismatch_kl", "KL between the sampler's and the learner's probabilities.", "nats", "near 0"),
    ("diagnostics/zero_std_fraction", "Share of prompts whose samples all got one reward.", "", "well below 1"),
    ("eval/mean_reward", "Mean return of evaluation episodes.", "reward", "rising, near train/reward"),
    ("eval/mean_ep_length", "Mean length of evaluation episodes.", "steps"),
    ("weights/<parameter>", "Distribution of a parameter's weights.", "", "widens slowly"),
    ("gradients/clipped/<parameter>", "Distribution of a parameter's gradient after a clip that is not torch's."),
    ("gradients/<parameter>", "Distribution of a parameter's gradient before the clip.", "", "not all 0"),
    ("gradient_norm/total", "L2 norm of all gradients together, before the clip.", "", "steady; no spikes"),
    ("gradient_norm/clipped", "L2 norm of all gradients together, after the clip."),
    ("gradient_norm/clipped/<module>", "L2 norm of a module's gradients, after a clip that is not torch's."),
    ("gradient_norm/<module>", "L2 norm of a module's gradients, before the clip.", "", "steady; not 0"),
    ("gradient_noise_scale", "Simple noise scale: the batch size beyond which gradients gain little.", "samples"),
    ("update_ratio/<parameter>", "Norm of a step's change over the norm of the weights.", "", "about 1e-3"),
    ("old_gradients/<parameter>", "1 where a step's gradients were added to those before, never zeroed.", "", "0"),
    ("plasticity/dormant_ratio", "Share of units that are nearly always inactive.", "", "near 0"),
    ("plasticity/effective_rank", "Directions that carry 99 % of the features' spectrum.", "", "not falling"),
    ("plasticity/feature_norm", "Mean L2 norm of the features.", "", "steady"),
    ("plasticity/weight_norm", "L2 norm of all weights.", "", "rises slowly"),
    ("plasticity/saturated_ratio", "Share of outputs near the bounds of their activation.", "", "well below 1"),
    ("plasticity/dormant_ratio/<layer>", "Share of the layer's units that are nearly always inactive.", "", "near 0"),
    ("plasticity/saturated_ratio/<layer>", "Share of the layer's outputs near their bounds.", "", "well below 1"),
    ("plasticity/effective_rank/<layer>", "Directions that carry 99 % of the features' spectrum.", "", "not falling"),
    ("plasticity/feature_norm/<layer>", "Mean L2 norm of the layer's features.", "", "steady"),
    ("plasticity/weight_norm/<module>", "L2 norm of the module's weights.", "", "rises slowly"),
    ("health/findings", "Number of troubles that have not ended.", "", "0"),
    ("health/<rule>", "1 while the rule finds trouble, 0 otherwise.", "", "0"),
    ("observations", "A sample of observations, as pictures."),
    ("observations/<name>", "A sample of one part of the observations, as pictures."),
    ("attention/<module>", "Attention weights of a module, as a picture.", "", "not all on one token"),
    ("episodes", "A recorded evaluation episode."),
    ("time/env_steps", "Environment steps so far, over all ranks.", "steps", "rising"),
    ("time/optimizer_steps", "Optimizer steps so far.", "steps", "rising"),
    ("time/elapsed", "Seconds of training so far, resumes included.", "s", "rising"),
    ("throughput/sps", "Environment steps per second.", "steps/s", "steady"),
    ("logging/overhead_pct", "Share of the run's time that logging takes.", "%", "below 3"),
    ("logging/every_n_steps/<callback>", "Interval of a callback that the budget has widened.", "steps"),
    ("nonfinite/<tag>", "How many values of that tag were NaN or infinite so far.", "", "0"),
)

VOCABULARY: dict[str, Description] = {tag: Description(tag, *rest) for tag, *rest in _ENTRIES}
"""Tag, or pattern of tags, to its description."""
