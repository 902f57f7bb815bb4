import io
import re

import pytest
import torch

from puffer_callbacks import (
    ConsoleLogger,
    Histogram,
    Hyperparameters,
    MetricsCallback,
    PufferCallback,
    Text,
    default_callbacks,
    log,
)
from puffer_callbacks.values.vocabulary import VOCABULARY
from tests.support.models import Agent, Supervised, losses


def lines(stream):
    return stream.getvalue().splitlines()


@pytest.fixture
def stream():
    return io.StringIO()


def test_the_printed_lines_follow_the_contract(capsys):
    logger = ConsoleLogger()
    logger.log_metrics({"train/reward": 21.34, "losses/policy": 0.0123, "losses/value": 0.5}, step=100)
    assert capsys.readouterr().out.splitlines() == [
        "[TRAIN] Step 100: train/reward = 21.3400",
        "[TRAIN] Step 100: losses { policy=0.0123, value=0.5000 }",
    ]


def test_prefix_and_stream_can_be_given(stream):
    ConsoleLogger("EVAL", every_n_steps=1, stream=stream).log_metrics({"train/reward": 1.0}, step=7)
    assert lines(stream) == ["[EVAL] Step 7: train/reward = 1.0000"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0.0000"),
        (-0.5, "-0.5000"),
        (475.0, "475.0000"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (2.5e-4, "2.5000e-04"),
        (1e15, "1.0000e+15"),
        (torch.tensor(1.25), "1.2500"),
        (3, "3.0000"),
    ],
)
def test_numbers_have_four_decimals_or_an_exponent(stream, value, shown):
    ConsoleLogger(every_n_steps=1, stream=stream).log_metrics({"train/x": value}, step=1)
    assert lines(stream) == [f"[TRAIN] Step 1: train/x = {shown}"]


_WHOLE = ("1 w", "Number", "How many", "Actions of", "Softmaxes", "Training steps", "Interval")
_COUNTS = [tag for tag, description in VOCABULARY.items() if description.meaning.startswith(_WHOLE)]


@pytest.mark.parametrize("tag", [*_COUNTS, "epoch", "plasticity/effective_rank/<layer>"])
def test_numbers_that_are_whole_by_nature_have_no_decimals(stream, tag):
    ConsoleLogger(every_n_steps=1, stream=stream).log_metrics({tag: 2.0}, step=1)
    assert lines(stream)[0].removesuffix(" }").endswith(("=2", "= 2"))


def test_all_metrics_of_a_step_are_printed_across_several_calls(stream):
    logger = ConsoleLogger(every_n_steps=100, stream=stream)
    logger.log_metrics({"train/a": 1.0}, step=100)
    logger.log_metrics({"train/b": 2.0}, step=100)
    logger.log_metrics({"losses/c": 3.0}, step=100)
    assert lines(stream) == [
        "[TRAIN] Step 100: train/a = 1.0000",
        "[TRAIN] Step 100: train/b = 2.0000",
        "[TRAIN] Step 100: losses { c=3.0000 }",
    ]


def test_between_two_prints_the_latest_value_of_each_metric_is_kept(stream):
    logger = ConsoleLogger(every_n_steps=100, stream=stream)
    logger.log_metrics({"train/a": 1.0, "train/rare": 7.0}, step=30)
    logger.log_metrics({"train/a": 2.0}, step=60)
    assert lines(stream) == []
    logger.log_metrics({"train/b": 3.0}, step=110)
    assert {line.split(": ")[1] for line in lines(stream)} == {
        "train/a = 2.0000",
        "train/rare = 7.0000",
        "train/b = 3.0000",
    }


def test_pending_metrics_are_printed_at_the_end(stream):
    logger = ConsoleLogger(every_n_steps=100, stream=stream)
    logger.log_metrics({"train/a": 1.0}, step=30)
    logger.finalize("success")
    logger.finalize("success")
    assert lines(stream) == ["[TRAIN] Step 30: train/a = 1.0000"]


