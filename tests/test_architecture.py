"""Imports go in one direction: who may import whom, read from the sources with ``ast``."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import puffer_callbacks

ROOT = Path(puffer_callbacks.__file__).parent
PACKAGE = ROOT.name

LEAVES = {"axes", "distributed", "faults", "rollout", "schedule"}
"""Modules that anybody may import."""

ROOMS: dict[str, set[str]] = {
    **{leaf: set() for leaf in LEAVES},
    "histogram": {"distributed"},
    "values": {"histogram"},
    "config": {"values"},
    "overhead": {"faults", "schedule"},
    "measure": {"distributed", "histogram", "rollout", "values"},
    "loggers": {"schedule", "values"},
    "pytest_plugin": {"loggers"},
    "pictures": {"measure", "rollout", "values"},
    "evaluation": {"measure", "pictures", "values"},
    "writers": {"axes", "faults", "histogram", "values"},
    "backends": {"axes", "faults", "values", "writers"},
    "recorder": LEAVES | {"backends", "config", "overhead", "values"},
    "health": {"histogram", "rollout", "values"},
    "runs": {"health", "values"},
    "callbacks": LEAVES | {"config", "evaluation", "health", "histogram", "measure", "pictures", "recorder", "values"},
    "adapters": LEAVES | {"callbacks", "config", "measure", "recorder", "values"},
    "ppo": LEAVES | {"callbacks", "config", "measure", "recorder"},
    "plots": {"runs", "values"},
    "report": {"health", "loggers", "plots", "runs", "values"},
}
"""Each room and what it may import: the tree is read from the top down."""
ABOVE = {"__init__", "__main__", "cli"}
"""May import everything."""

THIRD_PARTIES: dict[str, set[str]] = {
    "axes": set(),
    "schedule": set(),
    "faults": set(),
    "overhead": set(),
    "rollout": {"torch"},
    "histogram": {"numpy", "torch"},
    "values": {"numpy", "torch", "PIL"},
    "config": set(),
    "backends": set(),
}
"""Rooms that import few packages; the others may import what the package depends on."""


def sources() -> Iterator[tuple[str, Path]]:
    for path in sorted((*ROOT.rglob("*.py"), *ROOT.rglob("*.pyi"))):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join((PACKAGE, *(part for part in parts if part != "__init__"))), path


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: expected absolute imports"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(module: str) -> str:
    """The first part below the package."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


MODULES = dict(sources())


@pytest.mark.parametrize("module", MODULES)
def test_imports_keep_to_the_table(module):
    own = room(module)
    if own in ABOVE:
        return
    assert own in ROOMS, f"{own} is in no room: enter it with what it may import"
    for name in imports(MODULES[module]):
        if name.split(".")[0] == PACKAGE:
            allowed = ROOMS[own] | {own}
            assert room(name) in allowed, f"{module} imports {name}; {own} may import {sorted(allowed)}"


@pytest.mark.parametrize("module", MODULES)
def test_third_parties_stay_where_they_belong(module):
    outside = {name.split(".")[0] for name in imports(MODULES[module])} - {PACKAGE} - sys.stdlib_module_names
    own = room(module)
    assert outside <= THIRD_PARTIES.get(own, outside), f"{module} imports {sorted(outside)}"
    assert "pufferlib" not in outside, "importing PuffeRL turns warnings into errors and takes over SIGINT"
    if own == "measure":
        assert not outside & {"lightning", "pytorch_lightning"}, "a measure never sees a trainer"
    if own not in {"writers", "runs", *ABOVE}:
        assert not outside & {"tensorboard", "wandb"}, "only a writer knows a backend"


@pytest.mark.parametrize("module", MODULES)
def test_extras_are_imported_only_where_they_are_used(module):
    for node in ast.parse(MODULES[module].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            extras = {name.split(".")[0] for name in named} & {"wandb", "matplotlib"}
            assert not extras, f"{module} needs {sorted(extras)} to be imported at all"


def test_the_table_itself_goes_one_way():
    """Rooms, in an order in which each only imports those before it."""
    placed: set[str] = set()
    waiting = dict(ROOMS)
    while waiting:
        ready = {name for name, needs in waiting.items() if needs & (set(ROOMS)) <= placed}
        assert ready, f"a cycle among {sorted(waiting)}"
        placed |= ready
        waiting = {name: needs for name, needs in waiting.items() if name not in ready}


def test_no_module_imports_itself_by_way_of_others():
    graph = {module: {target for name in imports(path) if (target := known(name))} for module, path in MODULES.items()}
    finished: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in finished:
            for target in graph[module] - {module}:
                visit(target, (*trail, module))
            finished.add(module)

    for module in graph:
        visit(module, ())


def known(name: str) -> str | None:
    """The module of the package that an import names, if it does."""
    while name.startswith(f"{PACKAGE}."):
        if name in MODULES:
            return name
        name = name.rpartition(".")[0]
    return None


def test_files_stay_readable():
    files = [path for path in ROOT.rglob("*") if path.suffix in {".py", ".c", ".h"}]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {name: lines for name, lines in lengths.items() if lines > 220} == {}


def test_commands_that_read_runs_start_without_lightning():
    code = (
        "import contextlib, sys; from puffer_callbacks.cli import main\n"
        "for command in ('diagnose', 'watch', 'plot'):\n"
        "    with contextlib.suppress(SystemExit): main([command, '--help'])\n"
        "print('lightning' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.count("Exit status: 0") == 3, "each was imported and gave its help"
    assert printed.splitlines()[-1] == "False", "importing Lightning takes seconds"
