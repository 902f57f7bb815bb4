"""A plain module with what callbacks expect of a ``LightningModule``."""

from typing import Any

from torch import nn

_WRAPPERS = {"DistributedDataParallel", "_FabricModule"}


class _LightningView:
    """The attributes of a ``LightningModule`` that a plain module lacks."""

    automatic_optimization = True
    _adapter: Any

    def __init_subclass__(cls, **_: object) -> None:
        """A view is not entered where a user's class registers its subclasses."""

    @property
    def trainer(self) -> Any:
        """The loop that stands for the trainer."""
        return self._adapter

    @property
    def hparams(self) -> Any:
        """The configuration that the loop was given."""
        return self._adapter.hparams

    @property
    def env_steps(self) -> int | None:
        """Environment steps so far; ``None`` where they are not counted yet."""
        steps: int | None = self._adapter.env_steps
        return steps


def as_lightning_module(module: nn.Module, adapter: Any) -> Any:
    """The module as callbacks expect modules: with ``trainer``, ``hparams``, ``env_steps``.

    It is the same module, not a copy: both share one namespace, so parameters, buffers, hooks and the
    ``training`` flag are one. The module itself gains no attribute, and can be saved and copied as ever.

    Args:
        module: any module.
        adapter: what stands for its trainer.

    Example:
        >>> from types import SimpleNamespace
        >>> layer = nn.Linear(2, 1)
        >>> view = as_lightning_module(layer, SimpleNamespace(hparams={"lr": 0.1}, env_steps=8))
        >>> view.weight is layer.weight, isinstance(view, nn.Linear), view.env_steps
        (True, True, 8)
    """
    kind = type(module)
    names = {"_adapter": adapter, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    metaclass: Any = type(kind)
    view_kind = metaclass(kind.__name__, (_LightningView, kind), names)
    view = view_kind.__new__(view_kind)
    object.__setattr__(view, "__dict__", module.__dict__)
    return view


def unwrap(module: object) -> nn.Module:
    """The user's own module, without the wrappers of ``torch.compile``, DDP and Fabric.

    Args:
        module: a module, wrapped or not.

    Raises:
        TypeError: if it is no module.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"fit_start: expected a torch.nn.Module to train, got {type(module).__name__}")
    while True:
        wrapped = type(module).__name__ in _WRAPPERS
        inner = getattr(module, "module" if wrapped else "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return module
        module = inner
