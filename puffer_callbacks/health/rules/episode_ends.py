"""The ends of episodes, over which advantages carry nothing."""

import numpy as np

from puffer_callbacks.health.evidence import Evidence
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.advantages import GAE
from puffer_callbacks.health.rules.episodes import LIMIT, PLAIN
from puffer_callbacks.health.rules.observations import DELAY, EARLY, RESET_STEPS
from puffer_callbacks.health.rules.symptoms import SYMPTOMS
from puffer_callbacks.health.series import Series, median

LEAK, BOOTSTRAP = "diagnostics/leak_fraction", "diagnostics/bootstrap_leak_fraction"
SHIFT, UNREWARDED = "diagnostics/mask_shift", "diagnostics/unrewarded_end_fraction"
_AT_ONCE = 0.1
"""The share of ends after which observations may seem to jump late, by chance."""


@rule("done_mask", severity="critical", source=GAE, explains=SYMPTOMS)
def done_mask(evidence: Evidence) -> Verdict | None:
    """Whether advantages carry anything over the ends of episodes, or end a step beside them."""
    spell = _lasting(evidence.get(LEAK, points=2))
    if spell is not None:
        return _shifted(evidence, spell) or Verdict(
            "Advantages flow back over the ends of episodes, as if the next episode were a part of the last.",
            ("done_mask_missing",),
            spell.span,
            [LEAK],
        )
    spell = _lasting(_bootstraps_of_resets(evidence))
    if spell is None:
        return None
    message = "The last step of an episode is credited with the value of the next episode's first observation."
    return Verdict(message, ("bootstrap_mask_missing", "done_mask_missing"), spell.span, [BOOTSTRAP])


def _lasting(fractions: Series) -> Series | None:
    return fractions.spell(fractions.values > 0.5, points=2, share=0.3) if len(fractions.values) else None


def _bootstraps_of_resets(evidence: Evidence) -> Series:
    """Values carried over ends, where they are surely not those of what a time limit cut off.

    With next-step autoreset the observation after an end is the last of its own episode, and a cut may be bootstrapped
    there. So either observations jump at once, or no episode of the rollout has come to the limit.
    """
    carried = evidence.find(BOOTSTRAP)
    if carried is None:
        return Series(np.zeros(0, np.int64), np.zeros(0))
    jumps = [evidence.median(tag) for tag in (DELAY, RESET_STEPS)]
    if all(jump is not None and jump < _AT_ONCE for jump in jumps):
        return carried
    limited = evidence.find(LIMIT)
    kept = np.zeros(len(carried.steps), np.bool_) if limited is None else limited.at(carried.steps) == 0
    return carried.where(kept)


def _shifted(evidence: Evidence, spell: Series) -> Verdict | None:
    """Advantages that end a step before or after the marked ends."""
    shift = evidence.median(SHIFT)
    if shift is None or abs(shift) < 0.5:
        return None
    early = evidence.median(EARLY)
    if shift < 0 and early is not None:
        message = "Rollout.dones mark the ends of episodes a step late; advantages end where observations do."
        return Verdict(message, ("dones_late",), spell.span, [SHIFT, EARLY], "info")
    if shift < 0 and _marks_are_resets(evidence):
        message = (
            "Rollout.dones mark the step that resets (next-step autoreset), one after the step that ends an episode."
        )
        return Verdict(message, ("dones_late", "reset_steps_stored"), spell.span, [SHIFT, UNREWARDED], "info")
    message = f"Advantages end a step {'after' if shift > 0 else 'before'} the steps that are marked as episodes' ends."
    is_open = shift < 0 and evidence.find(DELAY) is None  # without observations, either may be late
    causes = ("done_mask_shifted", "dones_late") if is_open else ("done_mask_shifted",)
    return Verdict(message, causes, spell.span, [LEAK, SHIFT])


def _marks_are_resets(evidence: Evidence) -> bool:
    """Whether not one step that is marked as an end has a reward, as the steps of next-step autoreset that only reset.

    CleanRL's flags mark the observation after an end, whose step such an autoreset takes.
    """
    unrewarded = evidence.find(UNREWARDED)
    return unrewarded is not None and bool((unrewarded.values == 1).all())


@rule(
    "dones_late",
    severity="warning",
    source="invariant: after an episode's end comes the first observation of the next",
    explains=SYMPTOMS,
)
def dones_late(evidence: Evidence) -> Verdict | None:
    """Ends of advantages that lie a step after those of the observations, while the return does not rise."""
    early, plain = evidence.get(EARLY, points=3), evidence.get(PLAIN, points=3)
    if median(early.values) < 0.9 or median(plain.values) < 0.9 or evidence.does_well:
        return None
    message = "Advantages end with Rollout.dones, a step after observations have begun anew."
    return Verdict(message, ("done_mask_shifted", "dones_late"), early.span, [EARLY, PLAIN])
