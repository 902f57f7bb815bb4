"""A real ``transformers.Trainer`` on a model of some thousand weights."""

import logging
import subprocess
import sys

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger

from puffer_callbacks import MemoryLogger, PufferCallback, Recorder, adapters, default_callbacks
from puffer_callbacks.faults import PufferWarning
from tests.support.reading import tensorboard_scalars

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
make_trainer = pytest.importorskip("tests.adapters.gpt").make_trainer

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


class Reward(transformers.TrainerCallback):
    """What TRL's trainers add to a log, under their names."""

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in logs:
            logs |= {"reward": float(state.global_step), "clip_ratio/region_mean": 0.25, "entropy": 2.0}


def recorded(logger, **options):
    return adapters.TransformersCallback(logger, [Recorder(overhead_budget=1.0), *default_callbacks(**options)])


def steps(logger, tag):
    return [step for step, _ in logger.series(tag)]


def test_what_the_trainer_logs_stands_at_its_step_under_the_shared_names(memory_logger, tmp_path):
    trainer = make_trainer(
        tmp_path, [Reward(), recorded(memory_logger, metrics=2)], eval_strategy="steps", eval_steps=6
    )
    trainer.train()
    logged = [(row["step"], row["loss"]) for row in trainer.state.log_history if "loss" in row]
    assert memory_logger.series("train/loss") == logged
    assert [step for step, _ in logged] == [2, 4, 6, 8, 10, 12]
    assert memory_logger.series("train/reward") == [(step, float(step)) for step in range(2, 13, 2)]
    assert memory_logger.series("train/clip_ratio/region_mean")[0] == (2, 0.25)
    assert memory_logger.series("losses/entropy")[0] == (2, -2.0)
    evaluated = [(row["step"], row["eval_loss"]) for row in trainer.state.log_history if "eval_loss" in row]
    assert memory_logger.series("eval/loss") == evaluated
    assert len(evaluated) == 2
    assert not [tag for tag in memory_logger.tags if "runtime" in tag or "per_second" in tag]


def test_an_evaluation_before_training_and_after_it_is_logged_too(memory_logger, tmp_path):
    tensorboard = TensorBoardLogger(tmp_path, name="tb", version="")
    trainer = make_trainer(tmp_path, [recorded([tensorboard, memory_logger], metrics=1)], logging_steps=1)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    after = trainer.evaluate()["eval_loss"]
    assert memory_logger.series("eval/loss") == [(0, before), (13, after)]  # a point has one row, and 12 has its own
    assert tensorboard_scalars(tmp_path / "tb")["eval/loss"] == [(0, pytest.approx(before)), (13, pytest.approx(after))]
    assert steps(memory_logger, "train/loss") == list(range(1, 13))
    assert [value.status for _, value in memory_logger.series("hyperparameters")] == ["running", "success"]
    assert [tag for tag in memory_logger.tags if tag.startswith("eval/")] == ["eval/loss"]


def test_interval_means_are_over_all_logs_of_the_interval(memory_logger, tmp_path):
    trainer = make_trainer(tmp_path, [recorded(memory_logger, metrics=6)])
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    expected = [(6, sum(losses[:3]) / 3), (12, sum(losses[3:]) / 3)]
    assert memory_logger.series("train/loss") == [(step, pytest.approx(mean)) for step, mean in expected]


def test_gradients_are_those_before_the_clip_and_weights_come_at_the_interval(memory_logger, tmp_path):
    callback = recorded(memory_logger, histograms=4, gradients=4)
    trainer = make_trainer(tmp_path, [callback], gradient_accumulation_steps=2)
    trainer.train()
    assert steps(memory_logger, "weights/transformer.wte.weight") == [1, 4, 8, 12]
    assert steps(memory_logger, "gradients/transformer.h.0.attn.c_attn.weight") == [1, 4, 8, 12]
    before, after = (dict(memory_logger.series(f"gradient_norm/{name}")) for name in ("total", "clipped"))
    assert list(before) == [4, 8, 12]
    assert all(before[step] > 0.01 for step in before)
    assert all(after[step] == pytest.approx(1e-3, rel=1e-2) for step in after)
    norms = {row["step"]: row["grad_norm"] for row in trainer.state.log_history if "grad_norm" in row}
    assert before[4] == pytest.approx(norms[4], rel=1e-5), "as the trainer's own"


def test_training_is_the_same_bit_for_bit(memory_logger, tmp_path):
    weights = []
    for callbacks in ([], [recorded(memory_logger, metrics=1, histograms=1, gradients=1)]):
        trainer = make_trainer(tmp_path, callbacks)
        trainer.train()
        weights.append([parameter.detach().clone() for parameter in trainer.model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*weights, strict=True))


