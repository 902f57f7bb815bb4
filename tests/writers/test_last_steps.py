"""The highest step of a logger in this process."""

from lightning.pytorch.loggers import CSVLogger

from puffer_callbacks.writers.last_steps import keep_last_step, last_step_of


def test_a_row_at_an_earlier_step_is_not_the_last(tmp_path):
    logger, other = CSVLogger(tmp_path, name="one"), CSVLogger(tmp_path, name="other")
    assert last_step_of(logger) is None
    found = []
    for step in (0, 20, 10, 30):
        keep_last_step(logger, step)
        found.append(last_step_of(logger))
    assert found == [0, 20, 20, 30]
    assert last_step_of(other) is None


def test_a_logger_that_cannot_be_referenced_has_no_last_step():
    for logger in ([], object()):
        keep_last_step(logger, 5)
        assert last_step_of(logger) is None
