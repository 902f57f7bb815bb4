from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.loggers.logger import DummyLogger

from puffer_callbacks import MemoryLogger
from puffer_callbacks.backends.async_writer import AsyncWriter
from puffer_callbacks.backends.default_writer import default_writer
from puffer_callbacks.backends.logger_calls import restore_calls
from puffer_callbacks.backends.retrying_writer import RetryingWriter
from puffer_callbacks.faults import Faults
from puffer_callbacks.writers.csv.writer import CSVWriter
from puffer_callbacks.writers.fallback import FallbackWriter, ValuesWriter
from tests.backends.fakes import Logger, at
from tests.support.warned import warned


def test_a_logger_that_is_ours_to_thread_has_a_thread(tmp_path):
    writer = default_writer([CSVLogger(tmp_path), MemoryLogger(), Logger()], Faults())
    by_thread, memory, plain = writer.writers
    assert type(by_thread) is AsyncWriter
    assert type(memory) is type(plain) is RetryingWriter
    assert [type(each.writer) for each in (by_thread.writer, memory, plain)] == [
        CSVWriter,
        ValuesWriter,
        FallbackWriter,
    ]
    writer.close()


def test_strict_is_without_threads(tmp_path):
    (writer,) = default_writer([CSVLogger(tmp_path)], Faults(strict=True)).writers
    assert type(writer) is RetryingWriter


def test_lightning_s_dummy_is_passed_over():
    assert default_writer([DummyLogger()], Faults()).writers == []


def test_loggers_of_one_class_are_numbered():
    writer = default_writer([Logger(), MemoryLogger(), Logger()], Faults())
    assert [each.name for each in writer.writers] == ["Logger #1", "MemoryLogger", "Logger #2"]


def test_one_logger_listed_twice_is_one():
    logger = Logger()
    with warned() as reported:
        writer = default_writer([logger, logger], Faults())
        writer.write({"a": 1.0}, at(1))
    assert reported == []
    assert [each.name for each in writer.writers] == ["Logger"]
    assert len(logger.calls) == 1


def test_two_loggers_of_one_folder_are_one_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind in (CSVLogger, TensorBoardLogger):
        loggers = [
            kind(tmp_path, name="", version="x"),
            kind(".", name="", version="x"),
            kind(tmp_path, name="", version="x", prefix="other"),
            kind(tmp_path, name="", version="y"),
        ]
        with warned() as reported:
            writer = default_writer(loggers, Faults())
        assert reported == [
            f"{kind.__name__} #2: writes to the same place as {kind.__name__} #1; each row is written once"
        ]
        assert len(writer.writers) == 3
        writer.close()
        for logger in loggers:
            logger.finalize("success")


def test_a_logger_that_cannot_be_opened_is_reported_and_costs_no_other():

    memory = MemoryLogger()
    with warned() as reported:
        writer = default_writer([object(), memory], Faults())
        writer.write({"a": 1.0}, at(1))
        writer.close()
    reason, in_all = reported
    assert reason.startswith("object: could not record (TypeError: expected a Lightning logger (with log_metrics)")
    assert in_all == "object, in all: 1 of 1 rows of this run could not be recorded whole"
    assert memory.series("a") == [(1, 1.0)]


def test_calls_that_an_earlier_fit_left_routed_are_restored():
    logger = Logger()
    default_writer([logger], Faults())
    default_writer([logger], Faults())
    restore_calls(logger)
    assert set(vars(logger)) == {"calls"}
