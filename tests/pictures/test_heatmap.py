import numpy as np

from puffer_callbacks.pictures.colormap import MISSING, colorize
from puffer_callbacks.pictures.heatmap import Strip, heatmap


def strip(values, name="x", low=0.0, high=1.0):
    return Strip(name, np.asarray(values, np.float64), low, high)


def contains(picture, color):
    return bool((picture == np.asarray(color, np.uint8)).all(-1).any())


def test_time_runs_to_the_right_in_the_colors_of_the_scale():
    picture = heatmap([[strip(np.linspace(0, 1, 8))]])
    row = picture[5]
    at = [np.flatnonzero((row == color).all(-1)) for color in colorize(np.linspace(0, 1, 8), low=0, high=1)]
    assert all(len(columns) == 60 for columns in at)
    assert [int(columns[0]) for columns in at] == sorted(int(columns[0]) for columns in at)


def test_non_finite_numbers_are_magenta():
    assert contains(heatmap([[strip([0, np.nan, np.inf, 1])]]), MISSING)
    assert not contains(heatmap([[strip([0, 1])]]), MISSING)


def test_long_names_widen_the_picture():
    short, long = (heatmap([[strip([0, 1], name)]]) for name in ("a", "a rather long name"))
    assert long.shape[1] > short.shape[1]


def test_many_strips_and_long_times_stay_within_bounds():
    many = heatmap([[strip(np.zeros(5000), str(i)) for i in range(3000)]])
    assert many.shape[0] < 1100 and many.shape[1] < 1200


def test_long_times_are_averaged():
    values = np.tile([0.0, 1.0], 960)
    half = colorize([0.5], low=0, high=1)[0]
    assert contains(heatmap([[strip(values)]]), half)


def test_a_single_step_gives_a_picture():
    assert heatmap([[strip([0.3])], [strip([0.1])]]).size
