"""What a guarded block lets through."""

import pytest

from puffer_callbacks.faults import Faults, PufferWarning
from puffer_callbacks.overhead.guard import Guard
from puffer_callbacks.overhead.stopwatch import Stopwatch


def test_an_exception_is_reported_and_the_code_after_the_block_runs():
    with pytest.warns(PufferWarning, match=r"^drawing: left out after OSError: no space left; training goes on$"):  # noqa: SIM117
        with Guard("drawing", Stopwatch(), Faults()):
            raise OSError("no space left")


@pytest.mark.parametrize(
    ("error", "strict"),
    [(OSError("strict"), True), (KeyboardInterrupt(), False), (SystemExit(3), False), (PufferWarning("error"), False)],
)
def test_what_ends_a_run_gets_through(error, strict):
    own = Stopwatch()
    with pytest.raises(type(error)) as caught, Guard("drawing", Stopwatch(), Faults(strict=strict), own):
        raise error
    assert caught.value is error, "and no report of it"
    assert own.depth == 0


def test_a_block_without_an_exception_is_silent():
    stopwatch, own = Stopwatch(), Stopwatch()
    with Guard("drawing", stopwatch, Faults(strict=True), own):
        assert (stopwatch.depth, own.depth) == (1, 1)
    assert (stopwatch.depth, own.depth) == (0, 0)
