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


def test_lines_of_json_that_are_no_rows_and_what_is_no_number(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text('[1, 2]\n3\n"text"\n{"step": 5, "loss": 1, "done": true, "name": "x", "none": null}\n')
    assert list(RowFollower(path).new_rows()) == [(5, {"step": 5.0, "loss": 1.0})]


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


def test_a_line_that_is_no_csv_and_spaces_in_the_header(tmp_path):
    path = tmp_path / "progress.csv"
    path.write_text(",step, loss\n0,1, 0.5\n1,2\r3, 0.5\n3,4,0.25\n", newline="")
    rows = list(RowFollower(path).new_rows())
    assert rows == [(1, {"step": 1.0, "loss": 0.5}), (4, {"step": 4.0, "loss": 0.25})]


def test_the_numbers_beside_a_cell_of_any_length_are_followed(tmp_path):
    path = tmp_path / "progress.csv"
    path.write_text(f"step,note,loss\n1,{'a word ' * 30_000},0.5\n2,,0.25\n")
    rows = list(RowFollower(path).new_rows())
    assert rows == [(1, {"step": 1.0, "loss": 0.5}), (2, {"step": 2.0, "loss": 0.25})]


def test_semicolons_and_decimal_commas_as_when_the_whole_file_is_read(tmp_path):
    path = tmp_path / "progress.csv"
    path.write_text("step;loss\n1;0,5\n")
    follower = RowFollower(path)
    assert list(follower.new_rows()) == [(1, {"step": 1.0, "loss": 0.5})]
    append(path, "2;0.25\n")
    assert list(follower.new_rows()) == [(2, {"step": 2.0, "loss": 0.25})]


def lines(*steps):
    return "".join(json.dumps({"agent_steps": step}) + "\n" for step in steps)


@pytest.mark.parametrize("steps", [(32,), (32, 64), (32, 64, 96, 128)])
def test_another_run_in_the_file_is_an_error_however_long_it_is(tmp_path, steps):
    path = tmp_path / "run.jsonl"
    path.write_text(lines(64, 128))
    follower = RowFollower(path)
    assert len(list(follower.new_rows())) == 2
    path.write_text(lines(*steps))
    with pytest.raises(ValueError, match=r"expected .*run.jsonl to grow, but another run was begun in it"):
        list(follower.new_rows())


def test_another_run_under_the_same_header_is_an_error(tmp_path):
    path = tmp_path / "progress.csv"
    path.write_text("step,loss\n1,0.5\n2,0.25\n")
    follower = RowFollower(path)
    assert len(list(follower.new_rows())) == 2
    path.write_text("step,loss\n1,0.75\n2,0.25\n3,0.125\n")
    with pytest.raises(ValueError, match="another run was begun"):
        list(follower.new_rows())


@pytest.mark.parametrize("rewritten", ["", lines(64)], ids=["empty", "shorter"])
def test_a_file_that_is_just_rewritten_is_waited_for(tmp_path, rewritten):
    path = tmp_path / "run.jsonl"
    path.write_text(lines(64, 128))
    follower = RowFollower(path)
    assert len(list(follower.new_rows())) == 2
    path.write_text(rewritten)
    assert list(follower.new_rows()) == []
    path.unlink()
    assert list(follower.new_rows()) == []
    path.write_text(lines(64, 128, 192))
    assert list(follower.new_rows()) == [(192, {"agent_steps": 192.0})]


@pytest.mark.parametrize(("left", "line"), [(lines(64), "has 1 rows after 2"), (None, "is gone")])
def test_a_file_that_stays_shorter_is_an_error(tmp_path, left, line):
    path = tmp_path / "run.jsonl"
    path.write_text(lines(64, 128))
    follower = RowFollower(path, patience=0.0)
    assert len(list(follower.new_rows())) == 2
    path.unlink() if left is None else path.write_text(left)
    with pytest.raises(ValueError, match=f"to grow, but it {line}"):
        list(follower.new_rows())


def test_stable_baselines3_s_csv_is_found_beside_its_event_files(tmp_path):
    (tmp_path / "progress.csv").write_text("time/total_timesteps,rollout/ep_rew_mean\n64,1.5\n")
    (tmp_path / "events.out.tfevents.1").write_bytes(b"")
    assert RowFollower(tmp_path).path.name == "progress.csv"


def test_what_cannot_be_followed_is_one_clear_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected a log to follow, got .*nothing"):
        RowFollower(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"expected one file of JSON lines or CSV .*, got none"):
        RowFollower(tmp_path)
