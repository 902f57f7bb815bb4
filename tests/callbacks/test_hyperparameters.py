import argparse
import enum
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import LearningRateFinder
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.hparams.backend_context import _sort_and_reduce_to_hparams_limit

from puffer_callbacks import (
    ConsoleLogger,
    Hyperparameters,
    HyperparametersCallback,
    MemoryLogger,
    MetricsCallback,
    RolloutCallback,
)
from puffer_callbacks.adapters import Loop
from tests.support.models import Agent, Supervised, losses
from tests.support.reading import accumulator, tensorboard_events

SECRETS = {
    "api_key": "hush01",
    "wandb_api_key": "hush02",
    "WANDB_API_KEY": "hush03",
    "apiKey": "hush04",
    "password": "hush05",
    "db": {"passwd": "hush06", "user": "me"},
    "token": "hush07",
    "hf_token": "hush08",
    "accessToken": "hush09",
    "auth": {"bearer": "hush10"},
    "client_secret": "hush11",
    "private_key": "hush12",
    "aws": {"secret_access_key": "hush13"},
    "credentials": "hush14",
    "url": "https://me:hush15@host/path",
    "note": "sk-proj-hush16" + "a" * 30,
    "ghp": "ghp_hush17" + "a" * 30,
    "services": [{"name": "tracker", "api_key": "hush18"}, ("x", {"password": "hush19"})],
    "command": "train --api-key hush20 --token=hush21 --gamma 0.9",
    "query": "https://host/path?token=hush22&gamma=0.9",
    "written": "{'api_key': 'hush23', 'gamma': 0.9}",
    "header": "Authorization: Bearer hush24",
    "pin_password": 99912345,
}


class Color(enum.Enum):
    RED = 1


@dataclass
class Nested:
    gamma: float = 0.99
    hidden: tuple[int, ...] = (64, 64)


class Configured(Supervised):
    """A module that saves hyperparameters of every kind."""

    def __init__(self, **config):
        super().__init__(losses(1.0, 2.0, 3.0))
        self.save_hyperparameters()


def settings_of(logger):
    return logger.series("hyperparameters")[0][1].settings


def fit(quiet_trainer, logger, module, *callbacks, **arguments):
    quiet_trainer(logger=logger, callbacks=[*callbacks, HyperparametersCallback()], **arguments).fit(module)


def test_every_kind_of_setting(quiet_trainer, memory_logger):
    module = Configured(
        lr=0.5,
        layers=3,
        name="ppo",
        deep={"er": {"still": True}},
        dataclass=Nested(),
        namespace=argparse.Namespace(seed=7),
        none=None,
        color=Color.RED,
        activation=torch.nn.Tanh,
        numpy=np.float32(0.25),
        tensor=torch.tensor(4),
        path=Path("a/b"),
        empty={},
        long="x" * 5000,
    )
    fit(quiet_trainer, memory_logger, module)
    found = settings_of(memory_logger)
    expected = {
        "lr": 0.5,
        "layers": 3,
        "name": "ppo",
        "deep/er/still": True,
        "dataclass/gamma": 0.99,
        "dataclass/hidden": "(64, 64)",
        "namespace/seed": 7,
        "none": "None",
        "color": "RED",
        "activation": "Tanh",
        "numpy": 0.25,
        "tensor": 4,
        "path": "a/b",
        "empty": "{}",
        "optimizer/name": "SGD",
        "optimizer/lr": 0.1,
        "trainer/max_epochs": 1,
    }
    assert {name: found[name] for name in expected} == expected
    assert all(type(found[name]) is type(expected[name]) for name in expected)
    assert len(found["long"]) <= 1000


def test_it_is_logged_on_fit_start_and_once_more_at_the_end(quiet_trainer, memory_logger):
    fit(quiet_trainer, memory_logger, Configured(lr=0.5), MetricsCallback(1))
    (start, at_start), (end, at_end) = memory_logger.series("hyperparameters")
    assert (start, at_start.status, at_start.metrics) == (0, "running", {"train/loss": None})
    assert (end, at_end.status, at_end.metrics) == (3, "success", {"train/loss": 3.0})
    assert at_end.settings == at_start.settings


