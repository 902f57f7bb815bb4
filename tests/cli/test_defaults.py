import inspect

import pytest
import yaml

from puffer_callbacks.cli import main
from puffer_callbacks.cli.config_file import options_of, with_config
from puffer_callbacks.cli.parser import UsageError
from puffer_callbacks.ppo import PPO, preset


def printed(capsys, *arguments):
    assert main(["train", *arguments, "--print_config"]) == 0
    return capsys.readouterr().out


def test_the_printed_configuration_is_what_trains(capsys):
    text = printed(capsys, "--env", "CartPole")
    config = yaml.safe_load(text)
    own = {name: parameter.default for name, parameter in inspect.signature(PPO).parameters.items()}
    expected = {**own, **preset("CartPole-v1"), "hidden_sizes": [64, 64]}
    del expected["env_id"]
    assert {name: config[name] for name in expected} == expected
    assert "learning_rate: 0.0025  # preset of CartPole-v1\n" in text and "num_envs: 8\n" in text


def test_a_value_of_one_s_own_is_not_marked_as_preset(capsys):
    assert "learning_rate: 0.1\n" in printed(capsys, "--learning-rate", "0.1")


def test_an_environment_without_a_preset_has_the_defaults_of_ppo(capsys):
    text = printed(capsys, "--env", "MountainCar")
    assert "learning_rate: 0.00025\n" in text and "MountainCar-v0 has no preset" in text
    assert "# preset of" not in text


@pytest.mark.parametrize("command", ["train", "diagnose", "watch", "plot"])
def test_help_fits_a_terminal_of_80_columns(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_help_shows_what_is_used_and_where_it_comes_from(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit) as ended:
        main(["train", "--env", "Acrobot", "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert "of Adam, at the start (default: 0.001, preset of Acrobot-v1)" in shown
    assert "discount factor (default: 0.99)" in shown
    assert "folder of the event files and checkpoints (default: runs/Acrobot-v1_DATE_TIME)" in shown


def test_the_printed_configuration_can_be_read_again(capsys, tmp_path):
    options = ["--env", "Pendulum", "--hidden-sizes", "32,16", "--target-kl", "0.02", "--wandb"]
    text = printed(capsys, *options)
    (tmp_path / "run.yaml").write_text(text)
    again = yaml.safe_load(printed(capsys, "--config", "run.yaml"))
    assert again == yaml.safe_load(text) and again["hidden_sizes"] == [32, 16] and again["wandb"] is True


def test_what_is_typed_wins_over_the_file_wherever_it_stands(tmp_path):
    (tmp_path / "run.yaml").write_text("num_envs: 2\nenv_id: Acrobot-v1\noptimizer/lr: 0.1\nlog_dir: null\n")
    arguments = with_config(["--num-envs", "4", "--config", "run.yaml"])
    assert arguments == ["--num-envs=2", "--env=Acrobot-v1", "--num-envs", "4", "--config", "run.yaml"]


@pytest.mark.parametrize(
    ("text", "reason"), [("{", "while parsing"), ("- 1", "which holds a list"), ("", "which is empty")]
)
def test_a_file_that_holds_no_options(text, reason, tmp_path):
    (tmp_path / "run.yaml").write_text(text)
    expected = "--config: expected a YAML file of options and values, got 'run.yaml'"
    with pytest.raises(UsageError, match=reason) as raised:
        options_of("run.yaml")
    assert str(raised.value).startswith(expected) and "\n" not in str(raised.value)
