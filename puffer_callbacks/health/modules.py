"""Which part of an agent a module's name speaks of."""

import re
from collections.abc import Collection, Iterable
from typing import Literal

from torch import Tensor

Role = Literal["target", "critic", "actor", "other"]

_TARGET = re.compile(r"target", re.IGNORECASE)
_CRITIC = re.compile(r"critic|value|(^|[._])(vf|qf|q)[._\d]|q_?net|baseline", re.IGNORECASE)
_ACTOR = re.compile(
    r"(?<!extr)(?<!f)actor|policy_net|action_net|(^|[._])(pi|mu|logits)([._\d]|$)|log_std"
    # one that is called "policy" and has but layers, unlike the whole of actor and critic that has that name
    r"|(^|\.)policy([._](head|network|net|mlp|model|layers?|fc|linear|output|out|weight|bias)?\d*)*$",
    re.IGNORECASE,
)


def role_of(name: str) -> Role:
    """The role of a module or parameter, by its dotted name.

    Example:
        >>> [role_of(name) for name in ("policy.actor.0", "q_net_target.0", "mlp_extractor.value_net.0", "body.1")]
        ['actor', 'target', 'critic', 'other']
        >>> [role_of(name) for name in ("policy.2", "policy_head", "policy.features_extractor.0")]
        ['actor', 'actor', 'other']
    """
    if _TARGET.search(name):
        return "target"
    if _CRITIC.search(name):
        return "critic"
    return "actor" if _ACTOR.search(name) else "other"


def has_actor(roles: Collection[Role]) -> bool:
    """Whether a network of its own chooses the actions.

    One that has but its target network beside it acts by its values, whatever its name: PyTorch's tutorial of DQN calls
    it ``policy_net``.

    Args:
        roles: of all modules.

    Example:
        >>> has_actor(["actor", "critic", "target"]), has_actor(["actor"]), has_actor(["actor", "target"])
        (True, True, False)
    """
    return "actor" in roles and {*roles} != {"actor", "target"}


def meant_to_change(parameters: Iterable[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
    """Parameters without those that are frozen (``requires_grad=False``) on purpose.

    A frozen part may be meant so beside parts that train, as an encoder or the weights under an adapter. An actor or
    critic of which nothing trains is not, and a target network is copied.

    Args:
        parameters: names and tensors.

    Example:
        >>> from torch import nn
        >>> module = nn.ModuleDict({"encoder": nn.Linear(1, 1), "actor": nn.Linear(1, 1), "q_target": nn.Linear(1, 1)})
        >>> _ = module["encoder"].requires_grad_(False), module["q_target"].requires_grad_(False)
        >>> [name for name, _ in meant_to_change(module.named_parameters()) if name.endswith("bias")]
        ['actor.bias', 'q_target.bias']
    """
    named = list(parameters)
    trained = {role_of(name) for name, parameter in named if parameter.requires_grad}
    may_rest = {"other", *trained} - {"target"}  # some freeze the critic's and not the actor's
    return [(name, each) for name, each in named if each.requires_grad or role_of(name) not in may_rest]
