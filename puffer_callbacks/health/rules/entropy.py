"""The policy's entropy: gone too early, or never falling."""

import math

from puffer_callbacks.health.evidence import LOOKS, Evidence, NotJudged
from puffer_callbacks.health.finding import Severity
from puffer_callbacks.health.returns import Returns
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.exploration import TEMPERATURES
from puffer_callbacks.health.rules.symptoms import LEARNING, SYMPTOMS
from puffer_callbacks.health.rules.targets import learns_from_targets
from puffer_callbacks.health.series import Series, median

COMMON_COEFFICIENT = 0.02
_ABOVE, _LASTING = 0.5, 5
"""Nats above the largest entropy of actions within bounds, and points, that no estimate of it strays by."""
_ALIGNED, _SMALL_KL = 0.1, 1e-5
_LARGEST_EXPONENT = 700.0  # of a float
ENTROPY, MAX_PROBABILITY = "train/entropy", "diagnostics/max_probability"
SOFTMAXES = "diagnostics/softmaxes"


def relative_entropy(evidence: Evidence) -> Series:
    """Entropy over log n of a discrete policy.

    Raises:
        NotJudged: if the number of actions is not known, or there are too few points.
    """
    limit = evidence.facts.max_entropy
    if limit is None:
        raise NotJudged("needs the number of actions of a discrete action space")
    entropy = evidence.judged(ENTROPY)
    return Series(entropy.steps, entropy.values / limit)


@rule(
    "double_softmax",
    severity="critical",
    source="softmax of probabilities: none exceeds e / (e + n − 1)",
    explains=SYMPTOMS,
)
def double_softmax(evidence: Evidence) -> Verdict | None:
    """Two softmaxes between the last layer and the probabilities, or ones that end at e / (e + n − 1), as theirs do."""
    softmaxes = evidence.find(SOFTMAXES)
    if softmaxes is not None:
        if softmaxes.values.max() < 2:
            return None
        message = "Log-probabilities are those of a softmax of a softmax of the last layer's outputs."
        return Verdict(message, ("double_softmax",), softmaxes.span, [SOFTMAXES])
    highest, actions = evidence.get(MAX_PROBABILITY, points=LOOKS), evidence.facts.num_actions
    if actions is None or actions < 2:
        raise NotJudged("needs the number of actions of a discrete action space")
    bound = math.e / (math.e + actions - 1)
    at_bound = (highest.values > 0.99 * bound) & (highest.values < 1.0001 * bound)
    spell = highest.spell(at_bound, points=LOOKS)
    if spell is None or highest.values.max() > 1.0001 * bound:
        return None
    message = f"No action ever gets a probability above {bound:.3f}, the limit of two softmaxes in a row."
    return Verdict(message, ("double_softmax",), spell.span, [MAX_PROBABILITY, ENTROPY])


@rule(
    "entropy_impossible",
    severity="critical",
    source="Haarnoja et al. 2018, arXiv:1812.05905, appendix C (log-probabilities of squashed actions)",
    explains=SYMPTOMS,
)
def entropy_impossible(evidence: Evidence) -> Verdict | None:
    """An entropy above that of actions which are all as likely, of SAC's policy, whose actions have bounds: one with a
    temperature and a target network. The normal distribution of a PPO has none, nor that before the squashing, whose
    entropy some log: a note where the run does well."""
    limit, has_temperature = evidence.facts.max_action_entropy, any(tag in evidence.raw for tag in TEMPERATURES)
    if limit is None or not has_temperature or not learns_from_targets(evidence):
        raise NotJudged("needs the bounds of the actions, a temperature and a target network")
    entropy = evidence.get(ENTROPY, points=_LASTING)
    spell = entropy.spell(entropy.values > limit + _ABOVE, points=_LASTING)
    if spell is None:
        return None
    message = f"The entropy is {median(spell.values):.3g}, where actions within their bounds have {limit:.3g} at most."
    severity: Severity = "info" if evidence.does_well else "critical"
    return Verdict(message, ("log_prob_not_squashed",), spell.span, [ENTROPY], severity)


