"""What a run may leave behind in its process, without a test framework: PuffeRL needs its own process."""

import gc
import os
import signal
import threading
from collections import Counter
from typing import Any

import torch
from torch.optim import optimizer as torch_optimizer

from puffer_callbacks import Recorder
from puffer_callbacks.adapters.trainer import TrainerAdapter


def process_state() -> dict[str, Any]:
    """Handlers, hooks, wrapped functions, threads, open files, and living objects of a run."""
    gc.collect()
    clips = (torch.nn.utils.clip_grad_norm_, torch.nn.utils.clip_grad_value_)
    kinds = (TrainerAdapter, Recorder, torch_optimizer.Optimizer, torch.nn.Module, torch.Tensor)
    alive = [type(each).__name__ for each in gc.get_objects() if issubclass(type(each), kinds)]
    return {
        "SIGINT": signal.getsignal(signal.SIGINT),
        "clips": [clip.__code__.co_filename for clip in clips],
        "global hooks": len(torch_optimizer._global_optimizer_pre_hooks | torch_optimizer._global_optimizer_post_hooks),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "files": sorted(os.readlink(f"/proc/self/fd/{file}") for file in os.listdir("/proc/self/fd") if is_open(file)),
        "alive": Counter(alive),
    }


def is_open(file: str) -> bool:
    """Whether a file descriptor is not that of the listing itself."""
    return os.path.exists(f"/proc/self/fd/{file}")
