"""What is known of a run besides its series: hyperparameters, action space, limits."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

_NAMES: dict[str, tuple[str, ...]] = {
    "gamma": ("gamma", "discount", "discount_factor"),
    "clip_range": ("clip_coef", "clip_range", "clip_param", "ratio_clip"),
    "entropy_coefficient": ("ent_coef", "entropy_coef", "entropy_loss_scale"),
    "value_coefficient": ("vf_coef", "value_coef", "value_loss_coef", "value_loss_scale"),
    "learning_rate": ("learning_rate", "lr"),
    "max_grad_norm": ("max_grad_norm", "grad_norm_clip", "gradient_clip_val"),
    "target_kl": ("target_kl", "desired_kl", "kl_threshold"),
    "total_steps": ("total_timesteps", "total_steps"),
    "num_envs": ("num_envs", "n_envs"),
    "rollout_steps": ("num_steps", "n_steps", "rollout_length"),
    "weight_decay": ("weight_decay",),
    "target_update_interval": ("target_update_interval", "target_network_frequency", "target_update_freq", "sync_rate"),
}
"""Field to the hyperparameter names that trainers give it."""
_FLAGS: dict[str, tuple[str, ...]] = {
    "anneal_learning_rate": ("anneal_lr",),
    "normalizes_observations": ("norm_obs",),
    "normalizes_advantages": ("norm_adv", "normalize_advantage", "normalize_advantages"),
}
"""The same of fields that are true or false."""
AS_SERIES = (
    "num_actions",
    "action_dimensions",
    "max_action_entropy",
    "max_episode_steps",
    "has_dropout",
    "has_embedding",
)
"""Facts that no configuration has; a live run logs them as ``diagnostics/<name>``, so that its log can be judged."""
_OTHERS = re.compile(r"sched[^/]*/(gamma|total_steps|num_steps|n_steps)$")
"""Settings that have the name of a fact and are none, as the factor of PyTorch's ``StepLR``."""
_LARGEST = 2**53  # an integer that float64 holds


@dataclass(frozen=True)
class Facts:
    """What the rules may know of a run; every field is optional.

    Args:
        algorithm: its name, such as ``"PPO"``.
        num_actions: n of a discrete action space.
        action_dimensions: of a continuous one.
        max_action_entropy: of a continuous one with bounds, in nats: that of actions which are all as likely.
        max_episode_steps: the environment's time limit.
        anneal_learning_rate: whether the learning rate is meant to fall.
        normalizes_observations: whether the policy sees normalized ones.
        normalizes_advantages: whether those of each minibatch, or of each rollout, have mean 0 and deviation 1.
        has_dropout: whether the module has dropout layers.
        has_embedding: whether it has an embedding, whose observations are indices of any size.
        gamma: discount factor.
        clip_range: of PPO's probability ratio.
        entropy_coefficient: weight of the entropy bonus.
        value_coefficient: weight of the value loss.
        learning_rate: at the start.
        max_grad_norm: limit of the gradient's norm.
        target_kl: limit of the policy's move in an update, in nats.
        total_steps: environment steps that the run is meant to have.
        num_envs: environments that step together.
        rollout_steps: of each environment in a rollout.
        weight_decay: of the optimizer.
        target_update_interval: of a target network, in steps.
        error: type and text of the exception that ended the run.
        in_progress: whether the run still trains, so that its length is unknown where ``total_steps`` is.
    """

    algorithm: str | None = None
    num_actions: int | None = None
    action_dimensions: int | None = None
    max_action_entropy: float | None = None
    max_episode_steps: int | None = None
    anneal_learning_rate: bool | None = None
    normalizes_observations: bool | None = None
    normalizes_advantages: bool | None = None
    has_dropout: bool | None = None
    has_embedding: bool | None = None
    gamma: float | None = None
    clip_range: float | None = None
    entropy_coefficient: float | None = None
    value_coefficient: float | None = None
    learning_rate: float | None = None
    max_grad_norm: float | None = None
    target_kl: float | None = None
    total_steps: float | None = None
    num_envs: float | None = None
    rollout_steps: float | None = None
    weight_decay: float | None = None
    target_update_interval: float | None = None
    error: str | None = None
    in_progress: bool | None = None

    @classmethod
    def of(cls, hyperparameters: Mapping[str, Any], **known: Any) -> "Facts":
        """The facts in a run's hyperparameters, under the names that trainers give them.

        Args:
            hyperparameters: by name; nested ones as ``"a/b"`` or ``"a.b"``; what is unknown is left out.
            **known: fields that are known otherwise; they come first.

        Example:
            >>> Facts.of({"clip_range": 0.2, "agent/gamma": "0.99"}, num_actions=2).gamma
            0.99
        """
        paths = {str(name).replace(".", "/"): value for name, value in hyperparameters.items()}
        plain = {path.rpartition("/")[2]: value for path, value in paths.items() if not _OTHERS.search(path)}
        if plain.get("gradient_clip_algorithm") == "value":  # a limit of each number, not of the norm
            plain.pop("gradient_clip_val", None)
        found: dict[str, Any] = {}
        for field, names in _NAMES.items():
            numbers = (_number(plain[name]) for name in names if name in plain)
            found[field] = next((number for number in numbers if number is not None), None)
        algorithms = (plain[name] for name in ("algorithm", "algo") if name in plain)
        found["algorithm"] = next((name for name in algorithms if isinstance(name, str)), None)
        for field, names in _FLAGS.items():
            found[field] = next((_boolean(plain[name]) for name in names if name in plain), None)
        return cls(**found | {name: value for name, value in known.items() if value is not None})

    def completed(self, series: Mapping[str, tuple[Any, Any]]) -> "Facts":
        """With the facts in a run's own series: ``diagnostics/num_actions`` and its like.

        Example:
            >>> Facts().completed({"diagnostics/num_actions": ([1], [4.0])}).num_actions
            4
        """
        logged = {name: series[f"diagnostics/{name}"][1] for name in AS_SERIES if f"diagnostics/{name}" in series}
        known: dict[str, Any] = {name: _logged(name, values[-1]) for name, values in logged.items() if len(values)}
        return replace(self, **{name: value for name, value in known.items() if getattr(self, name) is None})

    @property
    def max_entropy(self) -> float | None:
        """log n of a discrete action space, in nats."""
        return math.log(self.num_actions) if self.num_actions is not None and self.num_actions > 1 else None

    @property
    def are_of_rewards(self) -> bool:
        """Whether they show that the run learns from rewards."""
        known = (self.algorithm, self.num_actions, self.action_dimensions, self.num_envs, self.clip_range)
        return any(each is not None for each in known)

    def to_dict(self) -> dict[str, Any]:
        """The fields that are known."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}


def _logged(name: str, value: float) -> float | None:
    """A fact as it was logged; ``None`` for what it cannot be."""
    if name == "max_action_entropy":
        return float(value)
    return int(value) if (0 if name.startswith("has_") else 1) <= value <= _LARGEST else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _boolean(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None
