"""A real ``transformers.Trainer`` on a model of some thousand weights."""

from typing import Any

import torch
import transformers


class Numbers(torch.utils.data.Dataset):
    """Sequences that count."""

    def __len__(self):
        return 64

    def __getitem__(self, at):
        return {"input_ids": (torch.arange(8) + at) % 16, "labels": (torch.arange(8) + at) % 16}


def make_trainer(folder: Any, callbacks: list[Any], **options: Any) -> transformers.Trainer:
    """Twelve steps over the numbers."""
    transformers.set_seed(1)
    config = transformers.GPT2Config(vocab_size=16, n_positions=8, n_embd=8, n_layer=1, n_head=2)
    fixed = {"max_steps": 12, "logging_steps": 2, "per_device_train_batch_size": 4, "max_grad_norm": 1e-3}
    quiet = {"use_cpu": True, "report_to": [], "disable_tqdm": True, "save_strategy": "no"}
    constant = {"lr_scheduler_type": "constant"}
    arguments = transformers.TrainingArguments(str(folder), **{**fixed, **quiet, **constant, **options})
    model = transformers.GPT2LMHeadModel(config)
    return transformers.Trainer(model, arguments, train_dataset=Numbers(), eval_dataset=Numbers(), callbacks=callbacks)
