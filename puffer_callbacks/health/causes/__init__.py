"""The causes that rules name, each with the knob to turn."""

from puffer_callbacks.health.causes.cause import Cause, Part
from puffer_callbacks.health.causes.data import DATA
from puffer_callbacks.health.causes.networks import NETWORKS
from puffer_callbacks.health.causes.policy import POLICY

CAUSES: dict[str, Cause] = {**DATA, **POLICY, **NETWORKS}
"""Key to cause. Rules name causes by key; findings carry their texts."""

__all__ = ["CAUSES", "Cause", "Part"]
