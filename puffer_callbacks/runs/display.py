"""A run in a few lines: for the console and for notebooks."""

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from puffer_callbacks.runs.run import Run

_HEADLINES = (
    "train/reward",
    "train/episode_length",
    "train/entropy",
    "diagnostics/explained_variance",
    "throughput/sps",
)


def run_facts(run: "Run") -> dict[str, str]:
    """What there is to know of a run at a glance, by name."""
    contents = run.contents
    counts = {"scalar tags": len(run.tags), "histograms": len(contents.histograms), "pictures": len(contents.images)}
    counts |= {"texts": len(contents.text), "hyperparameters": len(contents.hyperparameters)}
    facts = {
        "written by": f"{run.source}, {run.format}",
        "steps": f"{run.last_step:,} ({run.x_axis.replace('_', ' ')})",
        "holds": ", ".join(f"{count} {name}" for name, count in counts.items() if count),
    }
    for tag in _HEADLINES:
        if tag in run.canonical:
            values = run.canonical[tag][1]
            facts[tag] = f"{values[-1]:,.4g} (from {values[0]:,.4g}, {len(values)} points)"
    if contents.problems:
        facts["could not be read"] = "; ".join(contents.problems[:3]) + ("; …" if len(contents.problems) > 3 else "")
    return facts


def as_text(run: "Run") -> str:
    """The facts as aligned lines."""
    facts = run_facts(run)
    width = max(map(len, facts))
    return "\n".join([f"Run {run.path}", *(f"  {name:<{width}}  {fact}" for name, fact in facts.items())])


def as_html(run: "Run") -> str:
    """The facts as a table."""
    cells = "".join(
        f"<tr style='text-align:left'><th>{html.escape(name)}</th><td>{html.escape(fact)}</td></tr>"
        for name, fact in run_facts(run).items()
    )
    return f"<table><caption>Run <code>{html.escape(str(run.path))}</code></caption>{cells}</table>"
