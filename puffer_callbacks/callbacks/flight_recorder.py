"""``FlightRecorder``: saves what reproduces an update in which values became NaN or infinite."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from puffer_callbacks.measure.snapshot import Snapshot, num_bytes
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.values.nonfinite import nonfinite_names
from puffer_callbacks.values.scalars import as_scalar

MAX_BYTES = 64 * 2**20
_MAX_LOSSES = 1024
_ROLLOUT_FIELDS = {field.name for field in fields(Rollout)}


class FlightRecorder:
    """Checks the loss of each training step and each rollout, and keeps the state from before the update.

    Args:
        max_bytes: of the file, and of the copy of the state in memory. What does not fit is left out and named in it.

    Example:
        >>> import tempfile
        >>> recorder = FlightRecorder()
        >>> recorder.copy_state(torch.nn.Linear(2, 1), [])
        >>> recorder.add_loss({"loss": torch.tensor(float("nan"))})
        True
        >>> path = recorder.save(Path(tempfile.mkdtemp()), step=10, batch={"observations": torch.zeros(1, 2)})
        >>> path.name, sorted(torch.load(path))
        ('nonfinite_step_10.pt', ['batch', 'left_out', 'module', 'optimizers', 'step', 'torch_random_state'])
    """

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self.saved: Path | None = None
        """The file, once it is written."""
        self._snapshot = Snapshot(max_bytes=max_bytes)
        self._random_state = torch.get_rng_state()
        self._losses: list[Tensor] = []

    @property
    def has_state(self) -> bool:
        """Whether the state was copied, if it is not too large."""
        return self._snapshot.is_taken

    def add_loss(self, outputs: object) -> bool:
        """Add what a training step returned; whether its loss is known to be not finite. Waits for no device."""
        # a dict first, as nearly always: this runs at every step
        loss = outputs.get("loss") if type(outputs) is dict or isinstance(outputs, Mapping) else outputs
        if loss is None:
            return False
        if isinstance(loss, Tensor) and not loss.is_cpu and loss.numel() == 1:
            if len(self._losses) < _MAX_LOSSES:
                # copied, as the output of a CUDA graph is written again
                self._losses.append(loss.detach().reshape(()).clone())
            return False
        number = as_scalar(loss)
        return number is not None and not math.isfinite(number)

    def check(self, rollout: Rollout) -> list[str]:
        """What is not finite in a rollout and among the losses before it, by name, in the order of the data's way."""
        losses, self._losses = self._losses, []
        found = {"loss": torch.stack(losses)} if losses else {}
        if rollout.advantages is not None and not nonfinite_names(found | {"advantages": rollout.advantages}):
            return []  # observations, rewards and values all reach the advantages
        return nonfinite_names(found | rollout_fields(rollout))

    def copy_state(self, module: Any, optimizers: Iterable[Any]) -> None:
        """Copy the state, in place of the last copy."""
        self._snapshot.take(module, optimizers)
        self._random_state = torch.get_rng_state()

    def save(self, folder: Path, *, step: int, **parts: Any) -> Path:
        """Write a file that ``torch.load`` reads.

        Args:
            folder: where to; made where it is missing.
            step: of the run, for the file's name.
            **parts: what else to save, the most important first: tensors, nested at will.

        Returns:
            Its path.

        Raises:
            OSError: if it cannot be written.
        """
        content: dict[str, Any] = {"step": step, "torch_random_state": self._random_state}
        left, left_out = self.max_bytes, []
        for name, part in {**parts, **self._snapshot.states()}.items():
            if num_bytes(part) > left:
                left_out.append(name)
                continue
            left -= num_bytes(part)
            content[name] = tree_map(lambda leaf: leaf.detach().cpu() if isinstance(leaf, Tensor) else leaf, part)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"nonfinite_step_{step}.pt"
        _save(content | {"left_out": left_out}, path)
        self.saved = path
        return path


def _save(content: dict[str, Any], path: Path) -> None:
    """Write the file whole or not at all. Where torch writes it itself, its error hides the disk's."""
    buffer = BytesIO()
    torch.save(content, buffer)
    try:
        path.write_bytes(buffer.getbuffer())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def rollout_fields(rollout: Rollout) -> dict[str, Tensor]:
    """The fields of a rollout that are tensors."""
    values = {field.name: getattr(rollout, field.name) for field in fields(rollout)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def nonfinite_tag(name: str) -> str:
    """The tag under which the rules look for a tensor that is not finite.

    Example:
        >>> nonfinite_tag("observations"), nonfinite_tag("loss")
        ('nonfinite/rollout/observations', 'nonfinite/train/loss')
    """
    return f"nonfinite/{'rollout' if name in _ROLLOUT_FIELDS else 'train'}/{name}"


def log_folder(trainer: Any) -> Path | None:
    """The folder of the run's first logger that has one on this machine."""
    for logger in trainer.loggers:
        for name in ("log_dir", "save_dir"):
            folder = getattr(logger, name, None)
            if isinstance(folder, str | Path) and "://" not in str(folder):
                return Path(folder).expanduser()  # as fsspec does for loggers
    return None
