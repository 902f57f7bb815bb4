"""The probability ratio and the policy's move: KL and clip fraction."""

from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.modules import role_of
from puffer_callbacks.health.returns import returns_of
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.learning_rate import may_yet_begin
from puffer_callbacks.health.rules.symptoms import SYMPTOMS
from puffer_callbacks.health.series import Series

KL, CLIP = "diagnostics/approx_kl", "diagnostics/clip_fraction"
WEIGHT_CHANGE = "diagnostics/weight_change/"
FIRST_KL, LOG_PROB_ERROR = "diagnostics/first_kl", "diagnostics/log_prob_error"
DEFAULT_CLIP_RANGE = 0.2


def kl_scale(evidence: Evidence) -> float:
    """The KL, in nats, of a policy all of whose ratios lie at the clip range: clip² / 2."""
    return (evidence.facts.clip_range or DEFAULT_CLIP_RANGE) ** 2 / 2


@rule(
    "ratio_not_one",
    severity="critical",
    source="Huang et al. 2022, The 37 implementation details of PPO (debugging: ratio = 1 in the first minibatch)",
    explains=(*SYMPTOMS, "clip_fraction_zero"),
)
def ratio_not_one(evidence: Evidence) -> Verdict | None:
    """The probability ratio on the first minibatch of a fresh rollout, which is 1 in a correct program."""
    first, error = evidence.find(FIRST_KL), evidence.find(LOG_PROB_ERROR)
    if first is None and error is None:
        raise NotJudged(f"needs {FIRST_KL} or {LOG_PROB_ERROR}: a callback in the training loop")
    scale = kl_scale(evidence)
    by_kl = _spell(first, 1e-2 * scale)
    by_error = _spell(error, 1e-2 * (2 * scale) ** 0.5)
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
    steps = [*kl.steps[kl.values > 10 * threshold * scale], *(() if spell is None else spell.span)]
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
        raise NotJudged("the policy changes: with one step in an update the KL is measured before it")
    message = "The policy does not move at all: the KL is exactly 0."
    causes = ("actor_not_trained", "optimizer_missing", "learning_rate_zero")
    return Verdict(message, causes, spell.span, [KL, "train/learning_rate"])


def _policy_changes(evidence: Evidence) -> bool:
    """Whether the actor's weights change, or those of no certain role; or, where none are known, what it does."""
    changes = {role_of(n): bool((s.values > 0).any()) for n, s in sorted(evidence.matching(WEIGHT_CHANGE).items())}
    if changes:
        return changes.get("actor", changes.get("other", False))
    entropy = evidence.find("train/entropy")
    falls = entropy is not None and returns_of(Series(entropy.steps, -entropy.values)).improved
    return falls or evidence.does_well
