import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from puffer_callbacks import (
    Histogram,
    Image,
    MemoryLogger,
    MetricsCallback,
    PufferCallback,
    Recorder,
    RolloutCallback,
    Text,
    Video,
    emit,
    log,
)
from puffer_callbacks.faults import PufferWarning
from puffer_callbacks.measure.episode_counter import EpisodeCounter
from tests.support.models import Agent, Supervised, TwoOptimizers, losses, random_rollout
from tests.support.warned import warned


class Listener(PufferCallback):
    """Keeps what its hooks are given."""

    def __init__(self):
        self.steps = []
        self.rollouts = []

    def on_step(self, trainer, pl_module, metrics):
        self.steps.append((trainer, pl_module, dict(metrics)))

    def on_rollout_end(self, trainer, pl_module, rollout):
        self.rollouts.append((trainer, pl_module, rollout))


class Logs(PufferCallback):
    """Logs one mapping in the first step."""

    def __init__(self, values):
        self.values = values

    def on_step(self, trainer, pl_module, metrics):
        if pl_module.step == 1:
            log(pl_module, self.values)


def said_by(quiet_trainer, values, **arguments):
    logger = MemoryLogger()
    quiet_trainer(logger=logger, callbacks=[Logs(values)], **arguments).fit(Supervised(losses(*[0.0] * 3)))
    return logger


def test_on_step_comes_once_a_batch_with_detached_scalars(quiet_trainer):
    listener = Listener()
    trainer = quiet_trainer(callbacks=[listener], accumulate_grad_batches=2)
    module = Supervised([{"loss": float(i), "kl": torch.tensor(float(i), requires_grad=True)} for i in range(5)])
    trainer.fit(module)
    assert [(t, m) for t, m, _ in listener.steps] == [(trainer, module)] * 5
    for i, (_, _, metrics) in enumerate(listener.steps):
        assert set(metrics) == {"loss", "kl"}
        assert metrics["loss"] == i and metrics["kl"] == i
        assert not metrics["loss"].requires_grad and not metrics["kl"].requires_grad


def test_on_step_comes_in_manual_optimization_too(quiet_trainer):
    listener = Listener()
    quiet_trainer(callbacks=[listener]).fit(TwoOptimizers(batches=4))
    assert [float(metrics["loss"]) for _, _, metrics in listener.steps] == [0.0, 1.0, 2.0, 3.0]


def test_on_rollout_end_comes_with_the_rollout(quiet_trainer):
    listener = Listener()
    trainer = quiet_trainer(callbacks=[listener])
    module = Agent(losses(*[0.0] * 8))
    trainer.fit(module)
    assert listener.rollouts == [(trainer, module, rollout) for rollout in module.rollouts]
    assert len(listener.rollouts) == 2


def test_any_callback_with_the_hook_is_called(quiet_trainer):
    called = []

    class Plain(pl.Callback):
        def on_rollout_end(self, trainer, pl_module, rollout):
            called.append("on_rollout_end")

        def on_step(self, trainer, pl_module, metrics):
            called.append("on_step")

        def on_curriculum(self, trainer, pl_module, level, name):
            called.append((level, name))

    class Module(Agent):
        def training_step(self, batch, batch_idx):
            emit(self, "on_curriculum", 3, "hard")
            emit(self.trainer, "on_curriculum", 4, "harder")
            emit(self, "on_nobody_listens", object())
            return super().training_step(batch, batch_idx)

    quiet_trainer(callbacks=[Plain(), Listener()]).fit(Module(losses(0.0)))
    assert called == [(3, "hard"), (4, "harder"), "on_rollout_end", "on_step"]


@pytest.mark.parametrize("arguments", [(), ("rollout",), ({"rewards": 1},), (None,), "two"])
def test_emit_refuses_what_is_no_rollout(arguments):
    arguments = (random_rollout(0, 0), random_rollout(0, 0)) if arguments == "two" else arguments
    with pytest.raises(TypeError, match="on_rollout_end: expected one Rollout, got"):
        emit(Supervised([]), "on_rollout_end", *arguments)


