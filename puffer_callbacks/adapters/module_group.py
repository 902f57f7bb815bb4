"""Several modules in training, as one."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from puffer_callbacks.adapters.module_view import unwrap


class ModuleGroup(nn.Module):
    """The modules and tensors that a loop trains, each under its name; a call goes to the first module.

    They are shared, not copied, and keep no reference to the group.

    Args:
        members: name to module, plain or wrapped, or to a tensor that an optimizer steps, such as SAC's log α.

    Raises:
        TypeError: if a member is neither.

    Example:
        >>> import torch
        >>> group = ModuleGroup({"actor": nn.Linear(2, 1), "log_alpha": torch.zeros(1, requires_grad=True)})
        >>> [name for name, _ in group.named_parameters()]
        ['log_alpha', 'actor.weight', 'actor.bias']
        >>> group(torch.ones(2)).shape
        torch.Size([1])
    """

    def __init__(self, members: Mapping[str, Any]) -> None:
        super().__init__()
        self._listed = list(members)
        for name, member in members.items():
            if isinstance(member, nn.Module):
                self.add_module(name, unwrap(member))
            elif isinstance(member, Tensor):
                self._parameters[name] = member  # type: ignore[assignment]  # a Parameter would be another tensor
            else:
                given = f"got {name!r}: {type(member).__name__}"
                raise TypeError(f"fit_start: expected modules and tensors to train, {given}")

    def listed_parameters(self) -> list[Tensor]:
        """All parameters, member by member as they were listed: torch puts a module's own before those of its parts."""
        members = [getattr(self, name) for name in self._listed]
        return [
            each for member in members for each in (member.parameters() if isinstance(member, nn.Module) else [member])
        ]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the first module: the actor, as pictures and videos need it."""
        return next(self.children())(*args, **kwargs)


def as_module(trained: Any) -> nn.Module:
    """What a loop trains, as one module: a module without its wrappers, or a group of several.

    Raises:
        TypeError: if it is neither a module nor a mapping of modules and tensors.
    """
    return ModuleGroup(trained) if isinstance(trained, Mapping) and trained else unwrap(trained)
