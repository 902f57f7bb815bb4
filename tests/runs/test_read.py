import logging
from pathlib import Path

import pytest
from stable_baselines3.common.logger import configure
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from torch.utils.tensorboard import SummaryWriter

from puffer_callbacks.runs import read_run, read_runs
from puffer_callbacks.runs.discovery import by_number


def points(run, tag):
    return list(zip(*(part.tolist() for part in run.series(tag)), strict=True))


def write_run(folder, value=1.0):
    with SummaryWriter(folder) as writer:
        writer.add_scalar("train/loss", value, 1)
    return folder


@pytest.fixture
def sb3(tmp_path):
    folder = tmp_path / "PPO_1"
    logger = configure(str(folder), ["tensorboard", "csv", "json"])
    for update in range(1, 4):
        logger.record("rollout/ep_rew_mean", 10.0 * update)
        logger.record("time/total_timesteps", 2048 * update, exclude="tensorboard")
        if update > 1:
            logger.record("train/entropy_loss", -0.5 / update)
        logger.dump(2048 * update)
    logger.close()
    return folder


@pytest.mark.parametrize(
    ("file", "kind"), [("", "tensorboard"), ("progress.csv", "csv"), ("progress.json", "json")], ids=str
)
def test_stable_baselines3_writes_one_run_in_three_formats(sb3, file, kind):
    run = read_run(sb3 / file)
    assert (run.source, run.format, run.x_axis) == ("stable-baselines3", kind, "env_steps")
    assert points(run, "rollout/ep_rew_mean") == [(2048, 10.0), (4096, 20.0), (6144, 30.0)]
    steps, values = run.canonical["train/entropy"]
    assert steps.tolist() == [4096, 6144]
    assert values.tolist() == pytest.approx([0.25, 1 / 6], rel=1e-6)  # the JSON and CSV have six digits
    assert run.problems == []


def test_a_folder_above_and_a_path_as_text(sb3):
    assert read_run(str(sb3.parent)).path == sb3


def test_monitor_files_and_configurations_are_no_runs(sb3):
    (sb3 / "0.monitor.csv").write_text('#{"t_start": 0}\nr,l,t\n1,2,3\n')
    (sb3 / "config.json").write_text('{"learning_rate": 0.1}')
    for path in sb3.glob("events*"):
        path.unlink()
    assert read_run(sb3).format == "csv"


def test_tables_and_data_sets_beside_a_run_are_no_runs(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,a\n1,2\n")
    (tmp_path / "levels.csv").write_text("name,difficulty\nfirst,2\n")
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "hello"}\n')
    assert read_run(tmp_path).tags == ["a"]


@pytest.mark.parametrize("line", ['{"prompt": "hello"}', "5", "[1, 2]", '"step"'])
def test_a_folder_of_a_data_set_alone_holds_no_run(tmp_path, line):
    (tmp_path / "prompts.jsonl").write_text(f"{line}\n")
    with pytest.raises(ValueError, match="got a folder without any"):
        read_run(tmp_path)


def test_a_folder_holds_a_table_of_any_name(tmp_path):
    (tmp_path / "exp1.csv").write_text("step,a\n1,2\n")
    assert read_run(tmp_path).tags == ["a"]


def test_json_with_bytes_that_are_no_text_is_read(tmp_path):
    path = tmp_path / "trainer_state.json"
    path.write_bytes(b'{"log_history": [{"step": 1, "loss": 0.5, "note": "\xff"}]}')
    run = read_run(tmp_path)
    assert points(run, "loss") == [(1, 0.5)]
    assert run.problems == ["trainer_state.json: some bytes are not UTF-8; they were replaced"]


def test_a_link_to_a_run_is_that_run(tmp_path):
    folder = write_run(tmp_path / "b_run")
    (tmp_path / "a_latest").symlink_to(folder)
    assert read_run(tmp_path).path == folder


def test_several_runs_are_named(tmp_path):
    for seed in range(5):
        write_run(tmp_path / f"seed_{seed}", seed)
    with pytest.raises(ValueError, match=r"one run in .*, got 5 \(.*seed_0, .*, …\); name one, or use read_runs"):
        read_run(tmp_path)
    runs = read_runs(tmp_path)
    assert [run.path.name for run in runs] == [f"seed_{seed}" for seed in range(5)]
    assert [run.series("train/loss")[1][0] for run in runs] == [0, 1, 2, 3, 4]
    assert [run.path.name for run in read_runs(tmp_path / "seed_[13]")] == ["seed_1", "seed_3"]
    assert len(read_runs(tmp_path / "**")) == 5