def test_the_data_module_s_hyperparameters_count_too(quiet_trainer, memory_logger):
    class Data(pl.LightningDataModule):
        def __init__(self, batch=16):
            super().__init__()
            self.save_hyperparameters()

        def train_dataloader(self):
            return range(3)

    trainer = quiet_trainer(logger=memory_logger, callbacks=[HyperparametersCallback()])
    trainer.fit(Supervised(losses(*[0.0] * 3)), datamodule=Data(batch=32))
    assert settings_of(memory_logger)["batch"] == 32


def test_two_optimizers_are_told_apart(quiet_trainer, memory_logger):
    from tests.support.models import TwoOptimizers

    fit(quiet_trainer, memory_logger, TwoOptimizers(batches=2))
    found = settings_of(memory_logger)
    assert (found["optimizer/lr"], found["optimizer/1/lr"]) == (0.1, 0.01)


def test_secrets_reach_no_backend(quiet_trainer, memory_logger, tmp_path, capsys):
    loggers = [
        memory_logger,
        TensorBoardLogger(tmp_path, name="tb"),
        CSVLogger(tmp_path, name="csv"),
        ConsoleLogger(),
    ]
    fit(quiet_trainer, loggers, Configured(**SECRETS), MetricsCallback(1))
    written = repr(settings_of(memory_logger)) + capsys.readouterr().out
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "hparams.yaml" and path.parts[-3] == "tb" for path in files)
    assert any(path.name == "hparams.yaml" and path.parts[-3] == "csv" for path in files)
    for path in files:
        written += path.read_bytes().decode(errors="replace")
    assert not [leak for leak in [*(f"hush{i:02d}" for i in range(1, 25)), "99912345"] if leak in written]
    assert settings_of(memory_logger)["db/user"] == "me"


def test_what_is_no_secret_is_shown(quiet_trainer, memory_logger):
    plain = {
        "gamma": 0.99,
        "keys": 3,
        "monkey": "m",
        "max_tokens": 512,
        "tokenizer": "bpe",
        "author": "me",
        "secretary": 1,
    }
    shown = {name: plain[name] for name in ("gamma", "keys", "monkey", "max_tokens", "tokenizer", "author")}
    fit(quiet_trainer, memory_logger, Configured(**plain))
    found = settings_of(memory_logger)
    assert {name: found[name] for name in shown} == shown


def test_further_names_can_be_redacted(quiet_trainer, memory_logger):
    module = Configured(team_name="blue", token="plain", gamma=0.99)
    quiet_trainer(logger=memory_logger, callbacks=[HyperparametersCallback(redact=["team"])]).fit(module)
    found = settings_of(memory_logger)
    assert found["team_name"] == found["token"] == "<redacted>"
    assert found["gamma"] == 0.99


def test_a_bad_pattern_is_refused():
    with pytest.raises(ValueError, match=r"redact: expected regular expressions.*'\('"):
        HyperparametersCallback(redact=["("])


class HParams:
    """What TensorBoard's HParams plugin finds."""

    def __init__(self, folder):
        self.found = accumulator(folder)
        self.data = dict(self.found.PluginTagToContent("hparams"))

    def read(self, tag, field):
        return getattr(plugin_data_pb2.HParamsPluginData.FromString(self.data[tag]), field)

    @property
    def metrics(self):
        return [info.name.tag for info in self.read(metadata.EXPERIMENT_TAG, "experiment").metric_infos]

    @property
    def settings(self):
        start = self.read(metadata.SESSION_START_INFO_TAG, "session_start_info")
        return {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}

    @property
    def status(self):
        return self.read(metadata.SESSION_END_INFO_TAG, "session_end_info").status


