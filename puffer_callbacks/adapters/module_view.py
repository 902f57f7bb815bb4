"""A plain module in the clothes of a ``LightningModule``."""

from typing import Any

from torch import nn

_WRAPPERS = {"DistributedDataParallel", "_FabricModule"}


class _Dressed:
    """What callbacks ask of a ``LightningModule`` and a plain module lacks."""

    automatic_optimization = True
    _host: Any

    def __init_subclass__(cls, **_: object) -> None:
        """A registry of the user's subclasses need not hear of a dressed one."""

    @property
    def trainer(self) -> Any:
        """The loop that stands for a trainer."""
        return self._host

    @property
    def hparams(self) -> Any:
        """The configuration that the loop was given."""
        return self._host.hparams

    @property
    def env_steps(self) -> int | None:
        """Environment steps so far; ``None`` until a rollout tells."""
        steps: int | None = self._host.env_steps
        return steps


def as_lightning_module(module: nn.Module, host: Any) -> Any:
    """The module as callbacks know modules: with ``trainer``, ``hparams``, ``env_steps``.

    It is the same module, not a copy: both share one namespace, so parameters, buffers, hooks and the
    ``training`` flag are one. The module itself gains no attribute, and can be saved and copied as ever.

    Args:
        module: any module.
        host: what stands for its trainer.

    Example:
        >>> from types import SimpleNamespace
        >>> layer = nn.Linear(2, 1)
        >>> twin = as_lightning_module(layer, SimpleNamespace(hparams={"lr": 0.1}, env_steps=8))
        >>> twin.weight is layer.weight, isinstance(twin, nn.Linear), twin.env_steps
        (True, True, 8)
    """
    kind = type(module)
    names = {"_host": host, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    metaclass: Any = type(kind)
    twin_kind = metaclass(kind.__name__, (_Dressed, kind), names)
    twin = twin_kind.__new__(twin_kind)
    object.__setattr__(twin, "__dict__", module.__dict__)
    return twin


def unwrap(module: object) -> nn.Module:
    """The user's own module, out of what ``torch.compile``, DDP and Fabric put around it.

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
