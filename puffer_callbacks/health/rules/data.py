"""The data of an update: fresh, and all of it."""

from puffer_callbacks.health.evidence import Evidence
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.symptoms import SYMPTOMS
from puffer_callbacks.health.series import persistent_spell

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
    spell = persistent_spell(repeated.values > 0, points=3)
    if spell is None:
        return None
    begin, end = int(repeated.steps[spell.first]), int(repeated.steps[spell.last])
    message = f"From step {begin} on, rollouts repeat numbers that came before."
    return Verdict(message, ("data_repeated",), begin, end, evidence.numbers([REPEATED], end))


@rule("minibatches_repeat", severity="warning", source="invariant: the minibatches of a pass cover the rollout")
def minibatches_repeat(evidence: Evidence) -> Verdict | None:
    """Minibatches that leave a part of the rollout out."""
    coverage = evidence.get(COVERAGE, points=3)
    spell = persistent_spell(coverage.values < 0.9, points=3, share=0.3)
    if spell is None or evidence.facts.target_kl:
        return None
    begin, end = int(coverage.steps[spell.first]), int(coverage.steps[spell.last])
    share = float(coverage.values[spell.last])
    message = f"Updates see {share:.0%} of the rollout and never the rest."
    return Verdict(message, ("minibatch_repeated",), begin, end, evidence.numbers([COVERAGE], end))
