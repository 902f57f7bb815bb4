"""Findings as text for a console."""

from collections.abc import Iterator
from textwrap import wrap

from puffer_callbacks.health.finding import Finding, Number
from puffer_callbacks.values.terminal import WIDTH


def panel(finding: Finding, *, ended: bool = False, width: int = WIDTH) -> str:
    """A finding as a block of lines: what, since when, why, what to do, and the numbers it rests on.

    Args:
        finding: the trouble.
        ended: whether it is over, which is one line.
        width: of the lines, in characters.

    Example:
        >>> print(panel(Finding("kl_large", "warning", "The policy moves too far.", ("the learning rate is too high",),
        ...                     ("lower the learning rate",), (Number("diagnostics/approx_kl", 0.5, 200),), 100, 200)))
        ------------------------------------------------------------ WARNING kl_large --
        The policy moves too far. (steps 100 to 200)
          cause:  the learning rate is too high
          remedy: lower the learning rate
          seen:   diagnostics/approx_kl = 0.5
        --------------------------------------------------------------------------------
    """
    if ended:
        return f"{finding.rule} has ended: last seen at step {finding.last_step}."
    rule = "-" * width
    title = f" {finding.severity.upper()} {finding.rule} --"
    return "\n".join([title.rjust(width, "-"), *_lines(finding, width), rule])


def _lines(finding: Finding, width: int) -> Iterator[str]:
    steps = f"steps {finding.first_step} to {finding.last_step}"
    if finding.first_step == finding.last_step:
        steps = f"step {finding.first_step}"
    yield from wrap(f"{finding.message} ({steps})", width)
    labels = ("cause:", "or:")
    for at, cause in enumerate(finding.causes):
        yield from _entry(labels[min(at, 1)], cause, width)
    for at, remedy in enumerate(finding.remedies):
        yield from _entry("remedy:" if at == 0 else "or:", remedy, width)
    if finding.evidence:
        yield from _entry("seen:", ", ".join(map(_number, finding.evidence)), width)
    if finding.consequences:
        rules = dict.fromkeys(consequence.rule for consequence in finding.consequences)
        yield from _entry("brings:", ", ".join(rules), width)


def _entry(label: str, text: str, width: int) -> list[str]:
    return wrap(text, width, initial_indent=f"  {label:<8}", subsequent_indent=" " * 10, break_long_words=False)


def _number(number: Number) -> str:
    return f"{number.tag} = {number.value:.3g}"
