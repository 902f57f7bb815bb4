"""Which parts the algorithm of a run has, as far as its series and facts show."""

from typing import get_args

from puffer_callbacks.health.causes import Part
from puffer_callbacks.health.evidence import Evidence
from puffer_callbacks.health.facts import Facts
from puffer_callbacks.health.modules import Role, has_actor, role_of
from puffer_callbacks.health.rules.critic import FIT, VALUE_STD
from puffer_callbacks.health.rules.critic import LOSS as VALUE_LOSS
from puffer_callbacks.health.rules.entropy import ENTROPY
from puffer_callbacks.health.rules.exploration import EPSILONS, TEMPERATURES
from puffer_callbacks.health.rules.loss import POLICY as POLICY_LOSS
from puffer_callbacks.health.rules.policy_update import CLIP, KL
from puffer_callbacks.health.rules.targets import ADVANTAGES, learns_from_targets
from puffer_callbacks.health.rules.weights import NORM

Parts = frozenset[Part]

SUPERVISED: Parts = frozenset({"dataset"})
ANY: Parts = frozenset(get_args(Part)) - SUPERVISED
"""What a run that learns from rewards may have, where nothing more is known."""
_OFF_POLICY: Parts = frozenset({"environment", "critic", "target_network"})
_BY_VALUES: Parts = _OFF_POLICY | {"exploration_rate"}
_DETERMINISTIC: Parts = _OFF_POLICY | {"actor", "action_noise"}
_SOFT: Parts = _OFF_POLICY | {"actor", "temperature"}
_OF_LIBRARY: dict[str, Parts] = {
    "ARS": frozenset({"environment", "actor"}),
    **dict.fromkeys(("DQN", "QRDQN"), _BY_VALUES),
    **dict.fromkeys(("DDPG", "TD3"), _DETERMINISTIC),
    **dict.fromkeys(("CROSSQ", "SAC", "TQC"), _SOFT),
}
"""Stable-Baselines3's algorithms, its contrib's included, that learn without advantages."""


def show_an_algorithm(parts: Parts) -> bool:
    """Whether the parts are those of one kind of algorithm: a coefficient of 0 alone rules out but its own term."""
    return not parts >= ANY - {"entropy_bonus"}


def parts_of_library(facts: Facts) -> Parts | None:
    """Those of a library's algorithm without advantages, by its name; ``None`` of any other."""
    return _OF_LIBRARY.get((facts.algorithm or "").upper())


def parts_of(evidence: Evidence) -> Parts:
    """The parts that a run's algorithm may have: all but those that what is known of it rules out.

    Args:
        evidence: of the run.

    Example:
        >>> import numpy as np
        >>> from puffer_callbacks.health.facts import Facts
        >>> sorted(parts_of(Evidence({}, Facts(algorithm="TD3"))))
        ['action_noise', 'actor', 'critic', 'environment', 'target_network']
        >>> parts_of(Evidence({"train/loss": (np.array([1]), np.array([0.5]))}, Facts()))
        frozenset({'dataset'})
    """
    named = parts_of_library(evidence.facts)
    if named is not None:
        return named
    if learns_from_targets(evidence) or any(tag in evidence.raw for tag in EPSILONS):
        return _off_policy(evidence)
    if not evidence.learns_from_rewards:
        return SUPERVISED
    parts = _on_policy(evidence) if _has_advantages(evidence) else ANY
    return parts - {"entropy_bonus"} if evidence.facts.entropy_coefficient == 0 else parts


def _off_policy(evidence: Evidence) -> Parts:
    has = evidence.raw.keys()
    if has & {*EPSILONS}:
        return _BY_VALUES
    if has & {*TEMPERATURES, ENTROPY}:
        return _SOFT
    is_real = evidence.facts.action_dimensions is not None
    return _DETERMINISTIC if is_real or has_actor(_roles(evidence)) else _BY_VALUES


def _has_advantages(evidence: Evidence) -> bool:
    """Whether there are advantages or a ratio; or the loss of a policy that no target network stands beside."""
    has, facts = evidence.raw.keys(), evidence.facts
    known = has & {ADVANTAGES, KL, CLIP} or facts.clip_range is not None
    return bool(known) or (POLICY_LOSS in has and bool(_roles(evidence) - {"target"}))


def _on_policy(evidence: Evidence) -> Parts:
    has, facts = evidence.raw.keys(), evidence.facts
    parts: set[Part] = {"environment", "actor", "advantages"}
    if has & {KL, CLIP} or facts.clip_range is not None:
        parts.add("ratio")
    if facts.entropy_coefficient is not None or ENTROPY in has:
        parts.add("entropy_bonus")
    if has & {VALUE_LOSS, VALUE_STD, FIT} or facts.value_coefficient or "critic" in _roles(evidence):
        parts.add("critic")
    return frozenset(parts)


def _roles(evidence: Evidence) -> set[Role]:
    """Those of the modules whose weights are known."""
    return {role_of(name) for name in evidence.matching(NORM)}
