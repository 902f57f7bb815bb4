"""The same callbacks in other trainers: PuffeRL, Stable-Baselines3, transformers, rsl_rl, Fabric, loops of your own."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from puffer_callbacks.adapters.loop import Loop
from puffer_callbacks.adapters.pufferl.bridge import PuffeRLBridge
from puffer_callbacks.adapters.rsl_rl.bridge import RslRlBridge

if TYPE_CHECKING:
    from puffer_callbacks.adapters.sb3.bridge import SB3Bridge
    from puffer_callbacks.adapters.transformers import TransformersCallback

__all__ = ["Loop", "PuffeRLBridge", "RslRlBridge", "SB3Bridge", "TransformersCallback"]

_ON_DEMAND = {
    "SB3Bridge": "puffer_callbacks.adapters.sb3.bridge",
    "TransformersCallback": "puffer_callbacks.adapters.transformers",
}
"""Classes whose base is another library's, which is imported only where it is asked for."""


def __getattr__(name: str) -> Any:
    if name in _ON_DEMAND:
        return getattr(import_module(_ON_DEMAND[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
