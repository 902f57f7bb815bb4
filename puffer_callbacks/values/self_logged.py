"""What modules call the numbers of their training when they log them with Lightning's ``self.log``."""

SELF_LOGGED: dict[str, tuple[str, ...]] = {
    "train/reward": ("episode_reward", "episode_return", "total_reward", "ep_reward", "ep_return"),
    "train/episode_length": ("episode_length", "ep_length"),
    "train/loss": ("train_loss", "loss"),
    "train/policy_loss": ("policy_loss", "pg_loss"),
    "train/value_loss": ("value_loss", "vf_loss"),
    "train/actor_loss": ("actor_loss",),
    "train/critic_loss": ("critic_loss", "q_loss", "qf_loss"),
    "train/q_values": ("q_values", "q_mean"),
    "train/entropy": ("entropy",),
    "train/epsilon": ("epsilon",),
    "train/alpha": ("alpha",),
    "diagnostics/approx_kl": ("approx_kl",),
    "diagnostics/clip_fraction": ("clip_fraction", "clipfrac"),
    "diagnostics/explained_variance": ("explained_variance",),
}
"""Our tag to the names of the same number, of which the first that a run has counts where it has none of our own."""
NAMES = frozenset(name for names in SELF_LOGGED.values() for name in names)
"""All of these names."""