@rule(
    "entropy_collapsed",
    severity="warning",
    source="Ahmed et al. 2019, arXiv:1811.11214",
    explains=LEARNING,
    threshold=0.1,
)
def entropy_collapsed(evidence: Evidence, threshold: float) -> Verdict | None:
    """An entropy below ``threshold`` of its maximum, while the return stands still below its best or never rose."""
    entropy, returns = relative_entropy(evidence), evidence.returns_since_beginning
    spell = entropy.spell(entropy.smoothed().values < threshold, points=8)
    if spell is None or not _stands_still(returns, spell.steps[0]):
        return None
    begin = int(spell.steps[0])
    if begin == entropy.steps[0]:  # it may have begun before thresholds are judged
        begin = _begin(evidence.get(ENTROPY), threshold * (evidence.facts.max_entropy or 0.0), begin)
    configured = evidence.facts.entropy_coefficient
    causes = ("entropy_sign", "advantage_sign", "entropy_coefficient_low") if configured else (
        "entropy_coefficient_low", "entropy_sign", "advantage_sign")  # fmt: skip
    share = median(spell.values)
    message = f"The policy has stopped exploring (entropy {share:.1%} of its maximum), and the return stands still."
    return Verdict(message, (*causes, "learning_rate_high"), (begin, spell.span[1]), [ENTROPY], seen_at=spell.span[0])


def _begin(entropy: Series, limit: float, step: int) -> int:
    """The first of the steps up to one at which the entropy lay below a limit without a break."""
    before = entropy.before(step)
    above = before.steps[before.values >= limit]
    return int(entropy.after(above[-1] + 1 if len(above) else entropy.steps[0]).steps[0])


def _stands_still(returns: Returns, begin: float) -> bool:
    """Whether the return neither rose with the collapse nor after it."""
    return not returns.improved or (returns.flat_after(begin) and returns.fell)


@rule(
    "entropy_high",
    severity="warning",
    source="DLR-RM/stable-baselines3#2240; Andrychowicz et al. 2021, arXiv:2006.05990, section 3.6",
    explains=(*LEARNING, "critic_misfit"),
    threshold=0.95,
)
def entropy_high(evidence: Evidence, threshold: float) -> Verdict | None:
    """An entropy that stays above ``threshold`` of its maximum, while the return does not rise."""
    entropy = relative_entropy(evidence)
    returns = evidence.required_returns
    evidence.require_share(0.6, entropy)
    if returns.improved or median(entropy.values[len(entropy.values) // 2 :]) < threshold:
        return None
    message = (
        f"The policy stays random (entropy {entropy.values[-1]:.1%} of its maximum), and the return does not rise."
    )
    coefficient = evidence.facts.entropy_coefficient
    causes: tuple[str, ...] = ("advantage_misaligned", "learning_rate_low", "reward_scale_large")
    if returns.are_alike:
        causes = ("returns_alike", *causes)
    if coefficient is None or coefficient > COMMON_COEFFICIENT:
        causes = ("entropy_coefficient_high", "reward_scale_large", "learning_rate_low", "advantage_misaligned")
    if _steps_are_small(evidence):
        causes = tuple(dict.fromkeys(("learning_rate_low", *causes)))
    return Verdict(message, causes, entropy.span, [ENTROPY])


def _steps_are_small(evidence: Evidence) -> bool:
    """Whether updates follow the advantages, and move the policy by next to nothing."""
    alignment, kl = evidence.median("diagnostics/advantage_alignment"), evidence.median("diagnostics/approx_kl")
    return alignment is not None and alignment > _ALIGNED and kl is not None and abs(kl) < _SMALL_KL


@rule(
    "entropy_grows",
    severity="warning",
    source="Andrychowicz et al. 2021, arXiv:2006.05990, section 3.6",
    explains=(*LEARNING, "critic_misfit"),
)
def entropy_grows(evidence: Evidence) -> Verdict | None:
    """A continuous policy's entropy that grows and grows, while the return does not rise."""
    dimensions = evidence.facts.action_dimensions
    if dimensions is None:
        raise NotJudged("needs a continuous action space")
    entropy, returns = evidence.get(ENTROPY, points=8), evidence.required_returns
    early = median(entropy.values[:3])
    growth = (median(entropy.values[-4:]) - early) / dimensions
    if growth < math.log(2) or returns.healthy:
        return None
    grown = entropy.values > early + 0.5 * dimensions * math.log(2)
    times = math.exp(min(growth, _LARGEST_EXPONENT))
    message = f"The policy's standard deviation has grown {times:.3g}-fold, and the return does not rise."
    causes = ("entropy_coefficient_high", "advantage_sign", "reward_scale_large")
    return Verdict(message, causes, entropy.span_since(grown), [ENTROPY])
