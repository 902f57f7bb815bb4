"""What README names exists: its imports, its options, the files that it links to."""

import ast
import re
from importlib import import_module

import pytest

from puffer_callbacks.cli.arguments import train_parser
from puffer_callbacks.cli.config_file import with_config
from puffer_callbacks.cli.defaults import defaults_for
from puffer_callbacks.cli.main import COMMANDS
from tests.support.readme import README, ROOT, commands, examples

LINKS = sorted(set(re.findall(r"\]\((?!https?://|#)([^)\s]+)", README)))


@pytest.mark.parametrize("code", examples(), ids=lambda code: code.strip().splitlines()[0][:60])
def test_an_example_is_python_and_imports_what_exists(code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("puffer_callbacks"):
            module = import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_a_command_line_has_options_that_exist(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command, *options = arguments
    assert command in COMMANDS
    if command == "train" and not {"--checkpoint", "--config", "--help"} & set(options):
        train_parser(defaults_for(options)).parse(with_config(options))


@pytest.mark.parametrize("link", LINKS)
def test_a_link_leads_somewhere(link):
    assert (ROOT / link.partition("#")[0]).exists()
