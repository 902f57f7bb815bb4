"""``MeasuredCauses``: causes that measurements rule out, and those that they show."""

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cached_property

import numpy as np

from puffer_callbacks.health.causes import CAUSES, Cause
from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.modules import role_of
from puffer_callbacks.health.parts import Parts, parts_of, parts_of_library, show_an_algorithm
from puffer_callbacks.health.rules.advantages import ALIGNMENT, SIGN
from puffer_callbacks.health.rules.data import REPEATED
from puffer_callbacks.health.rules.gradients import CLIPPED, TOTAL
from puffer_callbacks.health.rules.learning_rate import RATE
from puffer_callbacks.health.rules.loss import composition
from puffer_callbacks.health.rules.policy_update import WEIGHT_CHANGE, weight_changes
from puffer_callbacks.health.rules.targets import learns_from_targets
from puffer_callbacks.health.rules.weights import NORM

_LOOKS = 4
_FIRST, _BY_FAR = 3, 0.3
"""Updates, and the share of the weights' norm by which one changes them: 0.01 to 0.1 in sound training, except for an
output layer that begins near 0."""

_CUT = 0.99
"""Of a gradient's norm: what a clip leaves of it at most."""
_NOTHING = 0.01
"""The share of the weights' norm that a whole run has to change them by to learn anything."""
_UNUSUAL = 0.02
"""A learning rate far above those of agents: Stable-Baselines3 has 1e-4 to 1e-3 by default."""


class MeasuredCauses:
    """Orders the causes that a rule lists by what else is known of the run, and leaves out those that do not fit it.

    Args:
        evidence: of the run.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    def order(self, names: Sequence[str]) -> list[str]:
        """The causes that are shown, then the others that are possible; all of them where none is possible."""
        fitting = [name for name in names if CAUSES[name].fits(self.parts)] or names
        possible = [name for name in fitting if name not in self._ruled_out] or fitting
        return sorted(possible, key=lambda name: name not in self._shown)

    def remedies(self, causes: Iterable[Cause]) -> tuple[str, ...]:
        """What to change, each once; in general where nothing shows which algorithm it is."""
        known = self.parts if show_an_algorithm(self.parts) else ()
        return tuple(dict.fromkeys(cause.remedy_for(known) for cause in causes))

    @cached_property
    def parts(self) -> Parts:
        """Of the run's algorithm."""
        return parts_of(self._evidence)

    @cached_property
    def _ruled_out(self) -> set[str]:
        evidence, found = self._evidence, set()
        if parts_of_library(evidence.facts) or not learns_from_targets(evidence):
            found.add("td_target_wrong")
        if _gradient_is_limited(evidence):
            found.add("no_clipping")
        if _is_bonus(evidence):
            found.add("entropy_sign")
        if _follows_advantages(evidence):
            found |= {"advantage_sign", "advantage_misaligned"}
        if "learning_rate_high" in self._shown:
            found.add("learning_rate_low")
        return found

    @cached_property
    def _shown(self) -> set[str]:
        if _weights_rest(self._evidence):
            return {"learning_rate_low"}
        is_high = _policy_jumps(self._evidence) or self._rate_is_unusual
        return {"learning_rate_high"} if is_high else set()

    @property
    def _rate_is_unusual(self) -> bool:
        rate = self._evidence.median(RATE)
        return rate is not None and rate > _UNUSUAL and "environment" in self.parts


def _gradient_is_limited(evidence: Evidence) -> bool:
    """Whether a gradient was ever smaller after the clip than before it."""
    total, clipped = evidence.find(TOTAL), evidence.find(CLIPPED)
    return bool(total and clipped and (clipped.values < _CUT * total.at(clipped.steps)).any())


def _policy_jumps(evidence: Evidence) -> bool:
    """Whether one of the first updates changed every layer of the policy by far."""
    largest = [float(change.values[:_FIRST].max()) for change in weight_changes(evidence)]
    return min(largest, default=0.0) > _BY_FAR


def _weights_rest(evidence: Evidence) -> bool:
    """Whether all updates of the run together, if they went one way, changed the weights by next to nothing."""
    rollouts = evidence.find(REPEATED)
    changes = {n: each for n, each in evidence.matching(WEIGHT_CHANGE).items() if role_of(n) != "target"}
    norms = {name: evidence.median(NORM + name) or 0.0 for name in changes}
    if rollouts is None or len(rollouts.steps) < _LOOKS or not any(norms.values()):
        return False
    updates = (evidence.last_step - rollouts.steps[0]) / max(1, int(np.diff(rollouts.steps).min()))
    moves = [float(change.values.mean()) * norms[name] for name, change in changes.items()]
    return bool(0 < math.hypot(*moves) * updates < _NOTHING * math.hypot(*norms.values()))


def _is_bonus(evidence: Evidence) -> bool:
    """Whether the logged terms of the loss add up with a weight of the entropy that rewards it, or with none."""
    with suppress(NotJudged):
        weight = composition(evidence).entropy_coefficient
        return weight is not None and weight > -1e-3
    return False


def _follows_advantages(evidence: Evidence) -> bool:
    """Whether advantages have the right sign, and updates make the actions with high ones more probable."""
    sign, alignment = evidence.find(SIGN), evidence.find(ALIGNMENT)
    if sign is None or alignment is None or min(len(sign.values), len(alignment.values)) < _LOOKS:
        return False
    error = alignment.values.std(ddof=1) / np.sqrt(len(alignment.values))
    return bool(np.mean(sign.values > 0) > 0.5 and alignment.values.mean() > 2 * error)