def test_a_resumed_trainer_continues_the_series(memory_logger, tmp_path):
    whole = MemoryLogger()
    make_trainer(tmp_path / "whole", [recorded(whole, metrics=4)]).train()
    options = {"save_strategy": "steps", "save_steps": 6}
    make_trainer(tmp_path / "parts", [recorded(MemoryLogger(), metrics=4)], **options, max_steps=6).train()
    trainer = make_trainer(tmp_path / "parts", [recorded(memory_logger, metrics=4)], **options)
    trainer.train(resume_from_checkpoint=True)
    assert memory_logger.series("train/loss") == [point for point in whole.series("train/loss") if point[0] > 6]
    assert steps(memory_logger, "time/optimizer_steps")[0] >= 6


def test_a_trainer_with_another_output_folder_continues_from_the_checkpoint_s(memory_logger, tmp_path):
    whole, first = MemoryLogger(), MemoryLogger()
    options = {"save_strategy": "steps", "save_steps": 6}
    make_trainer(tmp_path / "whole", [recorded(whole, metrics=4)]).train()
    make_trainer(tmp_path / "first", [recorded(first, metrics=4)], **options, max_steps=6).train()
    trainer = make_trainer(tmp_path / "second", [recorded(memory_logger, metrics=4)], **options)
    trainer.train(resume_from_checkpoint=str(tmp_path / "first" / "checkpoint-6"))
    assert memory_logger.series("train/loss") == [point for point in whole.series("train/loss") if point[0] > 6]


def test_two_ranks_continue_the_interval_that_their_checkpoint_cuts(tmp_path):
    from tests.adapters.gpt_ranks import train_on_two_ranks

    series = train_on_two_ranks(tmp_path)
    assert [step for step, _ in series["whole"]] == [4, 8, 12]
    assert series["resumed"] == [[step, pytest.approx(value)] for step, value in series["whole"] if step > 6]


def test_a_checkpoint_without_our_state_continues_at_its_step(memory_logger, tmp_path):
    options = {"save_strategy": "steps", "save_steps": 6}
    make_trainer(tmp_path, [], **options, max_steps=6).train()
    trainer = make_trainer(tmp_path, [recorded(memory_logger, metrics=2)], **options)
    with pytest.warns(PufferWarning, match=r"expected .*checkpoint-6.puffer_callbacks.pt, which is not there"):
        trainer.train(resume_from_checkpoint=True)
    assert steps(memory_logger, "train/loss") == [8, 10, 12]


def test_backends_and_hyperparameters(memory_logger, tmp_path):
    tensorboard = TensorBoardLogger(tmp_path, name="tb", version="")
    callback = recorded([tensorboard, memory_logger], metrics=2)
    make_trainer(tmp_path, [callback], gradient_accumulation_steps=2).train()
    assert [step for step, _ in tensorboard_scalars(tmp_path / "tb")["train/loss"]] == [2, 4, 6, 8, 10, 12]
    settings = memory_logger.series("hyperparameters")[0][1].settings
    assert (settings["max_steps"], settings["model/n_embd"]) == (12, 8)
    assert settings["gradient_accumulation_steps"] == 2
    assert [name for name in settings if name.startswith("trainer/")] == ["trainer/world_size"]


def test_a_callback_ends_training(tmp_path):
    class Stop(PufferCallback):
        def on_step(self, trainer, pl_module, metrics):
            trainer.should_stop = Recorder.of(trainer).counters.optimizer_steps >= 5

    trainer = make_trainer(tmp_path, [adapters.TransformersCallback(None, [Stop()])])
    trainer.train()
    assert trainer.state.global_step in (5, 6), "at the step, or where it is logged"


def test_an_exception_is_recorded_by_the_block_around_train(memory_logger, tmp_path):
    class Bomb(transformers.TrainerCallback):
        def on_step_begin(self, args, state, control, **_):
            if state.global_step == 5:
                raise OSError("boom")

    with pytest.raises(OSError, match="boom"), recorded(memory_logger, metrics=2) as callback:
        make_trainer(tmp_path, [callback, Bomb()]).train()
    assert steps(memory_logger, "train/loss") == [2, 4]
    assert "OSError: boom" in memory_logger.text


def test_a_missing_transformers_gives_the_command_that_installs_it():
    code = (
        "import sys\nfrom puffer_callbacks import adapters\n"  # torchmetrics imports it where it is there
        "sys.modules['transformers'] = None\n"
        "try:\n    adapters.TransformersCallback\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = 'TransformersCallback needs transformers: pip install "puffer_callbacks[transformers]"'
    assert done.stdout.strip() == expected


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("transformers").setLevel(logging.ERROR)
