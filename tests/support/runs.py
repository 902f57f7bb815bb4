"""Runs with known numbers, as ``read_run`` gives them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from puffer_callbacks import Histogram, Image, Video
from puffer_callbacks.runs import Run
from puffer_callbacks.runs.contents import Contents


def run_of(
    scalars: Mapping[str, Sequence[tuple[int, float]]],
    *,
    name: str = "run",
    hyperparameters: Mapping[str, float | str | bool] | None = None,
    histograms: Mapping[str, Sequence[tuple[int, Histogram]]] | None = None,
    images: Mapping[str, Sequence[tuple[int, Image | Video]]] | None = None,
) -> Run:
    """A run that holds these points."""
    contents = Contents(hyperparameters=dict(hyperparameters or {}))
    for tag, points in scalars.items():
        for step, value in points:
            contents.column(tag).add(step, value)
    for kind, given in (("histograms", histograms), ("images", images)):
        for tag, points in (given or {}).items():
            getattr(contents, kind)[tag] = [(step, lambda value=value: value) for step, value in points]
    return Run(Path(name), "tensorboard", contents)


def finding(**fields: Any) -> Any:
    """What a health rule found, with the contract's fields."""
    defaults = {"rule": "entropy_collapse", "severity": "critical", "message": "", "causes": (), "remedies": ()}
    placed = {"evidence": (), "first_step": 0, "last_step": 1, "consequences": ()}
    return SimpleNamespace(**{**defaults, **placed, **fields})


def number(tag: str, value: float, step: int) -> Any:
    """One number that a finding rests on."""
    return SimpleNamespace(tag=tag, value=value, step=step)
