"""The optimizers of a run, each found again after a resume."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn
from torch.optim import Optimizer

from puffer_callbacks.values.scalars import Scalar


class RegisteredOptimizer(NamedTuple):
    """What identifies an optimizer after a resume, its steps and its learning rates."""

    parameter: str | None
    """The module's first parameter that it holds; ``None`` where it holds none, as with sharded ones."""
    steps: int
    """Its steps so far."""
    rates: Mapping[str, Scalar] = {}
    """Its learning rates at its last step, by name: until the next one they are in the means of the training steps."""


def first_parameter(optimizer: Optimizer, module: Any) -> str | None:
    """The name of the module's first parameter that an optimizer holds.

    Example:
        >>> import torch
        >>> layers = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
        >>> first_parameter(torch.optim.SGD(layers[1].parameters(), lr=0.1), layers)
        '1.weight'
    """
    if not isinstance(module, nn.Module):
        return None
    held = parameter_ids(optimizer)
    return next((name for name, each in module.named_parameters() if id(each) in held), None)


def parameter_ids(optimizer: Any) -> set[int]:
    """The identities of the parameters that an optimizer holds."""
    return {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}


def registered_index(
    registered: Sequence[RegisteredOptimizer], parameter: str | None, module: Any, *, taken: Collection[int]
) -> int:
    """The index of the optimizer that begins with this parameter, or the next one where there is none.

    Several that begin with one parameter are distinguished by the order in which they are added; an optimizer whose
    parameters have other names now, or had none, is the first of those whose parameters are gone.

    Args:
        registered: those of the run.
        parameter: the first parameter of the optimizer.
        module: the module in training.
        taken: the indices of those that were added already.
    """
    free = [at for at in range(len(registered)) if at not in taken]
    same = [at for at in free if registered[at].parameter == parameter]
    if same or not free:
        return same[0] if same else len(registered)
    names = {name for name, _ in module.named_parameters()} if isinstance(module, nn.Module) else set()
    return next((at for at in free if registered[at].parameter not in names), len(registered))
