"""Blocks of text fit the terminal that they are printed on."""

import pytest

from puffer_callbacks.health.panel import panel
from puffer_callbacks.loggers.table import metric_table, progress_title
from puffer_callbacks.values.terminal import terminal_width
from tests.support.runs import finding, number


@pytest.mark.parametrize(("columns", "width"), [("50", 50), ("20", 40), ("200", 80), ("0", 80), ("wide", 80)])
def test_the_width_is_that_of_the_terminal_within_limits(monkeypatch, capfd, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal_width() == width


def test_a_finding_fits_a_narrow_terminal():
    found = finding(
        message="The policy moves too far in one update: KL up to 2.46 nats, where the clip range allows 0.02.",
        causes=("the learning rate is too high", "neither the probability ratio nor the gradient is limited"),
        remedies=("lower the learning rate, by a factor of 3 to 10",),
        evidence=tuple(number(f"diagnostics/{name}", 2.46, 4096) for name in ("approx_kl", "clip_fraction")),
    )
    lines = panel(found, width=50).splitlines()
    assert {len(line) for line in (lines[0], lines[-1])} == {50}
    assert max(map(len, lines)) == 50


def test_a_table_fits_a_narrow_terminal():
    values = {"train/reward": 21.34, "train/value_loss": 3.21, "throughput/sps": 1520.0, "diagnostics/approx_kl": 0.01}
    title = f"TRAIN: {progress_title(20_480, 102_400, elapsed=75.0)}"
    table = metric_table(values, title=title, width=50)
    assert {len(line) for line in table} == {50}
    assert " ".join(line[2:-2].strip() for line in table[1:3]) == title
    assert sum(name.split("/")[1] in line for name in values for line in table) == len(values)
