import copy
import pickle
import threading
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from puffer_callbacks.backends.async_writer import AsyncWriter
from puffer_callbacks.backends.logger_calls import LoggerCalls, restore_calls
from puffer_callbacks.backends.retrying_writer import RetryingWriter
from puffer_callbacks.faults import Faults
from tests.backends.fakes import Blocking, Logger, Recording, at
from tests.support.warned import warned


class Failing(Logger):
    def log_metrics(self, metrics, step=None):
        raise OSError(28, "No space left on device")

    log_hyperparams = save = finalize = log_graph = after_save_checkpoint = log_metrics


@pytest.fixture(params=["immediate", "thread"])
def routed(request):
    """Has a logger's calls routed, with and without a thread."""
    writers = []

    def route(logger):
        writer = RetryingWriter(Recording(logger), faults=Faults())
        writers.append(AsyncWriter(writer) if request.param == "thread" else writer)
        LoggerCalls(writers[-1], writer.faults).route(logger, "Logger")
        return writers[-1]

    yield route
    for writer in writers:
        writer.close()


def test_methods_are_called_with_their_arguments_and_in_order(routed):
    logger = Logger()
    writer = routed(logger)
    logger.log_metrics({"a": 1.0}, step=3)
    logger.log_hyperparams({"gamma": 0.99})
    logger.finalize("success")
    assert logger.calls == [
        ("log_metrics", {"a": 1.0}, 3),
        ("log_hyperparams", {"gamma": 0.99}),
        "save",
        ("finalize", "success"),
    ]
    assert vars(logger) == {"calls": logger.calls}
    assert (writer.close(), logger.log_metrics({}, 4)) == (None, 5)


def test_faults_are_reported_and_rows_that_they_cost_are_counted(routed):
    logger = Failing()
    with warned() as reported:
        writer = routed(logger)
        for step in range(3):
            logger.log_metrics({"a": 1.0}, step=step)
        for name in ("log_hyperparams", "save", "log_graph", "after_save_checkpoint"):
            getattr(logger, name)({})
        writer.close()
        writer.faults.report_deferred()
        logger.finalize("success")
    reason, in_all = reported
    assert "No space left on device" in reason
    assert in_all.endswith("3 of 3 rows of this run could not be recorded whole")


def test_strict_raises_the_reason():
    logger, faults = Failing(), Faults(strict=True)
    LoggerCalls(RetryingWriter(Recording(logger), faults=faults), faults).route(logger, "Logger")
    with pytest.raises(OSError, match="No space left"):
        logger.log_metrics({"a": 1.0})


def test_without_a_thread_methods_are_called_on_the_caller_s_and_return_their_value():
    logger = Mock()
    logger.log_metrics.side_effect = lambda *_: threading.current_thread()
    LoggerCalls(RetryingWriter(Recording(logger)), Faults()).route(logger, "Mock")
    assert logger.log_metrics({"a": 1.0}) is threading.current_thread()


def test_on_a_thread_values_are_as_they_were_at_the_call():
    logger = Logger()
    inner = Blocking(threading.Event(), threading.Event())
    writer = AsyncWriter(RetryingWriter(inner))
    LoggerCalls(writer, Faults()).route(logger, "Logger")
    writer.write({"a": 1.0}, at(1))
    tensor, matrix, array = torch.zeros(()), torch.zeros(2, 3, requires_grad=True), np.zeros(4)
    metrics = {"tensor": tensor, "deep": {"list": [matrix]}, "array": array, "number": 1.0}
    logger.log_metrics(metrics, step=1)
    with torch.no_grad():
        tensor += 1
        matrix += 1
        array += 1
    metrics["number"] = 2.0
    inner.released.set()
    writer.close()
    (_, logged, _) = logger.calls[0]
    assert (logged["tensor"].item(), logged["deep"]["list"][0].sum(), logged["array"].sum()) == (0, 0, 0)
    assert logged["number"] == 1.0
    assert not logged["deep"]["list"][0].requires_grad


def test_the_last_call_waits_for_the_rows_and_runs_on_the_caller_s_thread():
    seen = []

    class Uploads(Logger):
        def finalize(self, status):
            seen.extend([threading.current_thread(), list(inner.rows)])

    logger, inner = Uploads(), Recording()
    writer = AsyncWriter(RetryingWriter(inner))
    LoggerCalls(writer, Faults()).route(logger, "Uploads")
    for step in range(5):
        writer.write({"a": float(step)}, at(step))
    logger.finalize("success")
    assert seen == [threading.current_thread(), [(step, {"a": float(step)}) for step in range(5)]]
    writer.close()


def test_the_last_call_of_a_stalled_logger_is_left_to_its_thread(monkeypatch):
    monkeypatch.setattr(AsyncWriter, "close_timeout", 0.05)
    logger, inner = Logger(), Blocking(threading.Event(), threading.Event())
    writer = AsyncWriter(RetryingWriter(inner))
    LoggerCalls(writer, Faults()).route(logger, "Logger")
    writer.write({"a": 1.0}, at(1))
    logger.finalize("success")
    assert logger.calls == []
    inner.released.set()
    monkeypatch.undo()
    writer.close()
    assert logger.calls == ["save", ("finalize", "success")]


