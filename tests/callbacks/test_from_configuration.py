"""Callbacks and loggers as configuration files make them: plain values, null, and Lightning's command line."""

import sys

import numpy as np
import pytest
import yaml
from lightning.pytorch.cli import LightningCLI
from omegaconf import OmegaConf

import puffer_callbacks
from puffer_callbacks import (
    AttentionCallback,
    ConsoleLogger,
    HealthCallback,
    HistogramCallback,
    HyperparametersCallback,
    ImageCallback,
    MemoryLogger,
    PlasticityCallback,
    Recorder,
    VideoCallback,
    default_callbacks,
)
from puffer_callbacks.adapters import Loop
from puffer_callbacks.ppo import PPO
from puffer_callbacks.report import LiveLogger

COUNTS = [
    (ImageCallback, "num_envs"),
    (ImageCallback, "num_samples"),
    (ImageCallback, "max_bytes"),
    (VideoCallback, "max_steps"),
    (VideoCallback, "max_bytes"),
    (AttentionCallback, "num_samples"),
    (AttentionCallback, "max_bytes"),
    (PlasticityCallback, "num_samples"),
    (HealthCallback, "max_bytes"),
    (ConsoleLogger, "total_steps"),
]


@pytest.mark.parametrize("value", ["4", 2.5, 4.0, True])
@pytest.mark.parametrize(("kind", "name"), COUNTS, ids=lambda part: getattr(part, "__name__", part))
def test_a_count_of_another_type_is_refused_in_one_line(kind, name, value):
    with pytest.raises(TypeError) as caught:
        kind(**{name: value})
    line = f"{name}: expected an integer of at least 1, got {value!r} ({type(value).__name__})"
    assert str(caught.value) == line


FLAGS = [
    (HistogramCallback, "weights"),
    (HistogramCallback, "gradients"),
    (HistogramCallback, "activations"),
    (ImageCallback, "figures"),
    (HealthCallback, "flight_recorder"),
    (Recorder, "strict"),
]


@pytest.mark.parametrize("value", ["false", "true", "", None, 2])
@pytest.mark.parametrize(("kind", "name"), FLAGS, ids=lambda part: getattr(part, "__name__", part))
def test_a_string_in_place_of_true_or_false_is_refused_in_one_line(kind, name, value):
    with pytest.raises(TypeError) as caught:
        kind(**{name: value})
    assert str(caught.value) == f"{name}: expected True or False, got {value!r} ({type(value).__name__})"
    for accepted in (True, False, 0, 1, np.True_):
        kind(**{name: accepted})


def test_null_stands_for_no_entry_in_a_list():
    assert ImageCallback(names=None).names == ()
    assert HyperparametersCallback(redact=None)._redact("gamma", 0.99) == 0.99
    assert HistogramCallback(include=None, exclude=None)._selection.exclude == ()


def test_one_name_is_not_its_letters(memory_logger):
    assert ImageCallback(names="position").names == ("position",)
    view = LiveLogger("train/loss")
    view.log_metrics({"train/loss": 1.0, "t": 2.0}, 1)
    assert "train/loss" in view._repr_html_() and ">t<" not in view._repr_html_()


def test_one_name_stands_for_a_list_on_lightnings_command_line():
    options = {
        "ImageCallback.names": "position",
        "HyperparametersCallback.redact": "team",
        "HistogramCallback.include": "*.weight",
    }
    callbacks = []
    for path, value in options.items():
        kind, name = path.split(".")
        callbacks.append({"class_path": f"puffer_callbacks.{kind}", "init_args": {name: value}})
    images, hyperparameters, histograms, *_ = command_line(
        SHORT[0], f"--trainer.callbacks={callbacks}"
    ).trainer.callbacks
    assert images.names == ("position",)
    assert histograms._selection.include == ("*.weight",)
    assert hyperparameters._redact("team", "red") != "red"


def test_lists_and_mappings_of_omegaconf():
    config = OmegaConf.create({"images": {"num_envs": 2, "names": ["x", "y"]}, "histograms": {"include": ["actor.*"]}})
    callbacks = {type(callback): callback for callback in default_callbacks(**config)}
    assert (callbacks[ImageCallback].num_envs, callbacks[ImageCallback].names) == (2, ("x", "y"))
    assert callbacks[HistogramCallback]._selection.include == ("actor.*",)
    listed = OmegaConf.create({"both": [MemoryLogger(), MemoryLogger()]}, flags={"allow_objects": True}).both
    assert [type(logger) for logger in Loop(listed).loggers] == [MemoryLogger, MemoryLogger]


