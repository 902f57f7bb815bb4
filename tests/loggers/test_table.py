import pytest

from puffer_callbacks.loggers.table import metric_table, progress_title


def body(values):
    return [line[2:-2].rstrip() for line in metric_table(values, title="title")[3:-1]]


def test_groups_are_rows_of_aligned_cells():
    values = {f"train/{name}": at / 7 for at, name in enumerate(("reward", "kl", "entropy", "loss"))}
    assert body(values | {"losses/q": -12.345678}) == [
        "train         reward   0       loss     0.429   entropy  0.286",
        "              kl       0.143",
        "losses        q  -12.3",
    ]


@pytest.mark.parametrize(
    ("tag", "value", "shown"),
    [
        ("train/x", 0.000123456, "0.000123"),
        ("train/x", 1e-7, "1e-07"),
        ("train/x", 12345.6, "12346"),
        ("train/x", 3e12, "3e+12"),
        ("train/x", float("nan"), "nan"),
        ("train/x", float("-inf"), "-inf"),
        ("nonfinite/x", 12, "12"),
        ("agent_steps", 123456789012.0, "123456789012"),
    ],
)
def test_numbers_have_three_significant_digits_and_counts_are_whole(tag, value, shown):
    assert body({tag: value})[0].endswith(f"  {shown}")


def test_what_people_look_at_first_comes_first():
    order = ["train/reward", "rollout/return_min", "diagnostics/approx_kl", "diagnostics/has_dropout", "mine"]
    text = " ".join(body({tag: 1.0 + at for at, tag in enumerate(reversed(order))}))
    assert sorted(order, key=lambda tag: text.index(tag.split("/")[-1])) == order


def test_a_value_with_two_tags_is_shown_once():
    values = {"train/reward": 3.0, "rollout/return_mean": 3.0, "train/entropy": 0.5, "losses/entropy": -0.5}
    assert body(values) == ["train         reward   3     entropy  0.5"]
    assert len(body(values | {"losses/entropy": -0.4})) == 2


def test_a_large_group_is_cut():
    rows = body({f"update_ratio/layers.{at:03}.weight": 0.001 for at in range(100)})
    assert len(rows) == 5 and rows[-1].strip() == "... and 92 more"


def test_a_long_name_widens_the_table():
    table = metric_table({f"train/{'x' * 100}": 1.0}, title="title")
    assert len({len(line) for line in table}) == 1 and "x" * 100 in table[3]


def test_a_table_without_metrics_has_its_title():
    assert len(metric_table({"time/elapsed": 1.0}, title="title")) == 4


@pytest.mark.parametrize(
    ("done", "total", "elapsed", "title"),
    [
        (5, None, None, "step 5"),
        (5, None, 3661.4, "step 5, 1:01:01 so far"),
        (0, 100, 1.0, "step 0 of 100 (0 %), 0:00:01 so far"),
        (120, 100, 60.0, "step 120 of 100 (120 %), 0:01:00 so far, 0:00:00 left"),
    ],
)
def test_the_title_shows_progress_and_time_left(done, total, elapsed, title):
    assert progress_title(done, total, elapsed=elapsed) == title