def test_a_module_without_a_trainer_calls_no_callback():
    module = Supervised([])
    emit(module, "on_rollout_end", random_rollout(0, 0))
    log(module, {"a": 1.0})
    emit(torch.nn.Linear(1, 1), "on_rollout_end", random_rollout(0, 0))
    log(torch.nn.Linear(1, 1), {"a": 1.0})


@pytest.mark.parametrize("hook", ["on_step", "on_rollout_end", "on_train_batch_end", "on_fit_start"])
def test_an_exception_of_a_user_s_callback_is_not_swallowed(quiet_trainer, hook):
    def fail(self, *_):
        raise ZeroDivisionError("the user's own")

    callback = type("Broken", (PufferCallback,), {hook: fail})()
    with pytest.raises(ZeroDivisionError, match="the user's own"):
        quiet_trainer(callbacks=[MetricsCallback(), callback, RolloutCallback()]).fit(Agent(losses(0.0, 0.0)))


class Breaks(MetricsCallback):
    """One of ours with a fault of its own."""

    def _record(self, *_):
        raise OSError("no such luck")


def test_a_fault_of_ours_is_reported_once_and_training_goes_on(quiet_trainer, memory_logger):
    module = Agent(losses(*[0.0] * 8))
    with warned() as reported:
        quiet_trainer(logger=memory_logger, callbacks=[Breaks(1), RolloutCallback()]).fit(module)
    assert module.step == 8
    assert reported == ["Breaks: left out after OSError: no such luck; training goes on"]
    assert len(memory_logger.series("train/reward")) == 2


def test_strict_raises_a_fault_of_ours(quiet_trainer):
    with pytest.raises(OSError, match="no such luck"):
        quiet_trainer(callbacks=[Recorder(strict=True), Breaks(1)]).fit(Supervised(losses(0.0)))


def test_log_takes_every_kind(quiet_trainer):
    histogram = Histogram.of(torch.arange(5.0))
    image = Image(np.zeros((4, 4, 3), np.uint8))
    video = Video(np.zeros((2, 4, 4, 3), np.uint8))
    numbers = {
        "python": 1,
        "boolean": True,
        "numpy": np.float32(0.5),
        "array": np.array([2.0]),
        "tensor": torch.tensor(3.0, requires_grad=True),
        "one": torch.ones(1, 1),
        "half": torch.tensor(1.5, dtype=torch.bfloat16),
        "nan": float("nan"),
    }
    others = {"histogram": histogram, "image": image, "video": video, "text": Text("done")}
    logger = said_by(quiet_trainer, {**numbers, **others})
    found = {tag: logger.series(tag) for tag in [*numbers, *others]}
    assert {tag: value for tag, ((_, value),) in found.items() if tag in others} == others
    for tag, expected in numbers.items():
        ((step, value),) = found[tag]
        assert step == 1
        assert type(value) is float
        assert value == pytest.approx(torch.as_tensor(expected).double().item(), nan_ok=True)
    assert logger.text == "text: done"


@pytest.mark.parametrize(
    ("value", "given"),
    [
        ("text", "a str"),
        (None, "a NoneType"),
        ([1.0], "a list"),
        (1 + 2j, "a complex"),
        (torch.ones(3), r"a Tensor of shape \[3\] and torch.float32"),
        (torch.tensor(1j), r"a Tensor of shape \[\] and torch.complex64"),
        (torch.zeros((), device="meta"), "a Tensor"),
        (np.zeros((8, 8, 3), np.uint8), r"a ndarray of shape \[8, 8, 3\] and uint8"),
        (torch.nn.Linear(1, 1), "a Linear"),
    ],
)
def test_log_leaves_a_bad_value_out_with_one_warning_that_names_it(quiet_trainer, value, given):
    with pytest.warns(UserWarning, match=rf"log\('bad'\): expected a number.*, got {given}"):
        logger = said_by(quiet_trainer, {"good": 1.0, "bad": value})
    assert logger.series("good") == [(1, 1.0)]
    assert "bad" not in logger.tags


def test_a_bad_value_is_reported_once(quiet_trainer):
    class Always(Logs):
        def on_step(self, trainer, pl_module, metrics):
            log(trainer, self.values)

    with warned() as reported:
        quiet_trainer(callbacks=[Always({"bad": "x", "worse": []})]).fit(Supervised(losses(*[0.0] * 5)))
    assert len(reported) == 2


