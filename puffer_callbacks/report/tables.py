"""Numbers of the runs as HTML: tiles for one run, a table for several, and their hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from puffer_callbacks.plots.style import short_number
from puffer_callbacks.report.outcome import Outcome
from puffer_callbacks.values.comparison import compared_first
from puffer_callbacks.values.durations import duration
from puffer_callbacks.values.text import plain_setting

if TYPE_CHECKING:
    from puffer_callbacks.health import Diagnosis
    from puffer_callbacks.runs import Run

_MISSING = "–"
DETAILS = ("optimizer/", "trainer/")
"""Prefixes of the hyperparameters that are folded on the page of one run."""


def tiles_html(outcome: Outcome) -> str:
    """The numbers of one run as tiles; what the run does not have is left out."""
    tiles = [
        ("final return", _number(outcome.final_return), "last tenth"),
        ("best return", _number(outcome.best_return), f"at {short_number(outcome.best_step)}"),
        ("episode length", _number(outcome.episode_length), "steps"),
        (outcome.steps_name, short_number(outcome.steps), ""),
        ("speed", _number(outcome.speed), "steps/s"),
        ("duration", duration(outcome.seconds) if outcome.seconds > 0 else _MISSING, ""),
    ]
    shown = [
        f'<div class="tile"><dt>{escape(name)}</dt><dd>{value}{f"<small>{unit}</small>" if unit else ""}</dd></div>'
        for name, value, unit in tiles
        if value != _MISSING
    ]
    return f'<dl class="tiles">{"".join(shown)}</dl>'


def runs_html(outcomes: Sequence[Outcome], diagnoses: Sequence[Diagnosis] | None, looks: Sequence[int]) -> str:
    """The numbers of several runs as a table, a row each; a number that no run has is left out.

    Args:
        outcomes: of each run.
        diagnoses: of each run; ``None`` where no rule was asked.
        looks: of each run, how its curves are drawn.
    """
    heads = ["run", "final return", "best return", "episode length", "steps", "steps/s", "duration"]
    heads += ["findings"] if diagnoses is not None else []
    rows = []
    for place, outcome in enumerate(outcomes):
        numbers = (outcome.final_return, outcome.best_return, outcome.episode_length, outcome.steps, outcome.speed)
        cells = [_number(number) for number in numbers]
        cells.append(duration(outcome.seconds) if outcome.seconds > 0 else _MISSING)
        cells += [str(len(diagnoses[place].findings))] if diagnoses is not None else []
        name = f'<span class="swatch" data-run="{looks[place]}"></span>{escape(outcome.name)}'
        rows.append([name, *cells])
    kept = [place for place, cells in enumerate(zip(*rows, strict=True)) if set(cells) != {_MISSING}]
    return _table([heads[place] for place in kept], [_row(row[0], [row[place] for place in kept[1:]]) for row in rows])


def hyperparameters_html(runs: Sequence[Run], names: Sequence[str]) -> str:
    """The hyperparameters: of several runs first those that differ; what they share is folded."""
    if not any(run.hyperparameters for run in runs):
        return ""
    differing, shared = split_settings(runs)
    parts = ['<h2 id="hyperparameters">Hyperparameters</h2>']
    if differing:
        rows = [_row(escape(name), [_setting(run.hyperparameters.get(name)) for run in runs]) for name in differing]
        parts.append(_table(["differing between the runs", *map(escape, names)], rows))
    if len(runs) > 1:
        parts.append(_folded(shared, runs[0], "that all runs share"))
    else:
        details = [name for name in shared if name.startswith(DETAILS)]
        parts.append(_settings_table([name for name in shared if name not in details], runs[0]))
        parts.append(_folded(details, runs[0], "of the optimizer and the trainer"))
    kind = ' class="settings"' if len(runs) == 1 else ""
    return f"<div{kind}>{''.join(parts)}</div>"


def split_settings(runs: Sequence[Run]) -> tuple[list[str], list[str]]:
    """The names of the hyperparameters that differ between the runs, and of those that all share.

    Those that people compare first come first.
    """
    names = sorted({name for run in runs for name in run.hyperparameters}, key=lambda name: ("/" in name, name))
    names = list(dict.fromkeys([*compared_first(names), *names]))
    same = {name: len({setting_text(run.hyperparameters.get(name)) for run in runs}) == 1 for name in names}
    return [name for name in names if not same[name]], [name for name in names if same[name]]


def _folded(names: Sequence[str], run: Run, what: str) -> str:
    if not names:
        return ""
    return f"<details><summary>{len(names)} {what}</summary>{_settings_table(names, run)}</details>"


def _settings_table(names: Sequence[str], run: Run) -> str:
    return _table(["name", "value"], [_row(escape(name), [_setting(run.hyperparameters[name])]) for name in names])


def _number(value: float) -> str:
    return _MISSING if math.isnan(value) else short_number(value)


def setting_text(value: object) -> str:
    """A hyperparameter's value as text."""
    return _MISSING if value is None else str(plain_setting(value))


def _setting(value: object) -> str:
    return _MISSING if value is None else f"<code>{escape(setting_text(value))}</code>"


def _row(name: str, cells: Sequence[str]) -> str:
    return f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _table(heads: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