def test_a_long_last_call_is_announced(monkeypatch, caplog):
    announced = threading.Event()
    monkeypatch.setattr("puffer_callbacks.backends.announce.ANNOUNCE_AFTER", 0.0)
    monkeypatch.setattr(
        "puffer_callbacks.backends.announce._log.warning", lambda text, what: (announced.set(), text % what)
    )

    class Uploads(Logger):
        def finalize(self, status):
            assert announced.wait(30)

    logger = Uploads()
    LoggerCalls(RetryingWriter(Recording(logger), name="Uploads"), Faults()).route(logger, "Uploads")
    logger.finalize("success")
    assert announced.is_set()


def test_a_row_that_lightning_gives_to_each_logger_of_a_place_is_logged_once():
    first, second = Logger(), Logger()
    faults = Faults()
    calls = LoggerCalls(RetryingWriter(Recording(first), faults=faults), faults)
    with warned() as reported:
        calls.route(first, "Logger #1")
        calls.route(second, "Logger #2")
        calls.route(first, "Logger #1")
    assert reported == ["Logger #2: writes to the same place as Logger; each row is written once"]
    for step in (1, 2):
        metrics = {"a": 1.0}
        for logger in (first, second, first):
            logger.log_metrics(metrics=metrics, step=step)
    second.log_metrics({"a": 1.0}, step=2)  # a row of its own
    assert len(first.calls) == 2
    assert len(second.calls) == 1
    first.log_metrics(metrics, step=3)
    first.log_metrics(metrics, step=4)
    assert [step for _, _, step in first.calls[2:]] == [3, 4]


@pytest.mark.parametrize("as_lightning", [True, False])
def test_a_row_that_is_taken_does_not_reach_the_logger(as_lightning):
    logger, taken = Logger(), []

    def take(metrics):
        taken.append(metrics)
        return "epoch" in metrics

    LoggerCalls(RetryingWriter(Recording(logger)), Faults(), take_row=take).route(logger, "Logger")
    for metrics in ({"a": 1.0, "epoch": 0}, {"a": 2.0}):
        logger.log_metrics(metrics=metrics, step=3) if as_lightning else logger.log_metrics(metrics, 3)
    assert taken == [{"a": 1.0, "epoch": 0}, {"a": 2.0}]
    assert logger.calls == [("log_metrics", {"a": 2.0}, 3)]


class TestRestoring:
    """What was put on a logger is taken off exactly."""

    def test_a_plain_logger(self, routed):
        logger = Logger()
        before = dict(vars(logger))
        routed(logger)
        assert set(vars(logger)) - set(before) == {"log_metrics", "log_hyperparams", "save", "finalize"}
        restore_calls(logger)
        assert vars(logger) == before
        assert logger.log_metrics.__func__ is Logger.log_metrics

    def test_a_patched_method(self, routed):
        logger, called = Logger(), []
        logger.log_metrics = patched = lambda metrics, step=None: called.append(step)
        for step in range(2):  # a second fit too
            writer = routed(logger)
            logger.log_metrics({}, step)
            logger.finalize("success")
            writer.close()
        assert logger.log_metrics is patched
        assert called == [0, 1]

    def test_a_mock_can_be_asked_for_its_calls_during_the_fit_and_after(self, routed):
        logger = Mock()
        method = logger.log_metrics
        writer = routed(logger)
        logger.log_metrics({"a": 1.0}, step=1)
        writer.drain()
        logger.log_metrics.assert_called_once_with({"a": 1.0}, step=1)
        logger.finalize("success")
        assert logger.log_metrics is method
        assert method.call_count == 1
        assert logger.finalize.mock_calls[0].args == ("success",)

    def test_what_is_replaced_in_the_meantime_stays(self, routed):
        logger = Logger()
        routed(logger)
        logger.save = mine = lambda: None
        restore_calls(logger)
        assert vars(logger)["save"] is mine

    def test_a_logger_listed_twice(self):
        logger = Logger()
        calls = LoggerCalls(RetryingWriter(Recording(logger)), Faults())
        calls.route(logger, "Logger")
        calls.route(logger, "Logger")
        restore_calls(logger)
        assert set(vars(logger)) == {"calls"}

    def test_a_logger_without_attributes_is_left_alone(self, routed):
        class Slots:
            __slots__ = ()

            def log_metrics(self, metrics, step=None): ...

        logger = Slots()
        routed(logger)
        restore_calls(logger)


class Prefixed(Logger):
    """Reads an attribute of its own."""

    def log_metrics(self, metrics, step=None):
        self.calls.append((id(self), step))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda logger: pickle.loads(pickle.dumps(logger))])
def test_a_copy_in_mid_fit_is_a_plain_logger(routed, copied):
    logger = Prefixed()
    routed(logger)
    other = copied(logger)
    other.log_metrics({}, step=1)
    assert other.calls == [(id(other), 1)]
    assert logger.calls == []
    again = copied(other)
    again.log_metrics({}, step=2)
    assert again.calls[-1] == (id(again), 2)


def test_a_copy_keeps_a_patched_method(routed):
    logger = Logger()
    logger.log_metrics = patched = lambda metrics, step=None: None
    routed(logger)
    assert copy.deepcopy(logger).log_metrics is patched
