from types import SimpleNamespace

import numpy as np
import pytest
import torch

from puffer_callbacks.recorder.logged_values import LoggedRows, LoggedValues


@pytest.fixture
def trainer():
    return SimpleNamespace(logged_metrics={"before": torch.tensor(1.0)})


@pytest.fixture
def values(trainer):
    values = LoggedValues()
    values.start(trainer)
    return values


def test_each_value_is_given_once(trainer, values):
    assert values.pop() == {}
    for number in (1.0, 1.0, 2.0):
        trainer.logged_metrics["loss"] = torch.tensor(number)
        assert values.pop() == {"loss": number}
        trainer.logged_metrics["loss"] = trainer.logged_metrics["loss"].detach()  # as Lightning does at each batch
        assert values.pop() == {}
    assert values.names == {"loss"}


def test_what_is_logged_between_epochs_is_left_out(trainer, values):
    trainer.logged_metrics["loss"] = torch.tensor(1.0)
    assert values.pause() == {"loss": 1.0}
    trainer.logged_metrics |= {"loss": torch.tensor(2.0), "epoch_loss": torch.tensor(3.0)}
    assert values.pop() == {}
    values.resume()
    assert values.pop() == {}
    trainer.logged_metrics["loss"] = torch.tensor(4.0)
    assert values.pop() == {"loss": 4.0}


def test_a_module_that_logs_a_step_has_an_axis_of_its_own(trainer, values):
    trainer.logged_metrics |= {"loss": torch.tensor(1.0), "step": torch.tensor(7.0)}
    assert values.pop() == {}
    assert values.names == set()


@pytest.mark.parametrize("odd", [torch.tensor(1.0, device="meta"), 1.0, np.float64(1.0)])
def test_odd_values_end_nothing(trainer, values, odd):
    trainer.logged_metrics |= {"odd": odd, "loss": torch.tensor(1.0)}
    assert values.pop()["loss"] == 1.0


def test_after_the_fit_nothing_is_kept(trainer, values):
    trainer.logged_metrics["loss"] = torch.tensor(1.0)
    values.stop()
    values.resume()
    assert (values.pop(), values.pop_now()) == ({}, {})
    assert trainer not in vars(values).values()


def test_rows_of_lightning_are_recorded_once_and_others_are_not(trainer):
    recorded = []
    rows = LoggedRows(trainer, [], record=recorded.append, names=set())
    row = {"before": 1.0, "epoch": 0}
    assert rows.take(row) and rows.take(row)
    assert not rows.take({"before": 1.0}), "a row that the user gave a logger"
    assert not rows.take({"mine": 1.0, "epoch": 0})
    assert recorded == [{"before": 1.0, "epoch": 0.0}]
