"""The data of an update: fresh, and all of it."""

from puffer_callbacks.health.evidence import Evidence
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.symptoms import SYMPTOMS

REPEATED, COVERAGE = "diagnostics/repeated_rollout", "diagnostics/batch_coverage"


@rule(
    "data_repeated",
    severity="critical",
    source="invariant: a fresh rollout differs from every earlier one",
    explains=(*SYMPTOMS, "ratio_not_one", "clip_fraction_zero"),
)
def data_repeated(evidence: Evidence) -> Verdict | None:
    """Rollouts whose numbers have come before."""
    repeated = evidence.get(REPEATED, points=3)
    spell = repeated.ending(repeated.values > 0)
    if len(spell.values) < 3:
        return None
    message = f"From step {spell.steps[0]} on, rollouts repeat numbers that came before."
    return Verdict(message, ("data_repeated",), spell.span, [REPEATED])


@rule("minibatches_repeat", severity="warning", source="invariant: the minibatches of a pass cover the rollout")
def minibatches_repeat(evidence: Evidence) -> Verdict | None:
    """Minibatches that leave a part of the rollout out."""
    coverage = evidence.get(COVERAGE, points=3)
    spell = coverage.ending(coverage.values < 0.9)
    if len(spell.values) < 3 or not evidence.lasts(spell, 0.3) or evidence.facts.target_kl:
        return None
    message = f"Updates see {spell.values[-1]:.0%} of the rollout and never the rest."
    return Verdict(message, ("minibatch_repeated",), spell.span, [COVERAGE])
