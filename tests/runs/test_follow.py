"""Rows of a log that grows."""

import json

import pytest
from stable_baselines3.common.logger import CSVOutputFormat

from puffer_callbacks.runs.follow import RowFollower


def append(path, text):
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def test_json_lines_come_once_each_when_they_end(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text("")
    follower = RowFollower(path)
    assert list(follower.new_rows()) == []
    append(path, '{"agent_steps": 64, "loss/entropy": 0.5}\n{"agent_steps": 128, "lo')
    assert list(follower.new_rows()) == [(64, {"agent_steps": 64.0, "loss/entropy": 0.5})]
    append(path, 'ss/entropy": 0.25, "loss": {"value": 2}}\nnot json\n')
    assert list(follower.new_rows()) == [(128, {"agent_steps": 128.0, "loss/entropy": 0.25, "loss/value": 2.0})]
    assert list(follower.new_rows()) == []
    assert follower.rows == 2


def test_stable_baselines3_rewrites_its_file_for_a_new_column(tmp_path):
    writer = CSVOutputFormat(str(tmp_path / "progress.csv"))
    follower = RowFollower(tmp_path)
    writer.write({"time/total_timesteps": 10, "rollout/ep_rew_mean": 1.5}, {}, 0)
    assert list(follower.new_rows()) == [(10, {"time/total_timesteps": 10.0, "rollout/ep_rew_mean": 1.5})]
    writer.write({"time/total_timesteps": 20, "train/loss": 0.5}, {}, 1)
    writer.write({"time/total_timesteps": 30, "rollout/ep_rew_mean": 2.5}, {}, 2)
    writer.close()
    assert list(follower.new_rows()) == [
        (20, {"time/total_timesteps": 20.0, "train/loss": 0.5}),
        (30, {"time/total_timesteps": 30.0, "rollout/ep_rew_mean": 2.5}),
    ]


def test_a_file_that_began_anew_is_an_error(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps({"agent_steps": step}) + "\n" for step in (64, 128)))
    follower = RowFollower(path)
    assert len(list(follower.new_rows())) == 2
    path.write_text(json.dumps({"agent_steps": 32}) + "\n")
    with pytest.raises(ValueError, match="to grow, but it has 1 rows after 2"):
        list(follower.new_rows())


def test_what_cannot_be_followed_is_one_clear_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected a log to follow, got .*nothing"):
        RowFollower(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"expected one file of JSON lines or CSV .*, got none"):
        RowFollower(tmp_path)