@pytest.mark.parametrize("given", ["runs", ["runs"]])
def test_a_folder_in_place_of_a_logger_names_log_dir(given):
    with pytest.raises(
        TypeError, match=r"^loggers: expected Lightning loggers, got 'runs'; a folder is log_dir='runs'$"
    ):
        Loop(given)


@pytest.fixture(autouse=True)
def _nothing_typed(monkeypatch):
    """Lightning warns of arguments beside those of the process, and jsonargparse of Lightning."""
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")


def command_line(*arguments: str, module: type[PPO] = PPO, **settings: object) -> LightningCLI:
    defaults = {
        "accelerator": "cpu",
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": False,
        "log_every_n_steps": 1,
    }
    return LightningCLI(
        module,
        args=list(arguments),
        run=False,
        save_config_callback=None,
        auto_configure_optimizers=False,
        trainer_defaults={**defaults, "enable_checkpointing": False, **settings},
    )


ALL = [name for name in puffer_callbacks.__all__ if name.endswith("Callback") and name != "PufferCallback"]
SHORT = [
    "--seed_everything=1",
    "--model.total_timesteps=512",
    "--model.num_steps=32",
    "--model.batch_size=64",
    "--trainer.max_epochs=2",
]


def test_every_callback_from_the_yaml_of_lightnings_command_line(tmp_path, memory_logger):
    callbacks = [{"class_path": f"puffer_callbacks.{name}"} for name in ALL]
    callbacks[ALL.index("VideoCallback")]["init_args"] = {"env_id": "CartPole-v1", "every_n_rollouts": 1000}
    callbacks.append({"class_path": "puffer_callbacks.Recorder", "init_args": {"x_axis": "optimizer_steps"}})
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks": callbacks}}))
    cli = command_line("--config", str(tmp_path / "run.yaml"), *SHORT)
    cli.trainer.logger = memory_logger
    cli.trainer.fit(cli.model)
    assert [step for step, _ in memory_logger.series("train/reward")] == [0, 16]  # of 4 passes over 4 minibatches
    assert {"hyperparameters", "train/loss", "weights/policy.actor.0.weight"} <= set(memory_logger.tags)
    (_, hyperparameters), *_ = memory_logger.series("hyperparameters")
    assert "_instantiator" not in hyperparameters.settings and hyperparameters.settings["total_timesteps"] == 512


def test_the_default_callbacks_beside_those_of_lightnings_command_line(memory_logger):
    more = ["--trainer.callbacks+=puffer_callbacks.PlasticityCallback", "--trainer.callbacks.every_n_steps=4"]
    cli = command_line(*SHORT, *more, callbacks=default_callbacks(histograms=False))
    cli.trainer.logger = memory_logger
    cli.trainer.fit(cli.model)
    assert [step for step, _ in memory_logger.series("train/reward")] == [256, 512]
    assert "plasticity/dormant_ratio" in memory_logger.tags


class Swing(PPO):
    def __init__(self, bonus: float = 1.0, **kwargs):
        super().__init__("Pendulum", hidden_sizes=[8], **kwargs)
        self.bonus = bonus


def test_a_subclass_of_the_reference_module_on_lightnings_command_line(memory_logger):
    cli = command_line("--model.bonus=2", *SHORT, "--trainer.max_epochs=1", module=Swing)
    named = {"env_id": "Pendulum-v1", "hidden_sizes": [8], "num_steps": 32, "bonus": 2.0, "gamma": 0.99}
    assert {name: cli.model.hparams[name] for name in named} == named
    cli.trainer.logger = memory_logger
    cli.trainer.fit(cli.model)
    assert cli.model.env_steps == 256 and cli.model.bonus == 2.0


def test_the_reference_module_names_the_version_of_its_environment_on_lightnings_command_line():
    assert command_line(SHORT[0], "--model.env_id=Acrobot").model.hparams["env_id"] == "Acrobot-v1"
