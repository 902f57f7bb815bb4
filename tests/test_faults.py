import threading

import pytest

from puffer_callbacks.faults import Faults, PufferWarning, format_error
from tests.support.warned import warned


def reported(faults, *names):
    with warned() as warnings:
        for name in names:
            faults.report(name, "reason")
    return warnings


def test_each_name_is_warned_about_once_and_counted_always():
    faults = Faults()
    assert reported(faults, "disk", "disk", "network") == ["disk: reason", "network: reason"]
    assert faults.counts == {"disk": 2, "network": 1}


def test_another_run_is_warned_again():
    faults = Faults()
    reported(faults, "disk")
    faults.defer("disk", "of the run before")
    faults.reset()
    faults.report_deferred()
    assert reported(faults, "disk") == ["disk: reason"]


def test_deferred_faults_of_other_threads_are_reported_in_their_order():
    faults = Faults()
    thread = threading.Thread(target=lambda: [faults.defer(f"disk {at}", "full") for at in range(3)])
    thread.start()
    thread.join()
    with warned() as warnings:
        faults.report_deferred()
        faults.report_deferred()
    assert warnings == ["disk 0: full", "disk 1: full", "disk 2: full"]


def test_of_very_many_deferred_faults_the_first_are_kept():
    faults = Faults()
    for at in range(5000):
        faults.defer("disk", f"{at}")
    with warned() as warnings:
        faults.report_deferred()
    assert warnings == ["disk: 0"]
    assert faults.counts["disk"] < 5000


def test_strict_raises_the_error_or_the_reason():
    faults = Faults(strict=True)
    with pytest.raises(ValueError, match="disk: full"):
        faults.report("disk", "full")
    faults.defer("disk", "full", OSError(28, "No space left"))
    with pytest.raises(OSError, match="No space left"):
        faults.report_deferred()


def test_at_the_end_with_an_exception_nothing_takes_its_place():
    faults = Faults(strict=True)
    with faults.suppressed():
        assert reported(faults, "disk") == []  # it was raised before
        with faults.suppressed():
            assert reported(faults, "network") == []
    with pytest.raises(ValueError, match="disk"):
        faults.report("disk", "full")
    lenient = Faults()
    with lenient.suppressed():
        assert reported(lenient, "disk") == ["disk: reason"]


def test_whether_it_is_strict_is_true_or_false():
    with pytest.raises(TypeError, match=r"strict: expected True or False, got 'no' \(str\)"):
        Faults(strict="no")


class Mute(Exception):
    def __str__(self):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError("two\nlines"), "OSError: two lines"),
        (ValueError(), "ValueError"),
        (Mute(), "Mute"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_an_error_is_one_line(error, expected):
    assert format_error(error) == expected


def test_a_long_message_is_cut():
    assert len(format_error(ValueError("x" * 100_000))) < 3000


def test_its_warnings_can_be_turned_into_errors():
    with pytest.raises(PufferWarning):
        Faults().report("disk", "full")