@pytest.mark.parametrize("values", ["text", 3, None, [("a",)]])
def test_log_of_no_mapping_ends_nothing(quiet_trainer, values):
    with pytest.warns(UserWarning, match="log: "):
        said_by(quiet_trainer, values)


def test_log_from_any_hook_reaches_the_logger(quiet_trainer, memory_logger):
    class Everywhere(PufferCallback):
        def on_fit_start(self, trainer, pl_module):
            log(trainer, {"on_fit_start": 1.0})

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            log(trainer, {"on_train_batch_start": 1.0})

        def on_train_epoch_end(self, trainer, pl_module):
            log(trainer, {"on_train_epoch_end": 1.0})

        def on_validation_end(self, trainer, pl_module):
            log(trainer, {"on_validation_end": 1.0})

        def on_train_end(self, trainer, pl_module):
            log(trainer, {"on_train_end": 1.0})

        def on_fit_end(self, trainer, pl_module):
            log(trainer, {"on_fit_end": 1.0})

    class Module(Supervised):
        def configure_optimizers(self):
            log(self, {"configure_optimizers": 1.0})
            return super().configure_optimizers()

        def validation_step(self, batch, batch_idx):
            log(self, {"validation_step": 1.0})

        def val_dataloader(self):
            return range(1)

    quiet_trainer(logger=memory_logger, callbacks=[Everywhere()]).fit(Module(losses(*[0.0] * 3)))
    steps = {
        tag: [step for step, _ in memory_logger.series(tag)]
        for tag in memory_logger.tags
        if "_" in tag and "/" not in tag
    }
    assert steps == {
        "configure_optimizers": [0],
        "on_fit_start": [0],
        "on_train_batch_start": [0, 1, 2],
        "on_train_epoch_end": [3],
        "on_validation_end": [0, 3],
        "validation_step": [0, 3],
        "on_train_end": [3],
        "on_fit_end": [3],
    }


def test_tags_that_are_no_strings_become_strings(quiet_trainer):
    assert said_by(quiet_trainer, {7: 1.0}).series("7") == [(1, 1.0)]


def test_a_bare_puffer_callback_does_nothing(quiet_trainer, memory_logger):
    quiet_trainer(logger=memory_logger, callbacks=[PufferCallback()]).fit(Agent(losses(0.0, 0.0)))
    assert memory_logger.tags == []


def test_log_outside_a_fit_reports_that_nothing_is_recorded(quiet_trainer):
    trainer = quiet_trainer(callbacks=[PufferCallback()])
    with warned() as reported:
        log(trainer, {"mine": 1.0})
    assert len(reported) == 1 and "got one outside fit" in reported[0]


def test_an_attribute_of_the_user_s_own_is_no_interval(quiet_trainer, memory_logger):
    class Own(PufferCallback):
        _every = 5

        def on_step(self, trainer, pl_module, metrics):
            log(trainer, {"own": float(self._every)})

    with warned() as reported:
        quiet_trainer(logger=memory_logger, callbacks=[Own()]).fit(Agent(losses(0.0, 0.0)))
    assert reported == []
    assert memory_logger.series("own") == [(16, 5.0)]


@pytest.mark.parametrize("strict", [False, True])
def test_a_state_that_cannot_be_saved_raises_where_faults_do(quiet_trainer, tmp_path, monkeypatch, strict):
    def broken(self):
        raise ValueError("no state")

    trainer = quiet_trainer(callbacks=[Recorder(strict=strict), RolloutCallback()])
    trainer.fit(Supervised(losses(1.0)))
    monkeypatch.setattr(EpisodeCounter, "state_dict", broken)
    message = (
        "^no state" if strict else "^RolloutCallback, its part of a checkpoint: left out after ValueError: no state"
    )
    with pytest.raises(ValueError, match=message) if strict else pytest.warns(PufferWarning, match=message):
        trainer.save_checkpoint(tmp_path / "broken.ckpt")
    assert (tmp_path / "broken.ckpt").exists() is not strict
