"""The facts of a run in training, for the rules of ``puffer_callbacks.health``."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from torch import nn

from puffer_callbacks.callbacks.hyperparameters import run_settings
from puffer_callbacks.health.facts import AS_SERIES, Facts
from puffer_callbacks.rollout import Rollout


def facts_of_run(trainer: Any, pl_module: Any) -> Facts:
    """The facts in the configuration of a run that begins, and in its module."""
    settings = run_settings(trainer, pl_module)
    dropout = any(isinstance(part, nn.modules.dropout._DropoutNd) for part in pl_module.modules())
    embedding = any(isinstance(part, nn.Embedding) for part in pl_module.modules())
    buffers = pl_module.named_buffers()  # as in CleanRL; a scalar may be that of several dimensions
    scales = [each for name, each in buffers if name.endswith("action_scale") and each.ndim]
    return Facts.of(
        settings,
        has_dropout=dropout,
        has_embedding=embedding or None,
        max_action_entropy=_max_entropy(2 * scales[0].cpu().double().numpy()) if scales else None,
        max_episode_steps=_time_limit(settings),
        in_progress=True,
    )


def with_action_space(facts: Facts, rollout: Rollout) -> Facts:
    """The facts, with the size of the rollout's action space.

    Example:
        >>> with_action_space(Facts(), Rollout(action_space=gymnasium.spaces.Discrete(3))).num_actions
        3
    """
    space = rollout.action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return replace(facts, num_actions=int(space.n))
    if isinstance(space, gymnasium.spaces.Box):
        entropy = _max_entropy(space.high.astype(float) - space.low)
        return replace(facts, action_dimensions=int(space.low.size), max_action_entropy=entropy)
    return facts


def as_scalars(facts: Facts) -> dict[str, float]:
    """The facts that no configuration has, as ``diagnostics/<name>``: a log of the run can then be judged alike."""
    found = {name: getattr(facts, name) for name in AS_SERIES}
    return {f"diagnostics/{name}": float(value) for name, value in found.items() if value is not None}


def _max_entropy(ranges: Any) -> float | None:
    """Of actions in these ranges, or in [-1, 1] where that is wider: some take log-probabilities before scaling."""
    entropy = float(np.log(np.maximum(ranges, 2.0)).sum())
    return entropy if np.isfinite(entropy) else None


def _time_limit(settings: Mapping[str, Any]) -> int | None:
    env_id = next((settings[name] for name in ("env_id", "env") if isinstance(settings.get(name), str)), None)
    with suppress(Exception):  # an environment that is not registered
        return None if env_id is None else gymnasium.spec(env_id).max_episode_steps
    return None
