"""A run in a few lines: for the console and for notebooks."""

import html
from collections.abc import Mapping

from puffer_callbacks.runs.aliases import Series
from puffer_callbacks.runs.contents import Contents

_HEADLINES = ("train/reward", "train/entropy", "diagnostics/explained_variance", "throughput/sps")


def summarize(contents: Contents, canonical: Mapping[str, Series]) -> dict[str, str]:
    """The most important facts of a run, by name.

    Args:
        contents: what the files hold.
        canonical: the series under our own tags.
    """
    counts = {
        "scalar tags": len(contents.scalars),
        "histograms": len(contents.histograms),
        "pictures": len(contents.images),
        "texts": len(contents.text),
        "hyperparameters": len(contents.hyperparameters),
    }
    held = (f"{count} {name if count > 1 else name.removesuffix('s')}" for name, count in counts.items() if count)
    facts = {"holds": ", ".join(held)}
    for tag in _HEADLINES:
        if tag in canonical:
            values = canonical[tag][1]
            facts[tag] = f"{values[-1]:,.4g} (from {values[0]:,.4g}, {len(values)} points)"
    if contents.problems:
        facts["could not be read"] = "; ".join(contents.problems[:3]) + ("; …" if len(contents.problems) > 3 else "")
    return facts


def as_text(title: str, facts: Mapping[str, str]) -> str:
    """The facts as aligned lines.

    Example:
        >>> print(as_text("Run logs", {"steps": "64", "holds": "2 scalar tags"}))
        Run logs
          steps  64
          holds  2 scalar tags
    """
    width = max(map(len, facts))
    return "\n".join([title, *(f"  {name:<{width}}  {fact}" for name, fact in facts.items())])


def as_html(title: str, facts: Mapping[str, str]) -> str:
    """The facts as a table."""
    rows = "".join(
        f"<tr style='text-align:left'><th>{html.escape(name)}</th><td>{html.escape(fact)}</td></tr>"
        for name, fact in facts.items()
    )
    return f"<table><caption>{html.escape(title)}</caption>{rows}</table>"
