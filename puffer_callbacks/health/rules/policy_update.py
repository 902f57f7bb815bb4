"""The policy's move in an update: KL and clip fraction."""

import numpy as np

from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.modules import role_of
from puffer_callbacks.health.returns import returns_of
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.data import REPEATED
from puffer_callbacks.health.rules.learning_rate import may_yet_begin
from puffer_callbacks.health.rules.symptoms import SYMPTOMS
from puffer_callbacks.health.series import Series, median

KL, CLIP = "diagnostics/approx_kl", "diagnostics/clip_fraction"
WEIGHT_CHANGE = "diagnostics/weight_change/"
DEFAULT_CLIP_RANGE = 0.2
_BY_FAR, _CERTAIN = 0.05, 0.95
"""A range of the entropy, over its size, that shows in a KL; and the share of one action above which it may not."""
_ACTORS = ("actor", "other")


def kl_scale(evidence: Evidence) -> float:
    """The KL, in nats, of a policy all of whose ratios lie at the clip range: clip² / 2."""
    return (evidence.facts.clip_range or DEFAULT_CLIP_RANGE) ** 2 / 2


def kl_of_policy(evidence: Evidence, *, points: int) -> Series:
    """The KL of each update of a policy; a VAE, and one network that learns from another, have a KL of their own.

    Raises:
        NotJudged: if there are fewer than ``points``, or nothing shows that the run learns from rewards.
    """
    if not evidence.learns_from_rewards:
        raise NotJudged("needs rewards, or the loss of a policy or of values")
    return evidence.get(KL, points=points)


@rule(
    "clip_fraction_zero",
    severity="warning",
    source="Huang et al. 2022, The 37 implementation details of PPO (clip fraction)",
)
def clip_fraction_zero(evidence: Evidence) -> Verdict | None:
    """A clip fraction of exactly 0 while the policy moves further than the clip range."""
    clip, kl = evidence.get(CLIP, points=5), kl_of_policy(evidence, points=5)
    moved = kl.at(clip.steps) > kl_scale(evidence)
    spell = clip.spell((clip.values == 0) & moved, points=5)
    if spell is None:
        return None
    message = "The clip fraction is exactly 0 while the KL shows that the policy moves beyond the clip range."
    return Verdict(message, ("sampler_drift", "log_prob_stale"), spell.span, [CLIP, KL])


@rule(
    "kl_large",
    severity="warning",
    source="Schulman, Approximating KL divergence (joschu.net/blog/kl-approx.html); Huang et al. 2022 (target KL 0.01)",
    explains=(*SYMPTOMS, "weights_unchanged"),
    threshold=10.0,
)
def kl_large(evidence: Evidence, threshold: float) -> Verdict | None:
    """A KL over ``threshold`` times what the clip range allows, and the return does not rise; or ten times that."""
    kl = kl_of_policy(evidence, points=3)
    scale = kl_scale(evidence)
    spell = None if evidence.does_well else kl.spell(kl.smoothed(3).values > threshold * scale, points=5)
    large, far = (kl.values > times * threshold * scale for times in (1, 10))
    if evidence.does_well:  # one ratio that overflows makes one mean: it takes two points side by side
        far &= np.append(large[1:], False) | np.append(False, large[:-1])
    steps = [*kl.steps[far], *(() if spell is None else spell.span)]
    if not steps:
        return None
    span = int(min(steps)), int(max(steps))
    peak = float(kl.values.max())
    message = (
        f"The policy moves too far in one update: KL up to {peak:.3g} nats, where the clip range allows {scale:.2g}."
    )
    causes = ("learning_rate_high", "too_many_epochs", "ratio_not_clipped", "no_clipping")
    return Verdict(message, causes, span, [KL, CLIP, "train/learning_rate"], seen_at=span[0])


@rule("kl_zero", severity="critical", source="invariant: an update with a learning rate above 0 moves the policy")
def kl_zero(evidence: Evidence) -> Verdict | None:
    """A KL of exactly 0, update after update."""
    kl = kl_of_policy(evidence, points=5)
    spell = kl.spell(kl.values == 0, points=5)
    if spell is None or spell.steps[0] > 0.9 * evidence.total_steps:  # the end of a schedule
        return None
    if may_yet_begin(evidence, spell):
        raise NotJudged("the learning rate is 0 so far")
    if _policy_changes(evidence):
        return _ratio_of_1(evidence, spell)
    message = "The policy does not move at all: the KL is exactly 0."
    causes = ("actor_not_trained", "optimizer_missing", "learning_rate_zero")
    return Verdict(message, causes, spell.span, [KL, "train/learning_rate"])


def _ratio_of_1(evidence: Evidence, spell: Series) -> Verdict:
    """The policy changes, and the ratio does not: from the second step of an update on it should."""
    if steps_of_update(evidence) < 2 or not _moves_by_far(evidence, spell):
        raise NotJudged("the policy changes: with one step in an update the KL is measured before it")
    message = "The probability ratio is 1 at every step of an update, though the policy changes: it limits nothing."
    return Verdict(message, ("log_prob_recomputed",), spell.span, [KL, CLIP], "warning")


def weight_changes(evidence: Evidence) -> list[Series]:
    """How far each update changes each part that may be the policy's."""
    return [series for name, series in evidence.matching(WEIGHT_CHANGE).items() if role_of(name) in _ACTORS]


def _moves_by_far(evidence: Evidence, spell: Series) -> bool:
    """Whether weights move and the entropy does, further than float32 could hide in a KL.

    A policy that is certain has ratios of 1; one that rests has an entropy that moves with the observations.
    """
    entropy = evidence.find("train/entropy")
    certain = evidence.median("diagnostics/dominant_action_fraction", after=spell.steps[0])
    moves = [change.between(*spell.span).values for change in weight_changes(evidence)]
    if entropy is None or (certain is not None and certain > _CERTAIN) or not any(len(m) and median(m) for m in moves):
        return False
    within = entropy.between(*spell.span).values
    return len(within) > 1 and bool(np.ptp(within) > _BY_FAR * np.abs(within).max())


def steps_of_update(evidence: Evidence) -> float:
    """The optimizer steps between two rollouts, as few as there are; 0 where they are not known."""
    steps, rollouts = evidence.find("time/optimizer_steps"), evidence.find(REPEATED)
    if steps is None or rollouts is None:
        return 0.0
    taken = np.diff(steps.at(rollouts.steps))
    return float(np.min(taken[taken > 0], initial=np.inf)) if (taken > 0).any() else 0.0


def _policy_changes(evidence: Evidence) -> bool:
    """Whether the actor's weights change, or those of no certain role; or, where none are known, what it does."""
    changes = {role_of(n): bool((s.values > 0).any()) for n, s in sorted(evidence.matching(WEIGHT_CHANGE).items())}
    if changes:
        return changes.get("actor", changes.get("other", False))
    entropy = evidence.find("train/entropy")
    falls = entropy is not None and returns_of(Series(entropy.steps, -entropy.values)).improved
    return falls or evidence.does_well
