import csv
import sys

import numpy as np
import pytest
from lightning.pytorch.loggers import CSVLogger

from puffer_callbacks.runs import read_run


def points(run, tag):
    return list(zip(*(part.tolist() for part in run.series(tag)), strict=True))


def test_lightning(tmp_path):
    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=1)
    logger.log_hyperparams({"lr": 0.1, "net": {"hidden": 64}})
    logger.log_metrics({"train/loss": 0.5}, step=10)
    logger.log_metrics({"train/loss": float("nan"), "val/loss": 0.25}, step=20)
    logger.save()
    run = read_run(tmp_path)  # it holds exactly one run, two folders down
    assert run.path == tmp_path / "lightning_logs" / "version_0"
    assert run.format == "csv"
    assert points(run, "val/loss") == [(20, 0.25)]
    np.testing.assert_array_equal(run.series("train/loss")[1], [0.5, np.nan])
    assert run.hyperparameters == {"lr": 0.1, "net/hidden": 64}


def write(tmp_path, text, name="metrics.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


def test_early_rows_may_be_shorter_and_cells_quoted(tmp_path):
    path = write(tmp_path, 'step,a,note,b\n1,0.5\n2,,"two\nlines, one cell"\n3,1.5,,2.5\n')
    run = read_run(path)
    assert run.tags == ["a", "b"]
    assert points(run, "a") == [(1, 0.5), (3, 1.5)]
    assert run.text == {"note": [(2, "two\nlines, one cell")]}
    assert run.problems == []


def test_a_name_of_digits_and_underscores_is_no_number(tmp_path):
    run = read_run(write(tmp_path, "step,run_name,a\n1,2026_11_28,0.5\n2,2026_11_29,\n"))
    assert run.text == {"run_name": [(1, "2026_11_28"), (2, "2026_11_29")]}
    assert run.tags == ["a"]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_cells_that_a_spreadsheet_separated(tmp_path, separator):
    text = 'step,train/loss,note\n1,0.5,"a, b"\n20,-1.5e-3,\n'
    rows = [line.split(",", 2) for line in text.splitlines()]
    spread = "".join(separator.join([row[0], row[1].replace(".", ","), row[2]]) + "\n" for row in rows)
    run = read_run(write(tmp_path, spread))
    assert points(run, "train/loss") == [(1, 0.5), (20, -0.0015)]
    assert run.text == {"note": [(1, "a, b")]}
    assert run.problems == []


def test_semicolons_in_a_header_with_commas_are_of_its_names(tmp_path):
    run = read_run(write(tmp_path, "step,a;b\n1,0.5\n"))
    assert points(run, "a;b") == [(1, 0.5)]


def test_a_last_line_without_an_end_is_left_out(tmp_path):
    """Of 0.125 there may be only 0.1."""
    for text in ("step,a\n1,0.5\n2,0.1", "a,step\n0.5,1\n7"):
        run = read_run(write(tmp_path, text))
        assert points(run, "a") == [(1, 0.5)]
        assert run.problems == ["metrics.csv: the last line is cut short; it was left out"]


@pytest.mark.parametrize("line", ["a line ", "a line\n"])
def test_a_cell_may_be_of_any_length(tmp_path, line):
    text = line * 30_000
    run = read_run(write(tmp_path, f'step,note,a\n1,"{text}",0.5\n2,,0.25\n'))
    assert run.text == {"note": [(1, text)]}
    assert points(run, "a") == [(1, 0.5), (2, 0.25)]
    assert run.problems == []
    assert csv.field_size_limit() == 131_072, "other readers of the process keep their limit"


def test_a_text_that_is_not_always_a_picture_s_path_stays_one(tmp_path):
    run = read_run(write(tmp_path, "step,note\n1,media/a.png\n2,none yet\n"))
    assert run.text == {"note": [(1, "media/a.png"), (2, "none yet")]}


def test_a_row_with_too_many_cells_is_left_out(tmp_path):
    run = read_run(write(tmp_path, "step,a\n1,0.5\n2,0.1,7\n3,0.2\n"))
    assert points(run, "a") == [(1, 0.5), (3, 0.2)]
    assert run.problems == ["metrics.csv: row 3 has 3 cells for 2 columns; it was left out"]


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_bytes(b"\xef\xbb\xbfstep,a\n1,0.5\n2,\xff\xfe\n3,\x000.25\n")
    run = read_run(path)
    assert points(run, "a") == [(1, 0.5), (3, 0.25)]
    assert run.problems == ["metrics.csv: some bytes are not UTF-8; they were replaced"]


CUT = "metrics.csv: the last line is cut short; it was left out"


@pytest.mark.parametrize(
    ("text", "why"), [("", "it holds no value yet"), ("step,a\n", "it holds no value yet"), ("step,a\n1,0.5", CUT)]
)
def test_a_file_without_a_point(tmp_path, text, why):
    with pytest.raises(ValueError, match=rf"expected a run with values at .*metrics\.csv, got none: {why}$"):
        read_run(write(tmp_path, text))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_encodings_that_begin_with_their_mark(tmp_path, encoding):
    path = tmp_path / "metrics.csv"
    path.write_bytes("step,Verlust/größe\n10,0.5\n20,0.25\n".encode(encoding))
    run = read_run(path)
    assert points(run, "Verlust/größe") == [(10, 0.5), (20, 0.25)]
    assert run.problems == []


@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_ends_of_lines_of_other_systems(tmp_path, end):
    run = read_run(write(tmp_path, end.join(["step,a", "1,0.5", "2,0.25", ""])))
    assert points(run, "a") == [(1, 0.5), (2, 0.25)]
    assert run.problems == []


def test_spaces_around_names_and_the_index_of_a_pandas_table(tmp_path):
    run = read_run(write(tmp_path, ",step , train/reward\n0,10, 0.5\n1,20, 0.25\n"))
    assert run.tags == ["train/reward"]
    assert points(run, "train/reward") == [(10, 0.5), (20, 0.25)]


def test_a_row_costs_no_calls_of_python(tmp_path):
    """A million rows were 17 million calls."""
    rows = 3000
    body = "".join(f"{8 * row},{row / 7},{-row},\n" for row in range(rows))
    path = write(tmp_path, f"time/total_timesteps,rollout/ep_rew_mean,train/entropy_loss,train/value_loss\n{body}")
    calls = 0

    def count(_frame, event, _arg):
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        run = read_run(path)
    finally:
        sys.setprofile(before)
    assert points(run, "train/entropy_loss")[-1] == (8 * (rows - 1), -(rows - 1))
    assert calls < 2 * rows


def test_columns_of_one_name_are_one(tmp_path):
    run = read_run(write(tmp_path, "step,a,a\n1,0.5,\n2,0.5,1.5\n3,,2.5\n"))
    assert points(run, "a") == [(1, 0.5), (2, 1.5), (3, 2.5)]


def test_steps_are_of_one_column_though_the_rows_are_read_in_parts(tmp_path):
    """Columns that came up late: the rows before are short, and the first 256 have no column of steps but one."""
    early = "".join(f"{step},0.5\n" for step in range(256))
    run = read_run(write(tmp_path, f"global_step,loss,_step\n{early},0.25,7\n"))
    assert points(run, "loss")[-2:] == [(255, 0.5), (255, 0.25)]
