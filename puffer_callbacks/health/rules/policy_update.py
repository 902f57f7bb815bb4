"""The probability ratio and the policy's move: KL and clip fraction."""

import numpy as np

from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.modules import role_of
from puffer_callbacks.health.returns import returns_of
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.learning_rate import may_yet_begin
from puffer_callbacks.health.rules.symptoms import SYMPTOMS
from puffer_callbacks.health.series import Series, median

KL, CLIP = "diagnostics/approx_kl", "diagnostics/clip_fraction"
WEIGHT_CHANGE = "diagnostics/weight_change/"
FIRST_KL, LOG_PROB_ERROR = "diagnostics/first_kl", "diagnostics/log_prob_error"
FIRST_LOSS = "diagnostics/first_policy_loss"
DEFAULT_CLIP_RANGE = 0.2
_ERROR = 0.05
"""Of the clip range: an error of log-probabilities that bfloat16, 0.02 of it, stays below."""
_BY_FAR, _CERTAIN = 0.05, 0.95
"""A range of the entropy, over its size, that shows in a KL; and the share of one action above which it may not."""
_ACTORS = ("actor", "other")
_MANY, _ABOVE_0 = 8, 0.05
"""Points, and a loss in deviations of advantages, that minibatches of a normalized rollout pass by chance at times."""


def kl_scale(evidence: Evidence) -> float:
    """The KL, in nats, of a policy all of whose ratios lie at the clip range: clip² / 2."""
    return (evidence.facts.clip_range or DEFAULT_CLIP_RANGE) ** 2 / 2


@rule(
    "ratio_not_one",
    severity="critical",
    source="Huang et al. 2022, The 37 implementation details of PPO (debugging: ratio = 1 in the first minibatch)",
    explains=(*SYMPTOMS, "clip_fraction_zero", "policy_loss_cancels"),
)
def ratio_not_one(evidence: Evidence) -> Verdict | None:
    """The probability ratio on the first minibatch of a fresh rollout, which is 1 in a correct program."""
    first, error = evidence.find(FIRST_KL), evidence.find(LOG_PROB_ERROR)
    if first is None and error is None:
        raise NotJudged(f"needs {FIRST_KL} or {LOG_PROB_ERROR}: a callback in the training loop")
    scale = kl_scale(evidence)
    by_kl = _spell(first, 1e-2 * scale)
    by_error = _spell(error, _ERROR * (2 * scale) ** 0.5)
    spans = [spell.span for spell in (by_kl, by_error) if spell is not None]
    if not spans:
        return None
    begins, ends = zip(*spans, strict=True)
    where = (
        "differ from what the policy that collected them gives" if by_error else "have moved before the first update"
    )
    message = f"The probability ratio is not 1 on the first minibatch of a fresh rollout: log-probabilities {where}."
    causes = _mismatch(evidence, stored=by_error is not None)
    return Verdict(message, causes, (min(begins), max(ends)), [FIRST_KL, LOG_PROB_ERROR, KL])


def _spell(series: Series | None, threshold: float) -> Series | None:
    if series is None or len(series.values) < 4:
        return None
    return series.spell(series.smoothed(3).values > threshold, points=4)


def _mismatch(evidence: Evidence, *, stored: bool) -> tuple[str, ...]:
    """The causes, by what else is seen."""
    causes: list[str] = ["train_eval_mismatch"] if evidence.facts.has_dropout else []
    clip, kl = evidence.median(CLIP), evidence.median(KL)
    first = evidence.median(FIRST_KL)
    if stored:
        drifts = clip == 0 and kl is not None and kl > kl_scale(evidence)
        causes += ["sampler_drift", "log_prob_stale"] if drifts else ["log_prob_stale", "sampler_drift"]
        causes += ["log_prob_wrong_action"]
    else:
        returns = evidence.returns
        whole = kl is not None and first is not None and first > 0.7 * kl
        wrong = whole and (returns is None or not returns.improved)
        causes += ["log_prob_wrong_action", "data_stale"] if wrong else ["data_stale", "log_prob_wrong_action"]
        causes += ["train_eval_mismatch"]
    return tuple(dict.fromkeys(causes))


@rule(
    "surrogate_not_zero",
    severity="critical",
    source="Schulman et al. 2017, arXiv:1707.06347, equation 7: with a ratio of 1 the objective is the mean advantage",
    explains=SYMPTOMS,
)
def surrogate_not_zero(evidence: Evidence) -> Verdict | None:
    """A policy loss above 0 on the first minibatch, where the ratio is 1 and advantages have mean 0."""
    loss, kl = evidence.get(FIRST_LOSS, points=_MANY), evidence.get(FIRST_KL, points=_MANY)
    evidence.get(CLIP)
    if not evidence.facts.normalizes_advantages or np.abs(kl.values).max() > 1e-2 * kl_scale(evidence):
        raise NotJudged("needs advantages that are normalized, and a ratio of 1 on the first minibatch")
    if np.mean(loss.values > _ABOVE_0) < 0.9:
        return None
    found = f"{median(loss.values):+.2g} on the first minibatch of a rollout"
    message = f"The policy loss is {found}, where every ratio is 1 and the mean of the advantages 0."
    return Verdict(message, ("clip_wrong",), loss.span, [FIRST_LOSS, FIRST_KL])


@rule(
    "clip_fraction_zero",
    severity="warning",
    source="Huang et al. 2022, The 37 implementation details of PPO (clip fraction)",
)
def clip_fraction_zero(evidence: Evidence) -> Verdict | None:
    """A clip fraction of exactly 0 while the policy moves further than the clip range."""
    clip, kl = evidence.get(CLIP, points=5), evidence.get(KL, points=5)
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
    kl = evidence.get(KL, points=3)
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
    causes = ("learning_rate_high", "too_many_epochs", "no_clipping")
    return Verdict(message, causes, span, [KL, CLIP, "train/learning_rate"], seen_at=span[0])


@rule("kl_zero", severity="critical", source="invariant: an update with a learning rate above 0 moves the policy")
def kl_zero(evidence: Evidence) -> Verdict | None:
    """A KL of exactly 0, update after update."""
    kl = evidence.get(KL, points=5)
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
    if _steps_of_update(evidence) < 2 or not _moves_by_far(evidence, spell):
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


def _steps_of_update(evidence: Evidence) -> float:
    """The optimizer steps between two rollouts, as few as there are; 0 where they are not known."""
    steps, rollouts = evidence.find("time/optimizer_steps"), evidence.find("diagnostics/repeated_rollout")
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
