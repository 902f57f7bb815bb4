"""Validation of PPO's hyperparameters: one clear line where a value breaks its rule, or does not fit the machine."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from gymnasium import Space

from puffer_callbacks.ppo.networks import ACTIVATIONS


class _Rule(NamedTuple):
    expected: str
    kind: type
    holds: Callable[[Any], bool]


_COUNT = _Rule("an integer of at least 1", Integral, lambda value: value >= 1)
_POSITIVE = _Rule("a finite number above 0", Real, lambda value: 0 < value < math.inf)
_NOT_NEGATIVE = _Rule("a finite number of at least 0", Real, lambda value: 0 <= value < math.inf)
_SHARE = _Rule("a number from 0 to 1", Real, lambda value: 0 <= value <= 1)
_LIMIT = _POSITIVE._replace(expected="a finite number above 0, or none")
_FLAG = _Rule("true or false", bool, lambda value: True)

RULES: dict[str, _Rule] = {
    **dict.fromkeys(("total_timesteps", "num_envs", "num_steps", "batch_size", "update_epochs"), _COUNT),
    **dict.fromkeys(("learning_rate", "clip_coef"), _POSITIVE),
    **dict.fromkeys(("ent_coef", "vf_coef"), _NOT_NEGATIVE),
    **dict.fromkeys(("gamma", "gae_lambda"), _SHARE),
    **dict.fromkeys(("anneal_lr", "norm_adv", "clip_vloss", "norm_obs", "norm_reward"), _FLAG),
    **dict.fromkeys(("max_grad_norm", "target_kl"), _LIMIT),
    "activation": _Rule(f"one of {', '.join(ACTIVATIONS)}", str, lambda value: value in ACTIVATIONS),
    "log_std_init": _Rule("a finite number", Real, math.isfinite),
    "seed": _Rule("an integer from 0 to 2**31 - 1", Integral, lambda value: 0 <= value < 2**31),
}

_BYTES_BESIDE = 6 * 4
"""Of a step: its reward, value, log probability, entropy, advantage and return."""


def check_hyperparameters(values: Mapping[str, Any]) -> None:
    """Check hyperparameters and raise at the first value out of range; unknown names are skipped.

    Args:
        values: hyperparameters by the names of ``PPO``'s arguments.

    Raises:
        TypeError: if a value is of the wrong type.
        ValueError: if it is out of range.

    Example:
        >>> check_hyperparameters({"gamma": 1.5})
        Traceback (most recent call last):
        ValueError: gamma: expected a number from 0 to 1, got 1.5
    """
    for name, rule in RULES.items():
        value = values.get(name)
        if name not in values or (value is None and rule is _LIMIT):
            continue
        if not _is_a(value, rule.kind):
            raise TypeError(f"{name}: expected {rule.expected}, got {value!r}")
        if not rule.holds(value):
            raise ValueError(f"{name}: expected {rule.expected}, got {value!r}")
    if "hidden_sizes" in values:
        _check_hidden_sizes(values["hidden_sizes"])
    if {"batch_size", "num_envs", "num_steps"} <= values.keys():
        _check_batch(values["batch_size"], values["num_envs"], values["num_steps"])


def check_memory(spaces: Sequence[Space[Any]], *, num_envs: int, num_steps: int) -> None:
    """Check that a rollout fits into the memory of the machine, before it fills that.

    Args:
        spaces: of an observation and an action of one environment.
        num_envs: environments.
        num_steps: steps of each in a rollout.

    Raises:
        ValueError: if it does not.

    Example:
        >>> from gymnasium.spaces import Box
        >>> check_memory([Box(-1, 1, (8,))], num_envs=8, num_steps=128)
    """
    bytes_of_step = sum(np.asarray(space.sample()).nbytes for space in spaces) + _BYTES_BESIDE
    needed = num_envs * num_steps * bytes_of_step
    available = _memory()
    if needed > available:
        raise ValueError(
            f"num_envs: expected a rollout that fits into {available / 2**30:,.0f} GiB of memory, got {num_envs:,} "
            f"environments of {num_steps:,} steps, {needed / 2**30:,.0f} GiB; lower num_envs or num_steps"
        )


def _memory() -> float:
    """Bytes of the machine; of one that is not asked, as with Windows, any number."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf


def _is_a(value: object, kind: type) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _check_hidden_sizes(value: Any) -> None:
    line = f"hidden_sizes: expected a list of integers of at least 1, got {value!r}"
    if not isinstance(value, Sequence) or not all(_is_a(size, Integral) for size in value):
        raise TypeError(line)
    if any(size < 1 for size in value):
        raise ValueError(line)


def _check_batch(batch_size: int, num_envs: int, num_steps: int) -> None:
    if batch_size > num_envs * num_steps:
        raise ValueError(
            f"batch_size: expected at most num_envs * num_steps = {num_envs * num_steps}, the steps of a "
            f"rollout, got {batch_size}; lower it, or raise num_envs or num_steps"
        )
