"""The alias table: libraries whose logs are known, how to identify them, and their names for our tags."""

from collections.abc import Iterable

from puffer_callbacks.runs.aliases import Source


def source_of(tags: Iterable[str]) -> Source:
    """The library that logs tags of these names: the first in the table with a signature among them.

    Example:
        >>> source_of(["charts/episodic_return", "losses/entropy"]).name, source_of(["mine"]).name
        ('cleanrl', 'unknown')
    """
    given = frozenset(tags)
    return next((source for source in SOURCES if source.signature & given), UNKNOWN)


def _puffer(*names: str) -> tuple[str, ...]:
    return tuple(prefix + name for name in names for prefix in ("loss/", "losses/"))


def _prefixed(*names: str) -> tuple[str, ...]:
    return tuple(prefix + name for name in names for prefix in ("", "train/"))


OURS = "puffer_callbacks"
"""The name of this package's own logs."""
UNKNOWN = Source("unknown", "steps")
"""A library that the table does not have: tags of our vocabulary keep their names."""

SOURCES = (
    Source(
        OURS,
        "env_steps",
        frozenset({"time/optimizer_steps", "axes/optimizer_steps", "logging/overhead_pct"}),
        {
            "time/env_steps": ("time/env_steps", "axes/env_steps"),
            "time/optimizer_steps": ("time/optimizer_steps", "axes/optimizer_steps"),
            "time/elapsed": ("time/elapsed", "axes/wall_time"),
        },
        from_start=frozenset({"axes/wall_time"}),
    ),
    Source(
        "stable-baselines3",
        "env_steps",
        frozenset({"rollout/ep_rew_mean", "time/fps", "time/total_timesteps", "train/n_updates", "train/entropy_loss"}),
        {
            "train/reward": ("rollout/ep_rew_mean",),
            "train/episode_length": ("rollout/ep_len_mean",),
            "train/entropy": ("-train/entropy_loss",),
            "train/policy_loss": ("train/policy_gradient_loss", "train/policy_loss", "train/actor_loss"),
            "train/value_loss": ("train/value_loss", "train/critic_loss"),
            "diagnostics/approx_kl": ("train/approx_kl",),
            "diagnostics/clip_fraction": ("train/clip_fraction",),
            "diagnostics/explained_variance": ("train/explained_variance",),
            "time/env_steps": ("time/total_timesteps",),
            "time/elapsed": ("time/time_elapsed",),
            "throughput/sps": ("time/fps",),
        },
    ),
    Source(
        "cleanrl",
        "env_steps",
        frozenset({"charts/episodic_return", "charts/episodic_length", "charts/SPS", "charts/learning_rate"}),
        {
            "train/reward": ("charts/episodic_return",),
            "train/episode_length": ("charts/episodic_length",),
            "train/learning_rate": ("charts/learning_rate",),
            "train/policy_loss": ("losses/policy_loss", "losses/actor_loss"),
            "train/value_loss": ("losses/value_loss", "losses/qf_loss", "losses/qf1_loss", "losses/td_loss"),
            "train/q_values": ("losses/q_values", "losses/qf1_values"),
            "train/entropy": ("losses/entropy",),
            "train/ent_coef": ("losses/alpha",),
            "diagnostics/approx_kl": ("losses/approx_kl",),
            "diagnostics/old_approx_kl": ("losses/old_approx_kl",),
            "diagnostics/clip_fraction": ("losses/clipfrac",),
            "diagnostics/explained_variance": ("losses/explained_variance",),
            "throughput/sps": ("charts/SPS",),
        },
    ),
    Source(
        "pufferlib",  # the names of the CUDA program, of version 4 and of version 3
        "env_steps",
        frozenset({"agent_steps", *_puffer("clipfrac", "old_kl")}),
        {
            "train/reward": ("env/episode_return", "environment/episode_return", "env/score", "environment/score"),
            "train/episode_length": ("env/episode_length", "environment/episode_length"),
            "train/loss": _puffer("total"),
            "train/policy_loss": _puffer("policy", "policy_loss"),
            "train/value_loss": _puffer("value", "value_loss"),
            "train/entropy": _puffer("entropy"),
            "train/learning_rate": ("learning_rate",),
            "diagnostics/approx_kl": _puffer("kl", "approx_kl"),
            "diagnostics/old_approx_kl": _puffer("old_kl", "old_approx_kl"),
            "diagnostics/clip_fraction": _puffer("clipfrac"),
            "diagnostics/importance": _puffer("importance"),
            "diagnostics/explained_variance": _puffer("explained_variance"),
            "time/env_steps": ("agent_steps",),
            "time/elapsed": ("uptime",),
            "throughput/sps": ("SPS",),
        },
    ),
    Source(
        "rsl_rl",
        "iterations",
        frozenset({"Train/mean_reward", "Perf/total_fps", "Loss/surrogate", "Policy/mean_std"}),
        {
            "train/reward": ("Train/mean_reward",),
            "train/episode_length": ("Train/mean_episode_length",),
            "train/policy_loss": ("Loss/surrogate",),
            "train/value_loss": ("Loss/value", "Loss/value_function"),
            "train/entropy": ("Loss/entropy",),
            "train/learning_rate": ("Loss/learning_rate",),
            "train/std": ("Policy/mean_std", "Policy/mean_noise_std"),
            "throughput/sps": ("Perf/total_fps",),
        },
    ),
    Source(
        "skrl",  # its entropy loss is scaled by a coefficient that the log does not have
        "env_steps",
        frozenset({"Reward / Total reward (mean)", "Loss / Policy loss", "Loss / Critic loss"}),
        {
            "train/reward": ("Reward / Total reward (mean)",),
            "train/episode_length": ("Episode / Total timesteps (mean)",),
            "train/policy_loss": ("Loss / Policy loss",),
            "train/value_loss": ("Loss / Value loss", "Loss / Critic loss", "Loss / Q-network loss"),
            "train/std": ("Policy / Standard deviation",),
            "train/learning_rate": ("Learning / Learning rate", "Learning / Policy learning rate"),
            "train/ent_coef": ("Coefficient / Entropy coefficient",),
            "rollout/exploration_rate": ("Exploration / Exploration epsilon",),
            "train/q_values": ("Q-network / Q1 (mean)",),
        },
    ),
    Source(
        "sheeprl",
        "env_steps",
        frozenset({"Rewards/rew_avg", "Game/ep_len_avg"}),
        {
            "train/reward": ("Rewards/rew_avg",),
            "train/episode_length": ("Game/ep_len_avg",),
            "train/policy_loss": ("Loss/policy_loss",),
            "train/value_loss": ("Loss/value_loss",),
            "train/entropy": ("-Loss/entropy_loss",),
            "throughput/sps": ("Time/sps_env_interaction",),
        },
    ),
    Source(
        "torchrl",  # the names of its trainer and of its example scripts; their entropy loss is scaled
        "env_steps",
        frozenset({"r_training", "kl_approx", "train/kl_approx", *_prefixed("loss_objective", "loss_critic")}),
        {
            "train/reward": ("r_training", "train/reward"),
            "train/episode_length": ("train/episode_length",),
            "train/policy_loss": _prefixed("loss_objective", "loss_actor"),
            "train/value_loss": _prefixed("loss_critic", "loss_qvalue"),
            "train/entropy": _prefixed("entropy"),
            "train/learning_rate": _prefixed("lr"),
            "diagnostics/approx_kl": _prefixed("kl_approx"),
            "diagnostics/clip_fraction": _prefixed("clip_fraction"),
            "diagnostics/explained_variance": _prefixed("explained_variance"),
            "gradient_norm/total": _prefixed("grad_norm"),
            "eval/mean_reward": ("eval/reward",),
        },
    ),
    Source(
        "trl",
        "optimizer_steps",
        frozenset(_prefixed("frac_reward_zero_std", "completions/mean_length")),
        {
            "train/reward": _prefixed("reward"),
            "train/episode_length": _prefixed("completions/mean_length"),
            "train/loss": _prefixed("loss"),
            "train/entropy": _prefixed("entropy"),
            "train/learning_rate": _prefixed("learning_rate"),
            "gradient_norm/total": _prefixed("grad_norm"),
            "diagnostics/reference_kl": _prefixed("kl"),
            "diagnostics/clip_fraction": _prefixed("clip_ratio/region_mean", "clip_ratio"),
            "diagnostics/zero_std_fraction": _prefixed("frac_reward_zero_std"),
            "eval/mean_reward": ("eval_reward", "eval/reward"),
        },
    ),
    Source(
        "verl",  # its ppo_kl is the mean of −log r
        "optimizer_steps",
        frozenset({"critic/score/mean", "actor/pg_loss", "actor/ppo_kl"}),
        {
            "train/reward": ("critic/score/mean", "critic/rewards/mean"),
            "train/episode_length": ("response_length/mean",),
            "train/policy_loss": ("actor/pg_loss",),
            "train/value_loss": ("critic/vf_loss",),
            "train/entropy": ("actor/entropy", "actor/entropy_loss"),
            "train/learning_rate": ("actor/lr",),
            "gradient_norm/total": ("actor/grad_norm",),
            "diagnostics/old_approx_kl": ("actor/ppo_kl",),
            "diagnostics/clip_fraction": ("actor/pg_clipfrac",),
            "diagnostics/reference_kl": ("actor/kl_loss",),
            "diagnostics/mismatch_kl": ("rollout_corr/kl",),
            "diagnostics/explained_variance": ("critic/vf_explained_var",),
        },
    ),
    Source(
        "prime-rl",
        "optimizer_steps",
        frozenset({"mismatch_kl/mean", "mismatch_kl/all/mean", "optim/grad_norm"}),
        {
            "train/reward": ("reward/all/mean", "reward/mean"),
            "train/loss": ("loss/mean",),
            "train/entropy": ("entropy/mean", "entropy/all/mean"),
            "train/learning_rate": ("optim/lr",),
            "gradient_norm/total": ("optim/grad_norm",),
            "diagnostics/mismatch_kl": ("mismatch_kl/mean", "mismatch_kl/all/mean"),
        },
    ),
)
"""Every known library. The order matters: the first with a matching signature is used."""