def test_steps_that_jump_still_cross_the_interval(stream):
    logger = ConsoleLogger(every_n_steps=1000, stream=stream)
    for step in range(256, 5121, 256):
        logger.log_metrics({"train/a": float(step)}, step=step)
    printed = [int(re.search(r"Step (\d+)", line)[1]) for line in lines(stream)]
    assert printed == [1024, 2048, 3072, 4096, 5120]


def test_counts_are_whole(stream):
    logger = ConsoleLogger(every_n_steps=1, stream=stream)
    logger.log_metrics({"time/optimizer_steps": 16.0, "time/elapsed": 16.0, "nonfinite/train/kl": 2}, step=1)
    assert lines(stream) == [
        "[TRAIN] Step 1: time { optimizer_steps=16, elapsed=16.0000 }",
        "[TRAIN] Step 1: nonfinite { train/kl=2 }",
    ]


def test_a_stream_of_ascii_gets_every_metric():
    raw = io.BytesIO()
    logger = ConsoleLogger(every_n_steps=1, stream=io.TextIOWrapper(raw, encoding="ascii"))
    logger.log_metrics({"train/a": 1.0, "train/verlust_\u00fc": 2.0, "train/b": 3.0}, step=1)
    assert raw.getvalue().decode("ascii").splitlines() == [
        "[TRAIN] Step 1: train/a = 1.0000",
        "[TRAIN] Step 1: train/verlust_\\xfc = 2.0000",
        "[TRAIN] Step 1: train/b = 3.0000",
    ]


def test_long_similar_names_do_not_collide(stream):
    names = [f"train/{'x' * 200}{i}" for i in range(3)]
    ConsoleLogger(every_n_steps=1, stream=stream).log_metrics(dict.fromkeys(names, 1.0), step=1)
    assert len(lines(stream)) == 3


def test_a_whole_run_prints_every_scalar(quiet_trainer, stream, memory_logger):
    console = ConsoleLogger(every_n_steps=16, stream=stream)
    callbacks = default_callbacks(metrics=4, histograms=4, health=False)
    quiet_trainer(logger=[console, memory_logger], callbacks=callbacks).fit(Agent(losses(*range(12))))
    text = stream.getvalue()
    assert "[TRAIN] Step 16: train/loss = 1.5000" in text
    assert "[TRAIN] Step 48: train/loss = 9.5000" in text
    for tag in memory_logger.tags:
        if isinstance(memory_logger.series(tag)[0][1], float):
            group, _, name = tag.partition("/")
            shown = rf"{tag} = " if group == "train" else rf"{group} \{{ .*\b{name}="
            assert len(re.findall(rf"Step \d+: {shown}", text)) == len(memory_logger.series(tag)), tag


def test_texts_are_printed_and_histograms_are_not(quiet_trainer, stream):
    class Logs(PufferCallback):
        def on_step(self, trainer, pl_module, metrics):
            log(trainer, {"health/kl": Text("KL is high"), "weights": Histogram.of(torch.ones(3))})

    console = ConsoleLogger(every_n_steps=1, stream=stream)
    quiet_trainer(logger=console, callbacks=[Logs()]).fit(Supervised(losses(0.0)))
    assert "[TRAIN] Step 1: health/kl: KL is high" in lines(stream)
    assert "weights" not in stream.getvalue()


def test_values_that_a_module_logs_itself_are_printed(quiet_trainer, stream):
    class Logs(Supervised):
        def training_step(self, batch, batch_idx):
            self.log("own/value", 0.25)
            return super().training_step(batch, batch_idx)

    console = ConsoleLogger(every_n_steps=1, stream=stream)
    quiet_trainer(logger=console, callbacks=[MetricsCallback(1)]).fit(Logs(losses(0.0, 1.0)))
    assert any("own { value=0.2500 }" in line for line in lines(stream))


def test_without_a_step_the_last_step_is_printed(stream):
    logger = ConsoleLogger(every_n_steps=1, stream=stream)
    logger.log_metrics({"train/a": 1.0}, step=5)
    logger.log_metrics({"train/b": 2.0})
    assert lines(stream) == ["[TRAIN] Step 5: train/a = 1.0000", "[TRAIN] Step 5: train/b = 2.0000"]


