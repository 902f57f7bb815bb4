import pytest

from puffer_callbacks.backends.loss_report import LossReport
from puffer_callbacks.faults import Faults
from tests.support.warned import warned


def reports(report):
    faults = report.faults
    report.summarize()
    with warned() as reported:
        faults.report_deferred()
    return reported


def test_without_a_fault_there_is_nothing_to_report():
    report = LossReport("CSVLogger", Faults())
    report.rows += 5
    assert reports(report) == []


def test_the_first_fault_and_the_sum_are_reported():
    report = LossReport("CSVLogger", Faults())
    report.rows += 5
    for _ in range(3):
        report.add_fault(OSError(28, "No space left on device"))
    reason, in_all = reports(report)
    assert reason.startswith("CSVLogger: could not record (OSError: [Errno 28] No space left on device); training")
    assert in_all == "CSVLogger, in all: all 5 rows of this run were recorded all the same"


def test_lost_rows_are_counted():
    report = LossReport("CSVLogger", Faults())
    report.rows += 5
    report.add_fault(OSError())
    report.add_loss()
    report.add_loss(rows=2)
    assert reports(report)[-1] == "CSVLogger, in all: 3 of 5 rows of this run could not be recorded whole"


def test_an_exit_is_an_error_like_any_other():
    report = LossReport("CSVLogger", Faults(strict=True))
    report.add_fault(SystemExit(3))
    with pytest.raises(RuntimeError, match="SystemExit: 3"):
        report.faults.report_deferred()


def test_strict_raises_the_fault_and_no_sum():
    report = LossReport("CSVLogger", Faults(strict=True))
    report.add_fault(ZeroDivisionError())
    report.summarize()
    with pytest.raises(ZeroDivisionError):
        report.faults.report_deferred()
    report.faults.report_deferred()
