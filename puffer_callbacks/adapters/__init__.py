"""The same callbacks in other trainers: PuffeRL, Stable-Baselines3, Fabric, hand-written loops."""

from typing import TYPE_CHECKING, Any

from puffer_callbacks.adapters.loop import Loop
from puffer_callbacks.adapters.pufferl.bridge import PuffeRLBridge

if TYPE_CHECKING:
    from puffer_callbacks.adapters.sb3.bridge import SB3Bridge

__all__ = ["Loop", "PuffeRLBridge", "SB3Bridge"]


def __getattr__(name: str) -> Any:
    # its base class is Stable-Baselines3's, which is imported by nobody who does not ask for it
    if name == "SB3Bridge":
        from puffer_callbacks.adapters.sb3.bridge import SB3Bridge  # noqa: PLC0415

        return SB3Bridge
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