def test_tensorboard_s_hparams_tab_shows_real_final_metrics(quiet_trainer, tmp_path):
    logger = TensorBoardLogger(tmp_path, name="", version="")
    module = Agent(losses(*range(8)))
    module.save_hyperparameters({"gamma": 0.99, "name": "ppo", "anneal": True})
    fit(quiet_trainer, logger, module, MetricsCallback(1), RolloutCallback())
    shown = HParams(tmp_path)
    assert shown.metrics == ["rollout/return_last_100", "train/reward", "train/episode_length"]
    assert shown.settings["gamma"] == 0.99
    assert shown.settings["name"] == "ppo"
    assert shown.settings["anneal"] is True
    assert shown.status == api_pb2.STATUS_SUCCESS
    final = shown.found.Scalars("train/reward")[-1].value
    assert final == pytest.approx(module.rollouts[-1].episode_returns.mean().item())
    assert set(shown.metrics) <= set(shown.found.Tags()["scalars"])


def test_what_people_compare_first_comes_first(quiet_trainer, tmp_path):
    """As TensorBoard's own backend sorts the columns: by ``differs``, then by the alphabet."""
    module = Agent(losses(0.0, 0.0))
    module.save_hyperparameters({"anneal_lr": True, "env_id": "CartPole-v1", "learning_rate": 0.1, "seed": 1, "T": 8})
    fit(quiet_trainer, TensorBoardLogger(tmp_path, name="", version=""), module)
    experiment = HParams(tmp_path).read(metadata.EXPERIMENT_TAG, "experiment")
    _sort_and_reduce_to_hparams_limit(experiment)
    assert [info.name for info in experiment.hparam_infos][:4] == ["env_id", "learning_rate", "seed", "T"]


def test_there_is_no_hp_metric_of_minus_one(quiet_trainer, tmp_path):
    logger = TensorBoardLogger(tmp_path, name="", version="")
    fit(quiet_trainer, logger, Configured(lr=0.5), MetricsCallback(1))
    assert "hp_metric" not in accumulator(tmp_path).Tags()["scalars"]
    assert not any(value.tag == "hp_metric" for event in tensorboard_events(tmp_path) for value in event.summary.value)
    assert HParams(tmp_path).metrics == ["train/loss"]


def test_a_prefix_of_the_logger_stands_before_the_metrics_too(quiet_trainer, tmp_path):
    logger = TensorBoardLogger(tmp_path, name="", version="", prefix="mine")
    fit(quiet_trainer, logger, Configured(lr=0.5), MetricsCallback(1))
    shown = HParams(tmp_path)
    assert shown.metrics == ["mine-train/loss"]
    assert shown.found.Scalars("mine-train/loss")[-1].value == 3.0


def test_a_run_that_failed_is_shown_as_failed(quiet_trainer, tmp_path):
    class Fails(Configured):
        def training_step(self, batch, batch_idx):
            raise RuntimeError("diverged")

    with pytest.raises(RuntimeError, match="diverged"):
        fit(quiet_trainer, TensorBoardLogger(tmp_path, name="", version=""), Fails(lr=0.5))
    assert HParams(tmp_path).status == api_pb2.STATUS_FAILURE


def test_hyperparameters_refuse_what_no_backend_can_store():
    with pytest.raises(TypeError, match="number, string or boolean for 'hidden', got list"):
        Hyperparameters({"hidden": [64]})
    with pytest.raises(ValueError, match="running, success or failure, got 'done'"):
        Hyperparameters({}, status="done")


class Vicious:
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


