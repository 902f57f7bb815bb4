"""Speed."""

import numpy as np

from puffer_callbacks.health.evidence import Evidence
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.series import median, rank_correlation

SPS = "throughput/sps"
_BLOCKS = 12


@rule("throughput_falls", severity="warning", source="invariant: a step costs the same late as early", threshold=0.5)
def throughput_falls(evidence: Evidence, threshold: float) -> Verdict | None:
    """Steps a second that fall and fall, to less than ``threshold`` of what they were."""
    speed = evidence.judged(SPS, points=3 * _BLOCKS)
    blocks = np.array([median(block) for block in np.array_split(speed.values, _BLOCKS)])
    if blocks[-3:].max() > threshold * median(blocks[:3]) or rank_correlation(blocks) > -0.95:
        return None
    slower = speed.smoothed().values < 0.7 * median(blocks[:3])
    message = f"Training slows down steadily: {median(blocks[:3]):.3g} steps a second at first, {blocks[-1]:.3g} now."
    return Verdict(message, ("environment_slows", "step_slows"), speed.span_since(slower), [SPS])
