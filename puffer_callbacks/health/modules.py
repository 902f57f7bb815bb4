"""Which part of an agent a module's name speaks of."""

import re
from typing import Literal

Role = Literal["target", "critic", "actor", "other"]

_TARGET = re.compile(r"target", re.IGNORECASE)
_CRITIC = re.compile(r"critic|value|(^|[._])(vf|qf|q)[._\d]|q_?net|baseline", re.IGNORECASE)
_ACTOR = re.compile(r"actor|policy_net|action_net|(^|[._])(pi|mu|logits)([._\d]|$)|log_std", re.IGNORECASE)


def role_of(name: str) -> Role:
    """The role of a module or parameter, by its dotted name.

    Example:
        >>> [role_of(name) for name in ("policy.actor.0", "q_net_target.0", "mlp_extractor.value_net.0", "body.1")]
        ['actor', 'target', 'critic', 'other']
    """
    if _TARGET.search(name):
        return "target"
    if _CRITIC.search(name):
        return "critic"
    return "actor" if _ACTOR.search(name) else "other"