ODD = {
    "without text": Vicious(),
    "meta tensor": torch.zeros((), device="meta"),
    "nan": float("nan"),
    "beyond a float": 10**400,
    "beyond text": 10**5000,
    "bytes": b"bytes",
    "half a character": "\ud800",
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_odd_setting_loses_no_other(quiet_trainer, memory_logger, tmp_path, odd):
    module = Supervised(losses(1.0))
    module._set_hparams({"odd": odd, "gamma": 0.99})
    tensorboard, csv = tmp_path / "tensorboard", tmp_path / "csv"
    loggers = [TensorBoardLogger(tensorboard, name="", version=""), CSVLogger(csv, name="", version="")]
    fit(quiet_trainer, [memory_logger, *loggers], module)
    assert settings_of(memory_logger)["gamma"] == 0.99
    assert HParams(tensorboard).settings["gamma"] == 0.99
    assert "gamma: 0.99" in (csv / "hparams.yaml").read_text()


def test_a_configuration_that_contains_itself_ends(quiet_trainer, memory_logger):
    loop = {"gamma": 0.99}
    loop["self"] = loop
    module = Supervised(losses(1.0))
    module._set_hparams(loop)
    fit(quiet_trainer, memory_logger, module)
    assert settings_of(memory_logger)["gamma"] == 0.99


class Data(pl.LightningDataModule):
    def __init__(self, **config):
        super().__init__()
        self.save_hyperparameters()

    def train_dataloader(self):
        return range(2)


@pytest.mark.parametrize("ours", [False, True])
def test_hyperparameters_that_collide_are_refused_by_lightning_as_ever(quiet_trainer, memory_logger, ours):
    trainer = quiet_trainer(logger=memory_logger, callbacks=[HyperparametersCallback()] if ours else [])
    module, data = Configured(gamma=0.99), Data(gamma=0.9)
    with pytest.raises(RuntimeError, match=r"Error while merging hparams: the keys .'gamma'. are present"):
        trainer.fit(module, datamodule=data)
    assert (module.hparams_initial, data.hparams_initial) == ({"gamma": 0.99}, {"gamma": 0.9})


@pytest.mark.parametrize("base", [TensorBoardLogger, CSVLogger])
def test_a_logger_s_own_log_hyperparams_is_called_without_secrets(quiet_trainer, tmp_path, base):
    called = []

    class Mine(base):
        def log_hyperparams(self, params, *args, **kwargs):
            called.append(dict(params))
            super().log_hyperparams(params, *args, **kwargs)

    logger = Mine(tmp_path, name="", version="")
    module = Configured(gamma=0.99, net={"hidden": (8, 8)}, token="hush")
    fit(quiet_trainer, logger, module)
    assert called == [{"gamma": 0.99, "net": {"hidden": (8, 8)}, "token": "<redacted>"}]
    assert module.hparams_initial["token"] == "hush"


@pytest.mark.parametrize("stage", ["fit", "test"])
@pytest.mark.parametrize("base", [TensorBoardLogger, CSVLogger])
def test_hparams_yaml_is_as_without_us(quiet_trainer, tmp_path, base, stage):
    written = []
    for callbacks in ([], [HyperparametersCallback(), MetricsCallback(1)]):
        logger = base(tmp_path, name="", version=f"{len(callbacks)}")
        module = Configured(gamma=0.99, net={"hidden": (8, 8)})
        module.test_step = lambda batch, batch_idx: None
        trainer = quiet_trainer(logger=logger, callbacks=callbacks)
        if stage == "fit":
            trainer.fit(module)
        else:
            trainer.test(module, range(1), verbose=False)
        written.append((Path(logger.log_dir) / "hparams.yaml").read_text())
    assert written[0] == written[1]


def test_hyperparameters_that_are_not_for_loggers_stay_out(quiet_trainer, memory_logger):
    class Private(Supervised):
        def __init__(self, cluster):
            super().__init__(losses(1.0))
            self.save_hyperparameters(logger=False)

    fit(quiet_trainer, memory_logger, Private("10.1.2.3"))
    assert "cluster" not in settings_of(memory_logger)
    assert settings_of(memory_logger)["optimizer/lr"] == 0.1


def test_nothing_stays_changed_where_the_fit_fails_early(quiet_trainer, tmp_path):
    class Fails(Configured):
        def on_fit_start(self):
            raise ZeroDivisionError

    logger, module = TensorBoardLogger(tmp_path, name="", version=""), Fails(token="hush")
    with pytest.raises(ZeroDivisionError):
        fit(quiet_trainer, logger, module)
    assert module.hparams_initial["token"] == "hush"
    assert logger._default_hp_metric


def test_learning_rates_are_those_in_force_in_each_group(quiet_trainer, memory_logger):
    class Groups(Supervised):
        def configure_optimizers(self):
            groups = [{"params": [self.layer.weight], "lr": 0.1}, {"params": [self.layer.bias], "momentum": 0.5}]
            return torch.optim.SGD(groups, lr=0.2)

    fit(quiet_trainer, memory_logger, Groups(losses(0.0, 0.0)), MetricsCallback(1))
    found = {name: value for name, value in settings_of(memory_logger).items() if name.startswith("optimizer/")}
    assert (found["optimizer/lr"], found["optimizer/momentum"]) == (0.1, 0)
    assert {name: value for name, value in found.items() if "group" in name} == {
        "optimizer/group_1/lr": 0.2,
        "optimizer/group_1/momentum": 0.5,
    }
    assert memory_logger.series("train/learning_rate")[-1][1] == 0.1
    assert memory_logger.series("train/learning_rate/group_1")[-1][1] == 0.2


@pytest.mark.parametrize("finder_first", [True, False])
def test_the_learning_rate_is_the_one_that_a_finder_found(quiet_trainer, tmp_path, finder_first):
    class Found(Supervised):
        def __init__(self):
            super().__init__(losses(*(100.0 - at**1.5 for at in range(40))))

        def training_step(self, batch, batch_idx):
            self.step = batch_idx
            return super().training_step(batch, batch_idx)

    logger, module = TensorBoardLogger(tmp_path, name="", version=""), Found()
    callbacks = [LearningRateFinder(num_training_steps=30), HyperparametersCallback()]
    trainer = quiet_trainer(logger=logger, callbacks=callbacks if finder_first else callbacks[::-1])
    trainer.fit(module)
    rate = trainer.optimizers[0].param_groups[0]["lr"]
    assert rate == module.lr != 0.1
    assert HParams(tmp_path).settings["optimizer/lr"] == rate


def test_what_the_user_keeps_from_loggers_is_not_logged(quiet_trainer, memory_logger):
    module = Supervised(losses(1.0))
    module.save_hyperparameters({"cluster": "10.1.2.3"}, logger=False)
    fit(quiet_trainer, memory_logger, module)
    assert not [name for name in settings_of(memory_logger) if "cluster" in name]
    assert settings_of(memory_logger)["optimizer/lr"] == 0.1


@pytest.mark.parametrize("scheduled", [False, True], ids=["by hand", "by a scheduler"])
def test_a_loop_that_anneals_shows_the_configured_rate_after_a_resume_and_in_a_second_fit(scheduled):
    def life(loop, net, optimizer):
        loop.fit_start(net, {"gamma": 0.9})
        for at in range(3):
            net(torch.ones(1, 2)).sum().backward()
            optimizer.step()
            loop.step({"loss": 1.0})
            if scheduled:
                schedule.step()
            else:
                optimizer.param_groups[0]["lr"] = 0.1 * 0.5 ** (at + 1)
        state = loop.state_dict(), optimizer.state_dict()
        loop.close()
        return state

    net = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    first, second = MemoryLogger(), MemoryLogger()
    loop = Loop(first, [HyperparametersCallback()])
    of_loop, of_optimizer = life(loop, net, optimizer)
    life(loop, net, optimizer)
    resumed = Loop(second, [HyperparametersCallback()])
    resumed.load_state_dict(of_loop)
    again = torch.optim.SGD(net.parameters(), lr=0.1)
    again.load_state_dict(of_optimizer)
    life(resumed, net, again)
    assert optimizer.param_groups[0]["lr"] < 0.05
    shown = [value.settings["optimizer/lr"] for each in (first, second) for _, value in each.series("hyperparameters")]
    assert shown == [0.1] * 6  # as each fit begins and as it ends


def test_a_fit_that_is_resumed_shows_the_rate_before_its_schedule(quiet_trainer, memory_logger, tmp_path):
    class Scheduled(Supervised):
        def configure_optimizers(self):
            optimizer = super().configure_optimizers()
            return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1)]

    path = tmp_path / "last.ckpt"
    trainer = quiet_trainer(callbacks=[HyperparametersCallback()])
    trainer.fit(Scheduled(losses(1.0, 2.0)))
    trainer.save_checkpoint(path)
    module = Scheduled(losses(*[1.0] * 4))
    callbacks = [HyperparametersCallback(), MetricsCallback(1)]
    quiet_trainer(logger=memory_logger, callbacks=callbacks, max_epochs=2).fit(module, ckpt_path=path)
    assert settings_of(memory_logger)["optimizer/lr"] == 0.1
    assert memory_logger.series("train/learning_rate")[0][1] == pytest.approx(0.01)
