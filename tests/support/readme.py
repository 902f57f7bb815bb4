"""README's code blocks and commands, as they stand there."""

import json
import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


class Block(NamedTuple):
    """A fenced code block."""

    language: str
    code: str


def blocks(text: str = README) -> list[Block]:
    """All code blocks of a text, in order."""
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]


def examples() -> list[str]:
    """The Python examples, in order."""
    return [block.code for block in blocks() if block.language == "python"]


def commands() -> list[list[str]]:
    """The command lines of ``puffer-callbacks``, in order, the program left out."""
    lines = [
        line.removesuffix("&&").strip()
        for block in blocks()
        if block.language in ("bash", "sh", "console")
        for line in block.code.replace("\\\n", " ").splitlines()
    ]
    words = [shlex.split(line, comments=True) for line in lines]
    return [parts[1:] for parts in words if parts and Path(parts[0]).name == "puffer-callbacks"]


def shortened(code: str) -> str:
    """The code with every number of 10,000 and more lowered to 2048: what is tried is that it runs."""
    return re.sub(r"\b\d{2,3}(?:_\d{3})+\b|\b\d{5,}\b", "2048", code)


def recipe(package: str) -> str:
    """The recipe for a package that a reader need not have, in README or the notebook of other trainers."""
    notebook = json.loads((ROOT / "notebooks" / "07_other_trainers.ipynb").read_text(encoding="utf-8"))
    texts = [README, *("".join(cell["source"]) + "\n" for cell in notebook["cells"])]
    (code,) = (
        block.code
        for text in texts
        for block in blocks(text)
        if block.language == "py" and f"from {package}." in block.code
    )
    return code
