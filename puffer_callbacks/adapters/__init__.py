"""The same callbacks where no Lightning ``Trainer`` trains: PuffeRL, Fabric and plain loops, Stable-Baselines3."""

from typing import TYPE_CHECKING, Any

from puffer_callbacks.adapters.loop import Loop

if TYPE_CHECKING:
    from puffer_callbacks.adapters.sb3 import SB3Bridge

__all__ = ["Loop", "SB3Bridge"]


def __getattr__(name: str) -> Any:
    # its base class is Stable-Baselines3's, which is imported by nobody who does not ask for it
    if name == "SB3Bridge":
        from puffer_callbacks.adapters.sb3 import SB3Bridge  # noqa: PLC0415

        return SB3Bridge
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
