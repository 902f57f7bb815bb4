"""``AttentionCallback``: attention maps of any model."""

from typing import Any

from puffer_callbacks.callbacks.base import PufferCallback
from puffer_callbacks.callbacks.guarded import can_run_alone, guarded
from puffer_callbacks.measure.attention.maps import AttentionMap, attention_maps
from puffer_callbacks.measure.forward_pass.batches import first_samples, on_device
from puffer_callbacks.pictures.attention import attention_image
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.schedule import Every, check_counts
from puffer_callbacks.values import Value
from puffer_callbacks.values.shrink import shrink_to_bytes


class AttentionCallback(PufferCallback):
    """Logs any model's attention maps, ``attention/<module>``, by a forward pass on a fixed batch.

    A tile for each head, and its entropy in nats over the whole batch:
    ``attention/<module>/entropy/head_<i>``, and their mean, ``attention/<module>/entropy``. The pass leaves
    no trace: no hook, gradient, random number, buffer or mode is different after it.

    Args:
        every_n_steps: the interval, in optimizer steps.
        probe: the batch, or a function of the module that runs it; the first training batch by default.
        num_samples: the most samples of the first training batch that are kept.
        max_bytes: of one picture as a PNG file; a larger one is scaled down.

    Raises:
        ValueError: if a number is below 1.

    Example:
        >>> import torch
        >>> AttentionCallback(every_n_steps=500, probe=torch.zeros(2, 10, 32)).every_n_steps
        500
    """

    expensive = True

    def __init__(
        self,
        every_n_steps: int = 1000,
        *,
        probe: Any = None,
        num_samples: int = 8,
        max_bytes: int = 1_000_000,
    ) -> None:
        check_counts(num_samples=num_samples, max_bytes=max_bytes)
        self._every = Every(every_n_steps)
        self.every_n_steps = every_n_steps
        self.num_samples = num_samples
        self.max_bytes = max_bytes
        self._given_probe = probe
        AttentionCallback.reset(self, None)  # not that of a subclass, which may read the trainer

    def reset(self, trainer: Any) -> None:
        """Forget the first batch and the failure of earlier runs."""
        self._probe: Any = self._given_probe
        self._has_failed = False

    @property
    def next_step(self) -> int:
        """The optimizer step of the next maps."""
        return self._every.next

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Keep the first batch, where no probe was given."""
        if self._probe is None:
            self._keep_probe(trainer, pl_module, batch)

    @guarded
    def _keep_probe(self, trainer: Any, pl_module: Any, batch: Any) -> None:
        self._probe = first_samples(batch, pl_module, count=self.num_samples)

    @guarded
    def on_step(self, trainer: Any, pl_module: Any, metrics: Any) -> None:
        """Log the attention maps where this step crossed the interval."""
        recorder = Recorder.of(trainer)
        if not self._every.fires(recorder.counters.optimizer_steps) or self._has_failed:
            return
        self._has_failed = True  # what fails once is not tried again
        if not can_run_alone(trainer, pl_module, name="AttentionCallback"):
            return
        maps = self._maps(pl_module)
        self._has_failed = False
        if trainer.is_global_zero:
            for attention in maps:
                recorder.record(self._values(attention))

    def _maps(self, module: Any) -> list[AttentionMap]:
        if self._probe is None:
            raise ValueError("expected a training batch to probe the model with, got none; give probe=")
        return attention_maps(module, on_device(self._probe, module))

    def _values(self, attention: AttentionMap) -> dict[str, Value]:
        tag = f"attention/{attention.layer}"
        heads = attention.entropy()
        entropies = {f"{tag}/entropy/head_{i}": entropy for i, entropy in enumerate(heads.tolist())}
        picture = shrink_to_bytes(attention_image(attention), max_bytes=self.max_bytes)
        return {tag: picture, f"{tag}/entropy": heads.mean().item(), **entropies}
