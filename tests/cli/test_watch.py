"""``puffer-callbacks watch`` on logs that grow, in processes that are stopped and killed."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from stable_baselines3.common.logger import CSVOutputFormat

from puffer_callbacks.cli import main
from tests.cli.logs import puffer_rows, write_lines
from tests.support.reading import tensorboard_scalars


def command(*arguments):
    return [sys.executable, "-m", "puffer_callbacks", "watch", *map(str, arguments), "--interval", "0.05"]


def watch(*arguments):
    """Watch until nothing has come for half a second."""
    done = subprocess.run(
        [*command(*arguments), "--timeout", "0.5"], capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def start():
    """Starts a watch that runs until it is told to end, at the latest with the test."""
    processes = []

    def watch_on(*arguments):
        process = subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    yield watch_on
    for process in processes:
        process.kill()


def wait_for_rows(folder, count):
    for _ in range(600):
        state = folder / "watch.json"
        if state.exists() and json.loads(state.read_text())["rows"] >= count:
            return
        time.sleep(0.1)
    raise AssertionError(f"no {count} rows in {folder}")


def append(path, rows):
    with path.open("a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))


def test_rows_reach_tensorboard_as_they_are(tmp_path):
    path = write_lines(tmp_path / "run.jsonl", puffer_rows())
    status, out, err = watch(path, "--log-dir", tmp_path / "tb")
    assert (status, err) == (0, "")
    assert "Watching" in out
    found = tensorboard_scalars(tmp_path / "tb")
    rows = list(puffer_rows())
    assert found["env/episode_return"] == [(r["agent_steps"], pytest.approx(r["env/episode_return"])) for r in rows]
    assert found["health/findings"][-1][1] == 0.0


def test_trouble_is_reported_live_and_once(tmp_path, start):
    path = write_lines(tmp_path / "run.jsonl", puffer_rows(entropy_collapses=True, count=20))
    process = start(path, "--log-dir", tmp_path / "tb")
    wait_for_rows(tmp_path / "tb", 20)
    append(path, list(puffer_rows(entropy_collapses=True))[20:])
    wait_for_rows(tmp_path / "tb", 60)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, "")
    assert out.count("CRITICAL learning_rate_zero") == 1
    assert {value for _, value in tensorboard_scalars(tmp_path / "tb")["health/learning_rate_zero"]} == {1.0}


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_after_a_restart_it_goes_on_where_it_was(tmp_path, start, end):
    rows = list(puffer_rows(entropy_collapses=True))
    path = write_lines(tmp_path / "run.jsonl", rows[:30])
    process = start(path, "--log-dir", tmp_path / "tb")
    wait_for_rows(tmp_path / "tb", 30)
    os.kill(process.pid, end)
    first, _ = process.communicate(timeout=60)
    append(path, rows[30:])
    status, second, _ = watch(path, "--log-dir", tmp_path / "tb")
    assert status == 1
    assert first.count("learning_rate_zero") == 1
    assert "learning_rate_zero" not in second  # it was reported before
    found = tensorboard_scalars(tmp_path / "tb")["loss/entropy"]
    assert found == [(row["agent_steps"], pytest.approx(row["loss/entropy"])) for row in rows]


def test_stable_baselines3_s_csv_whose_header_grows(tmp_path, start):
    writer = CSVOutputFormat(str(tmp_path / "progress.csv"))
    process = start(tmp_path, "--log-dir", tmp_path / "tb")
    for step in range(1, 21):
        late = {"train/learning_rate": 0.0} if step > 5 else {}
        writer.write({"time/total_timesteps": 100 * step, "rollout/ep_rew_mean": 20.0, **late}, {}, step)
    wait_for_rows(tmp_path / "tb", 20)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    writer.close()
    assert process.returncode == 1
    assert "CRITICAL learning_rate_zero" in out
    found = tensorboard_scalars(tmp_path / "tb")
    assert [step for step, _ in found["rollout/ep_rew_mean"]] == list(range(100, 2001, 100))
    assert [step for step, _ in found["train/learning_rate"]] == list(range(600, 2001, 100))


def test_wandb_gets_rows_and_an_alert(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    path = write_lines(tmp_path / "run.jsonl", puffer_rows(entropy_collapses=True))
    status, _, err = watch(path, "--wandb")
    assert status == 1, err
    from tests.support.reading import wandb_records, wandb_rows

    folder = tmp_path / "run_watch"
    assert len([row for row in wandb_rows(folder) if "loss/entropy" in row]) == 60
    alerts = [record.alert for record in wandb_records(folder) if record.HasField("alert")]
    assert [(alert.level, alert.title.split()[0]) for alert in alerts] == [("ERROR", "learning_rate_zero")]


@pytest.mark.parametrize("name", ["nothing.jsonl", "notes.txt"])
def test_what_cannot_be_followed_is_2_and_one_line(tmp_path, name):
    (tmp_path / "notes.txt").write_text("hello")
    status, out, err = watch(tmp_path / name)
    assert (status, out) == (2, "")
    assert err.startswith("puffer-callbacks: error: expected ") and err.count("\n") == 1


def test_another_run_is_not_taken_for_the_one_that_was_watched_before(tmp_path):
    path = write_lines(tmp_path / "run.jsonl", puffer_rows(count=20))
    assert watch(path, "--log-dir", tmp_path / "tb")[0] == 0
    write_lines(path, puffer_rows(entropy_collapses=True))
    status, _, err = watch(path, "--log-dir", tmp_path / "tb")
    assert (status, err.count("\n")) == (2, 1)
    assert "watch.json, got another; give it a --log-dir of its own" in err
    assert len(tensorboard_scalars(tmp_path / "tb")["loss/entropy"]) == 20


def test_a_damaged_state_is_one_clear_line(tmp_path):
    path = write_lines(tmp_path / "run.jsonl", puffer_rows(count=2))
    (tmp_path / "tb").mkdir()
    (tmp_path / "tb" / "watch.json").write_text('{"rows": 1')
    status, _, err = watch(path, "--log-dir", tmp_path / "tb")
    assert (status, err.count("\n")) == (2, 1)
    assert "got a damaged file; remove it to begin anew" in err


@pytest.mark.parametrize("option", ["--interval", "--timeout"])
@pytest.mark.parametrize("value", ["-1", "nan", "inf", "soon"])
def test_bad_seconds_are_2_and_one_line(tmp_path, capsys, option, value):
    path = write_lines(tmp_path / "run.jsonl", puffer_rows(count=2))
    assert main(["watch", str(path), f"{option}={value}"]) == 2
    assert capsys.readouterr().err == (
        f"puffer-callbacks: error: {option}: expected seconds, at least 0, got {value!r}\n"
    )


def test_one_watch_at_a_time_writes_to_a_folder(tmp_path, capsys):
    path = write_lines(tmp_path / "run.jsonl", puffer_rows(count=2))
    (tmp_path / "tb").mkdir()
    arguments = ["watch", str(path), "--log-dir", str(tmp_path / "tb"), "--timeout", "0", "--interval", "0"]
    with (tmp_path / "tb" / "watch.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main(arguments) == 2
    assert capsys.readouterr().err == (
        f"puffer-callbacks: error: --log-dir: expected a folder that no other watch writes to, got {tmp_path / 'tb'}\n"
    )
    assert main(arguments) == main(arguments) == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a folder that cannot be written")
def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path, capsys):
    path = write_lines(tmp_path / "run.jsonl", puffer_rows(count=2))
    assert main(["watch", str(path), "--log-dir", "/proc"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("puffer-callbacks: error: --log-dir: expected a folder that can be written, got '/proc' (")
    assert err.count("\n") == 1