@pytest.mark.parametrize(("interval", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_an_invalid_interval_raises(interval, error):
    with pytest.raises(error, match="expected an interval"):
        ConsoleLogger(every_n_steps=interval)


def test_a_table_is_one_block_an_interval(stream):
    logger = ConsoleLogger(every_n_steps=100, style="table", total_steps=400, stream=stream)
    logger.log_metrics({"train/rare": 7.0}, step=30)
    logger.log_metrics({"train/a": 0.123456, "epoch": 3, "time/elapsed": 10.0}, step=100)
    logger.log_metrics({"train/late": 1.0}, step=100)
    assert lines(stream) == [
        "-" * 80,
        f"| {'TRAIN: step 100 of 400 (25 %), 0:00:10 so far, 0:00:30 left':<76} |",
        "-" * 80,
        f"| {'train         rare  7       a     0.123':<76} |",
        f"| {'              epoch  3':<76} |",
        "-" * 80,
    ]
    logger.finalize("success")
    assert "late  1" in stream.getvalue()


def test_a_table_finds_its_total_in_the_hyperparameters(stream):
    logger = ConsoleLogger(every_n_steps=1, style="table", stream=stream)
    logger.log_values({"hyperparameters": Hyperparameters({"trainer/max_steps": 8, "total_timesteps": 64})}, 0)
    logger.log_values({"time/env_steps": 16.0, "time/optimizer_steps": 4.0}, 4)
    assert "TRAIN: step 16 of 64 (25 %)" in stream.getvalue()
    logger.log_hyperparams({"total_timesteps": 32})  # of a second run
    logger.log_values({"time/env_steps": 16.0}, 5)
    assert "TRAIN: step 16 of 32 (50 %)" in stream.getvalue()
    logger.log_hyperparams({"total_timesteps": 1e6})  # as people write it
    logger.log_values({"time/env_steps": 250_000.0}, 6)
    assert "TRAIN: step 250000 of 1000000 (25 %)" in stream.getvalue()
    logger.log_hyperparams({"total_timesteps": float("inf")})  # no total
    logger.log_values({"time/env_steps": 500_000.0}, 7)
    assert "TRAIN: step 500000 of 1000000 (50 %)" in stream.getvalue()
    logger = ConsoleLogger(every_n_steps=1, style="table", stream=stream)
    logger.log_hyperparams({"trainer/max_steps": 8, "total_timesteps": "unknown"})
    logger.log_values({"time/env_steps": 16.0, "time/optimizer_steps": 4.0}, 16)
    assert "TRAIN: step 4 of 8 (50 %)" in stream.getvalue()


def test_a_whole_run_as_tables_has_every_scalar(quiet_trainer, stream, memory_logger):
    console = ConsoleLogger(every_n_steps=16, style="table", stream=stream)
    callbacks = default_callbacks(metrics=4, histograms=4, health=False)
    quiet_trainer(logger=[console, memory_logger], callbacks=callbacks).fit(Agent(losses(*range(12))))
    blocks = re.split(r"(?=^-+\n\| TRAIN)", stream.getvalue(), flags=re.MULTILINE)[1:]
    assert [re.search(r"step (\d+)", block)[1] for block in blocks] == ["16", "32", "48"]
    assert all(len(line) == 80 for line in lines(stream))
    duplicates = ("time/", "rollout/return_mean", "rollout/episode_length_mean", "losses/")
    for tag in memory_logger.tags:
        if isinstance(memory_logger.series(tag)[0][1], float) and not tag.startswith(duplicates):
            assert re.search(rf"\b{re.escape(tag.partition('/')[2][:50])}  ", blocks[-1]), tag


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style": "rows"}, "ConsoleLogger: expected the style 'lines' or 'table', got 'rows'"),
        ({"total_steps": 0}, "total_steps: expected an integer of at least 1, got 0"),
    ],
)
def test_an_invalid_option_raises(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        ConsoleLogger(**options)
