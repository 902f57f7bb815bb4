"""``puffer-callbacks train``: PPO on a Gymnasium environment."""

import logging
import os
import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from lightning.pytorch import seed_everything

from puffer_callbacks.cli.arguments import hyperparameters, train_parser
from puffer_callbacks.cli.checkpoint import check_against, restore
from puffer_callbacks.cli.config_file import configuration, with_config
from puffer_callbacks.cli.defaults import Defaults, defaults_for
from puffer_callbacks.cli.parser import hyphenated, usage_errors
from puffer_callbacks.cli.progress import lines_above_the_bar
from puffer_callbacks.cli.summary import print_summary
from puffer_callbacks.cli.training_run import TrainingRun, open_run
from puffer_callbacks.faults import PufferWarning
from puffer_callbacks.ppo import PPO, resolve_env_id


def main(argv: Sequence[str]) -> int:
    """Train as the arguments ask, and print how it went and where to look.

    Returns:
        The exit status: 0, 130 after Ctrl-C, 143 after SIGTERM.

    Raises:
        UsageError: for bad input, before anything is written.
    """
    if os.getcwd() not in sys.path:  # an installed command does not look for modules in this folder, Python does
        sys.path.append(os.getcwd())
    arguments = with_config([hyphenated(argument) for argument in argv])
    defaults = defaults_for(arguments)
    options = train_parser(defaults).parse(arguments)
    torch.set_num_threads(1)  # networks of this size are faster on one, and weights depend on the seed alone
    with _quiet():
        module = _module(options, defaults)
        if options.print_config:
            print(configuration(options, defaults))
        elif module.is_complete:
            print(f"The run is complete: {module.env_steps:,} env steps. To continue it, raise --total-timesteps.")
        else:
            return _fit(open_run(module, options, defaults))
    return 0


def _module(options: Namespace, defaults: Defaults) -> PPO:
    """The module that the options ask for, restored where they name a checkpoint."""
    values = {name: getattr(options, name) for name, *_ in hyperparameters()}
    with usage_errors():
        if defaults.saved is not None:
            check_against(defaults.saved, resolve_env_id(options.env), values)
        module = PPO(options.env, **values)
    if defaults.saved is not None:
        restore(module, defaults.saved)
    return module


def _fit(run: TrainingRun) -> int:
    seed_everything(run.module.hparams["seed"], verbose=False)
    run.announce()
    try:
        with run.checkpoint.stops_at_ctrl_c(), lines_above_the_bar():
            run.trainer.fit(run.module, ckpt_path=run.source)
    except SystemExit:  # Lightning's answer to Ctrl-C and SIGTERM
        if not run.trainer.interrupted:
            raise
    finally:
        run.close()
    print_summary(run)
    if not run.trainer.interrupted:
        return 0
    return 143 if run.trainer.received_sigterm else 130


@contextmanager
def _quiet() -> Iterator[None]:
    """Print what the user asked for, not what the libraries report about themselves."""
    os.environ.setdefault("WANDB_SILENT", "true")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore")
        warnings.filterwarnings("default", category=PufferWarning)
        yield
