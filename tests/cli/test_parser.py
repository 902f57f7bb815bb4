from importlib.metadata import version

import pytest

from puffer_callbacks.cli import main
from puffer_callbacks.cli.arguments import count, flag, limit, number, sizes, train_parser
from puffer_callbacks.cli.defaults import defaults_for
from puffer_callbacks.cli.parser import UsageError, near, shown


@pytest.mark.parametrize("text", ["32,32", "32 32", "[32, 32]", "(32, 32)", "32,32,"])
def test_sizes_are_taken_as_people_write_them(text):
    assert sizes(text) == (32, 32)


def test_one_size_none_and_what_is_no_size():
    assert sizes("64") == (64,) and sizes("[]") == () and sizes("32,x") == "32,x" and sizes("3.5") == "3.5"


@pytest.mark.parametrize(("text", "value"), [("3e4", 30_000), ("30_000", 30_000), ("-3", -3), ("2e0", 2)])
def test_counts(text, value):
    assert count(text) == value and isinstance(count(text), int)


@pytest.mark.parametrize("text", ["many", "1.5", "inf", "nan", "1e400", ""])
def test_what_is_no_count_stays_for_the_check(text):
    assert count(text) == text


def test_a_large_count_keeps_its_last_digit():
    assert count(str(2**63 + 1)) == 2**63 + 1


def test_numbers_limits_and_flags():
    assert number("2.5e-4") == 2.5e-4 and number("x") == "x"
    assert limit("None") is None and limit("null") is None and limit("0.5") == 0.5
    assert flag("True") is True and flag("false") is False


def test_options_in_any_order_and_sizes_as_several_arguments():
    parser = train_parser(defaults_for([]))
    options = parser.parse(["--hidden-sizes", "32", "16", "--norm-obs", "--wandb", "--anneal-lr", "false"])
    assert options.hidden_sizes == (32, 16) and options.norm_obs is True and options.wandb is True
    assert options.anneal_lr is False and parser.parse(["--hidden-sizes=8,8"]).hidden_sizes == (8, 8)


def test_an_abbreviation_is_an_unknown_option():
    with pytest.raises(UsageError, match=r"^unknown option --learning; near: --learning-rate \(see puffer-callb"):
        train_parser(defaults_for([])).parse(["--learning", "1"])


def test_a_name_unlike_all_has_none_near():
    assert near("zzz", ["train", "plot"]) == ""


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["trian"], "expected a command, train"),
        ([], "expected a command, train"),
        (["train", "more"], "expected an option, got 'more' (see puffer-callbacks train --help)"),
        (["train", "--env"], "--env: expected one argument"),
    ],
)
def test_a_wrong_command_line_is_one_line(arguments, line, capsys):
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"puffer-callbacks: error: {line}") and shown.err.count("\n") == 1 and not shown.out


def test_a_near_command_is_named(capsys):
    main(["trian"])
    assert "got 'trian'; near: train" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"puffer_callbacks {version('puffer_callbacks')}\n"


def test_help_lists_the_commands(capsys):
    assert main(["--help"]) == 0
    assert "train     train PPO on a Gymnasium environment" in capsys.readouterr().out


@pytest.mark.parametrize(("value", "text"), [([8, 8], "8,8"), (None, "none"), (False, "false"), (1e-5, "1e-05")])
def test_what_is_shown_can_be_typed(value, text):
    assert shown(value) == text
