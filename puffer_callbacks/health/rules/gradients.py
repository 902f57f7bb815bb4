"""Gradients: exploding, vanishing, cut down at every step."""

import numpy as np

from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.symptoms import CRITIC, LEARNING, NETWORK, POLICY, SYMPTOMS
from puffer_callbacks.health.series import median

TOTAL, CLIPPED = "gradient_norm/total", "gradient_norm/clipped"
OLD = "old_gradients/"
_MANY = 3
_PARTS = 4
"""Parts of a network, as actor and critic, that may have a limit each."""


@rule(
    "gradients_not_zeroed",
    severity="critical",
    source="invariant: a step has the gradients of the backward passes since the one before (Optimizer.zero_grad)",
    explains=(*SYMPTOMS, "nonfinite_values"),
    reads=OLD,
)
def gradients_not_zeroed(evidence: Evidence) -> Verdict | None:
    """Gradients that are added to those of the step before, at every measured step until now."""
    followed = {name: series for name, series in evidence.matching(OLD).items() if len(series.values) >= _MANY}
    if not followed:
        raise NotJudged(f"needs {_MANY} points of {OLD}<parameter>: a GradientCallback in the training loop")
    spells = {name: series.ending(series.values > 0) for name, series in followed.items()}
    lasting = [name for name in sorted(spells) if len(spells[name].values) >= _MANY]
    if not lasting:
        return None
    message = f"Gradients are not zeroed: those of each step are added to those before, as in {', '.join(lasting)}."
    return Verdict(message, ("zero_grad_missing",), spells[lasting[0]].span, [OLD + name for name in lasting])


@rule(
    "clipping_not_applied",
    severity="critical",
    source="invariant: a clipped gradient's norm is at most the limit",
    explains=("*",),
)
def clipping_not_applied(evidence: Evidence) -> Verdict | None:
    """Gradients that are larger, when the optimizer steps, than the configured limit."""
    limit = evidence.facts.max_grad_norm
    if not limit:  # transformers and SheepRL write no limit as 0
        raise NotJudged("needs the configured max_grad_norm")
    clipped = evidence.get(CLIPPED)
    total = evidence.find(TOTAL)
    before = np.full(len(clipped.values), np.nan) if total is None else total.at(clipped.steps)
    is_cut = clipped.values < 0.99 * before  # as in parts of their own, the norms of which add up
    over = clipped.values > np.where(is_cut, _PARTS**0.5, 1.05) * limit
    if np.mean(over) < 0.5:
        return None
    span = int(clipped.steps[over][0]), int(clipped.steps[over][-1])
    message = (
        f"The optimizer steps with gradients of norm {median(clipped.values[over]):.3g}; the limit is {limit:.3g}."
    )
    return Verdict(message, ("no_clipping",), span, [TOTAL, CLIPPED])


@rule(
    "gradient_explodes",
    severity="warning",
    source="Pascanu et al. 2013, arXiv:1211.5063",
    explains=(*LEARNING, *POLICY, *NETWORK, *CRITIC, "nonfinite_values"),
)
def gradient_explodes(evidence: Evidence) -> Verdict | None:
    """A gradient norm far above its own history, while the return does not rise."""
    norm = evidence.get(TOTAL, points=10)
    early = median(norm.values[: max(5, len(norm.values) // 10)])
    spell = norm.spell(norm.smoothed().values > 100 * max(early, 1e-12), points=4)
    if spell is None or evidence.does_well:
        return None
    clipped = evidence.find(CLIPPED)
    limited = clipped is not None and float(clipped.at(spell.steps)[0]) < 0.9 * spell.values[0]
    causes = ("learning_rate_high", "reward_scale_large") if limited else ("no_clipping", "learning_rate_high")
    message = f"The gradient's norm has grown from {early:.3g} to {spell.values[-1]:.3g}."
    return Verdict(message, ("td_target_wrong", *causes, "gradient_explodes"), spell.span, [TOTAL, CLIPPED])


@rule("gradient_clipped", severity="info", source="Andrychowicz et al. 2021, arXiv:2006.05990, section 3.5")
def gradient_clipped(evidence: Evidence) -> Verdict | None:
    """A gradient that is cut to a hundredth and less at nearly every step."""
    norm, clipped = evidence.judged(TOTAL), evidence.judged(CLIPPED)
    share = clipped.values / np.maximum(norm.at(clipped.steps), 1e-30)
    if np.mean(share < 0.01) < 0.9:
        return None
    message = f"The gradient is clipped to {median(share):.1%} of its norm at nearly every step."
    return Verdict(message, ("reward_scale_large", "limit_small", "learning_rate_high"), norm.span, [TOTAL, CLIPPED])


@rule("gradient_vanishes", severity="warning", source="Glorot and Bengio 2010 (vanishing gradients)", explains=LEARNING)
def gradient_vanishes(evidence: Evidence) -> Verdict | None:
    """Layers whose gradient is exactly 0, or nothing beside the rest, while the return does not rise."""
    layers = {
        name: series.after(evidence.burn_in)
        for name, series in evidence.matching("gradient_norm/").items()
        if name.split("/")[0] not in ("total", "clipped") and len(series.after(evidence.burn_in).values) >= 8
    }
    if not layers:
        raise NotJudged("needs 8 points of gradient_norm/<module>")
    if evidence.does_well:
        return None
    total = evidence.get(TOTAL)
    gone = {n: s for n, s in layers.items() if np.mean(s.values <= 1e-7 * total.at(s.steps)) > 0.8}
    if not gone:
        return None
    name = min(gone)
    message = f"No gradient reaches {', '.join(sorted(gone))}."
    causes = ("gradient_vanishes", "dead_units", "weights_saturate", "learning_rate_high")
    return Verdict(message, causes, gone[name].span, [f"gradient_norm/{name}", TOTAL])
