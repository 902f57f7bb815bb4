"""The compiled encoder of event files, where the package was built with one."""

try:
    from puffer_callbacks.writers.tensorboard import _encoding as encoding
except ImportError:  # built without a compiler
    encoding = None  # type: ignore[assignment]

IS_COMPILED = encoding is not None

__all__ = ["IS_COMPILED", "encoding"]