def test_runs_are_ordered_by_the_numbers_in_their_paths(tmp_path):
    names = ["run_2", "run_10", "run_10b", "size_2/seed_9", "size_2/seed_10", "size_16/seed_1"]
    for name in reversed(names):
        write_run(tmp_path / name)
    assert [run.path.relative_to(tmp_path).as_posix() for run in read_runs(tmp_path)] == names
    assert [run.path.name for run in read_runs(tmp_path / "run_*")] == names[:3]
    assert [run.path.name for run in read_runs(tmp_path / "**" / "seed_1*")] == ["seed_10", "seed_1"]
    write_run(tmp_path / "of" / "several" / "seed_1")
    assert len(read_runs(tmp_path / "**" / "seed_1")) == 2


@pytest.mark.parametrize(
    "names",
    [
        ["v1.9", "v1.10", "v2.0"],  # versions
        ["run-2.9.1", "run-2.10.0"],
        ["lr=0.002", "lr=0.01", "lr=0.5"],  # decimals
        ["lr=1e-05", "lr=3e-4", "lr=1e-3", "lr=0.01"],
        ["CartPole-v1_2", "CartPole-v1_10"],
    ],
)
def test_versions_decimals_and_powers_of_ten_are_ordered_as_they_are_read(names):
    assert [path.name for path in sorted(map(Path, reversed(names)), key=by_number)] == names


def test_runs_in_folders_below_a_run_are_runs_too_as_tensorboard_shows_them(tmp_path):
    write_run(tmp_path)
    for name in ("seed_1", "deep/seed_2", "seed_1/eval"):
        write_run(tmp_path / name)
    names = [run.path.relative_to(tmp_path).as_posix() for run in read_runs(tmp_path)]
    assert names == [".", "deep/seed_2", "seed_1", "seed_1/eval"]
    assert read_run(tmp_path).path == tmp_path  # one run is what the folder itself holds
    shown = EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload().Runs()
    assert sorted(shown) == names


def test_below_a_run_its_other_formats_and_hyperparameters_are_no_runs(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("train/loss", 1.0, 1)
        writer.add_hparams({"lr": 0.1}, {"final": 1.0})  # in a folder named by the time
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "metrics.csv").write_text("step,a\n1,2\n")
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2
    assert [run.path for run in read_runs(tmp_path)] == [tmp_path]


INTERNAL = '{"time":"2026-11-27T14:19:45Z","level":"INFO","msg":"wandb-core"}\n'


def test_a_pattern_passes_over_what_lies_beside_runs(tmp_path, caplog):
    folder = write_run(tmp_path / "wandb" / "offline-run-1")
    beside = {
        "debug-internal.log": INTERNAL,
        "debug.log": "words\n",
        "config.json": '{\n "total_timesteps": 3\n}',
        "args.txt": '{"lr": 1}\n',
        "torn.json": '{\n "log_history": [',
    }
    for name, text in beside.items():
        (folder.parent / name).write_text(text)
    assert [run.path for run in read_runs(folder.parent / "*")] == [folder]
    assert caplog.messages == []
    (folder.parent / "rows.json").write_text('[{"step": 1, "a": 2}]')
    (folder.parent / "out.log").write_text('{"step": 1, "a": 2}\n')
    assert [run.path.name for run in read_runs(folder.parent / "*")] == ["offline-run-1", "out.log", "rows.json"]


@pytest.mark.parametrize("name", ["debug-internal.log", "debug-cli.me.log", "debug-core.log"])
def test_a_log_of_wandb_itself_is_no_run(tmp_path, name, monkeypatch):
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / name).write_text(INTERNAL)
    monkeypatch.chdir(tmp_path / "wandb")
    for path in (tmp_path / "wandb" / name, name):
        with pytest.raises(ValueError, match="got a file of another format"):
            read_run(path)
    (tmp_path / name).write_text('{"step": 1, "a": 2}\n')
    assert points(read_run(tmp_path / name), "a") == [(1, 2.0)]


def test_lines_of_several_runs_in_one_folder(tmp_path):
    for name in ("1.jsonl", "2.jsonl"):
        (tmp_path / name).write_text('{"agent_steps": 64, "SPS": 5}\n')
    with pytest.raises(ValueError, match="got 2 "):
        read_run(tmp_path)
    assert [run.path.name for run in read_runs(tmp_path)] == ["1.jsonl", "2.jsonl"]


def test_of_runs_that_cannot_be_read_the_others_are(tmp_path, caplog):
    write_run(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "events.out.tfevents.1").write_bytes(b"nothing of the kind")
    with caplog.at_level(logging.WARNING, "puffer_callbacks"):
        (run,) = read_runs(tmp_path)
    assert run.path.name == "good"
    assert "bad was left out: expected a run with values" in caplog.text


def make(tmp_path, kind):
    path = tmp_path / kind
    if kind == "empty folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("nothing of the kind")
    elif kind == "binary":
        path.write_bytes(bytes(range(256)))
    elif kind in ("empty file", "events.out.tfevents.0"):
        path.write_bytes(b"")
    return path


@pytest.mark.parametrize(
    ("kind", "error", "line"),
    [
        ("missing", FileNotFoundError, r"expected the file or folder of a run, got .*missing, which is not there$"),
        ("run_*", FileNotFoundError, r"which is not there; read_runs reads a pattern$"),
        (
            "empty folder",
            ValueError,
            r"TensorBoard event files, .* at .*empty folder, got a folder without any",
        ),
        ("text", ValueError, r"expected TensorBoard event files, .* at .*text, got a file of another format"),
        ("binary", ValueError, r"got a file of another format"),
        ("empty file", ValueError, r"got a file of another format"),
        ("events.out.tfevents.0", ValueError, r"expected a run with values at .*, got none: it holds no value yet"),
    ],
)
def test_what_is_no_run_gets_one_line(tmp_path, kind, error, line):
    path = make(tmp_path, kind)
    with pytest.raises(error, match=line) as raised:
        read_run(path)
    assert "\n" not in str(raised.value)


def test_patterns_that_match_nothing_or_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a file or folder of runs, or a pattern"):
        read_runs(tmp_path / "no*")
    with pytest.raises(ValueError, match="expected TensorBoard event files"):
        read_runs(tmp_path)


def test_hparams_yaml_that_is_broken(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,a\n1,2\n")
    (tmp_path / "hparams.yaml").write_text("a: [1,\nb: {")
    run = read_run(tmp_path)
    assert run.hyperparameters == {}
    assert run.problems[0].startswith("hparams.yaml: cannot be read")
    assert "\n" not in run.problems[0]


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_run(tmp_path / "run")
    assert read_run("~/run").path == Path(tmp_path) / "run"


def test_links_that_lead_back_are_followed_once(tmp_path):
    folder = write_run(tmp_path / "c" / "run")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "back").symlink_to(tmp_path)
    (tmp_path / "a" / "b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "a").symlink_to(tmp_path / "a")
    assert read_run(tmp_path).series("train/loss")[1].tolist() == [1.0]
    assert len(read_runs(tmp_path)) == 1
    assert [run.path for run in read_runs(folder / ".." / "*")] == [tmp_path / "c" / "run" / ".." / "run"]


def test_a_link_that_a_pattern_matches_is_no_further_run(tmp_path):
    folder = write_run(tmp_path / "run")
    (tmp_path / "latest").symlink_to(folder)
    assert [run.path for run in read_runs(tmp_path / "*")] == [folder]


@pytest.mark.parametrize("name", ["lr=[0.1]", "what?", "a*"])
def test_a_name_with_the_marks_of_a_pattern_is_a_name(tmp_path, name):
    folder = write_run(tmp_path / name)
    assert [run.path for run in read_runs(folder)] == [folder]
    assert [run.path for run in read_runs(tmp_path / "*")] == [folder]


@pytest.mark.parametrize("name", ["run.jsonl", "metrics.csv"])
def test_a_step_that_no_integer_of_64_bits_holds_is_no_step(tmp_path, name):
    rows = {"run.jsonl": '{"step": 1, "a": 2}\n{"step": 1e300, "a": 3}\n', "metrics.csv": "step,a\n1,2\n1e300,3\n"}
    (tmp_path / name).write_text(rows[name])
    assert points(read_run(tmp_path), "a") == [(1, 2.0), (1, 3.0)]


def test_json_that_is_nested_too_deeply_is_a_problem(tmp_path):
    deep = "[" * 100_000 + "]" * 100_000
    (tmp_path / "run.jsonl").write_text(f'{{"step": 1, "a": 2}}\n{{"a": {deep}}}\n')
    assert read_run(tmp_path).problems == ["run.jsonl: line 2 cannot be read: it is nested too deeply"]
    (tmp_path / "run.json").write_text(f'{{"agent_steps": {deep}}}')
    with pytest.raises(ValueError, match="nested too deeply"):
        read_run(tmp_path / "run.json")


def test_a_format_that_holds_nothing_yet_hides_no_other(tmp_path):
    """torch's writer keeps its first rows for two minutes."""
    SummaryWriter(str(tmp_path)).close()
    with pytest.raises(ValueError, match="it holds no value yet"):
        read_run(tmp_path)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "progress.csv").write_text("step,a\n1,7\n")
    with pytest.raises(ValueError, match="it holds no value yet"):
        read_run(tmp_path)
    (tmp_path / "progress.csv").write_text("step,a\n1,2\n")
    assert points(read_run(tmp_path), "a") == [(1, 2.0)]
    assert [run.format for run in read_runs(tmp_path)] == ["csv"]
