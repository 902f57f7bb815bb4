import numpy as np
import pytest
import torch
from tbparse import SummaryReader
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.image.metadata import create_summary_metadata as image_metadata
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_tensor_proto
from torch.utils.tensorboard import SummaryWriter

from puffer_callbacks.runs import read_run
from tests.support.reading import accumulator, tensorboard_scalars


def scalars_of(run):
    return {tag: list(zip(*(part.tolist() for part in run.series(tag)), strict=True)) for tag in run.tags}


@pytest.fixture
def torch_run(tmp_path):
    """A run with every kind of value that torch's writer has, steps of one to three bytes, and odd numbers."""
    with SummaryWriter(tmp_path) as writer:
        for step in (0, 1, 127, 128, 20_000, 3_000_000_000):
            writer.add_scalar("train/loss", step / 7, step)
            writer.add_scalar("größe 名", -step, step)
        for step, value in enumerate((float("nan"), float("inf"), 0.0, -0.0, 1e-42)):
            writer.add_scalar("odd", value, step)
        writer.add_scalar("new style", 2.5, 3, new_style=True)
        writer.add_scalar("new style", 3.5, 4, new_style=True)
        writer.add_histogram("weights", torch.linspace(-3, 5, 1000), 7)
        writer.add_image("frame", np.arange(24, dtype=np.uint8).reshape(3, 2, 4), 8)
        writer.add_text("note", "two\nlines", 9)
    return tmp_path


def test_scalars_are_those_of_tensorboard(torch_run):
    run = read_run(torch_run)
    theirs = tensorboard_scalars(torch_run)
    ours = scalars_of(run)
    new_style = ours.pop("new style")  # TensorBoard's reader files them under tensors
    assert new_style == [(3, 2.5), (4, 3.5)]
    assert repr(ours) == repr(dict(sorted(theirs.items())))  # NaN and the sign of zero too
    assert run.problems == []
    assert run.format == "tensorboard"


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # tbparse's own use of pandas
def test_scalars_are_those_of_tbparse(torch_run):
    theirs = SummaryReader(str(torch_run), extra_columns={"wall_time"}).scalars
    ours = read_run(torch_run).scalars
    ours = ours[ours.tag != "new style"].reset_index(drop=True)
    theirs = theirs.sort_values("tag", kind="stable").reset_index(drop=True)
    assert ours.tag.tolist() == theirs.tag.tolist()
    for column in ("step", "value", "wall_time"):
        np.testing.assert_array_equal(ours[column], theirs[column])


def test_histogram_has_the_totals_and_counts_of_the_file(torch_run):
    ((step, histogram),) = read_run(torch_run).histograms["weights"]
    (theirs,) = accumulator(torch_run).Histograms("weights")
    written = theirs.histogram_value
    assert (step, histogram.count) == (7, 1000)
    assert (histogram.min, histogram.max, histogram.sum) == (written.min, written.max, written.sum)
    values = np.linspace(-3, 5, 1000)
    assert histogram.quantile(0.5) == pytest.approx(np.median(values), abs=0.2)  # within torch's bucket


def test_image_and_text(torch_run):
    run = read_run(torch_run)
    ((step, image),) = run.images["frame"]
    assert step == 8
    np.testing.assert_array_equal(image.pixels, np.arange(24, dtype=np.uint8).reshape(3, 2, 4).transpose(1, 2, 0))
    assert run.text == {"note": [(9, "two\nlines")]}


def test_hyperparameters_of_torch(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_hparams({"lr": 0.1, "env": "CartPole", "norm": True}, {"hp/reward": 9.0}, run_name=".")
    run = read_run(tmp_path)
    assert run.hyperparameters == {"lr": 0.1, "env": "CartPole", "norm": True}
    assert scalars_of(run) == {"hp/reward": [(0, 9.0)]}


def write_events(folder, *events, suffix=""):
    writer = EventFileWriter(str(folder), filename_suffix=suffix)
    for event in events:
        writer.add_event(event)
    writer.close()


def test_the_tenth_writer_of_a_process_comes_after_its_ninth(tmp_path):
    def event(step, value):
        return Event(step=step, summary=Summary(value=[Summary.Value(tag="loss", simple_value=value)]))

    for number in (9, 10):
        write_events(tmp_path, *[event(step, float(number)) for step in range(3)])
        written = next(path for path in tmp_path.iterdir() if path.name.startswith("events"))
        written.rename(tmp_path / f"new.out.tfevents.1700000000.host.77.{number}")
    assert scalars_of(read_run(tmp_path))["loss"][-3:] == [(0, 10.0), (1, 10.0), (2, 10.0)]


def test_tensorflow_2_values(tmp_path):
    """As TensorFlow 2 writes them: tensors, of which the first of a tag alone names the plugin."""
    first, second = scalar_pb("loss", 0.5), scalar_pb("loss", 0.25)
    for value in second.value:
        value.ClearField("metadata")
    picture = Summary.Value(
        tag="frame",
        tensor=make_tensor_proto([b"2", b"1", png(np.full((1, 2, 3), 9, np.uint8))]),
        metadata=image_metadata(display_name="", description=""),
    )
    events = [
        Event(step=1, wall_time=1.0, summary=first),
        Event(step=2, wall_time=2.0, summary=second),
        Event(step=3, summary=histogram_pb("weights", np.array([1.0, 1.0, 3.0]), buckets=2)),
        Event(step=4, summary=text_pb("note", "hello")),
        Event(step=5, summary=Summary(value=[picture])),
    ]
    write_events(tmp_path, *events)
    run = read_run(tmp_path)
    assert scalars_of(run) == {"loss": [(1, 0.5), (2, 0.25)]}
    ((_, histogram),) = run.histograms["weights"]
    assert (histogram.count, histogram.min, histogram.max) == (3, 1.0, 3.0)
    assert run.text == {"note": [(4, "hello")]}
    assert run.images["frame"][0][1].pixels.tolist() == [[[9, 9, 9], [9, 9, 9]]]


def png(pixels):
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_scalar_with_a_description_and_values_without_order(tmp_path):
    described = Summary.Value(tag="loss", simple_value=1.0, metadata=SummaryMetadata(summary_description="the loss"))
    row = Summary(value=[described, Summary.Value(tag="kl", simple_value=2.0), Summary.Value(tag="kl")])
    write_events(tmp_path, Event(step=-5, summary=row), Event(summary=Summary(value=[row.value[1]])))
    assert scalars_of(read_run(tmp_path)) == {"kl": [(-5, 2.0), (0, 2.0)], "loss": [(-5, 1.0)]}


def test_values_of_one_row_have_its_time(tmp_path):
    rows = [Summary(value=[Summary.Value(tag=tag, simple_value=step) for tag in "ab"]) for step in range(3)]
    write_events(tmp_path, *(Event(step=at, wall_time=100.0 + at, summary=row) for at, row in enumerate(rows)))
    found = read_run(tmp_path).scalars[["tag", "step", "wall_time"]]
    assert sorted(found.itertuples(index=False, name=None)) == [(t, at, 100.0 + at) for t in "ab" for at in range(3)]


def test_a_session_that_starts_hides_what_was_beyond(tmp_path):
    def point(step, value):
        return Event(step=step, summary=Summary(value=[Summary.Value(tag="loss", simple_value=value)]))

    resume = Event(step=3, session_log=SessionLog(status=SessionLog.START))
    write_events(tmp_path, *[point(step, 0.0) for step in range(6)], suffix=".a")
    write_events(tmp_path, resume, *[point(step, 1.0) for step in range(3, 5)], suffix=".b")
    points = scalars_of(read_run(tmp_path))["loss"]
    assert points == [(0, 0.0), (1, 0.0), (2, 0.0), (3, 1.0), (4, 1.0)]
    assert points == tensorboard_scalars(tmp_path)["loss"]


def test_all_kinds_are_dropped_beyond_a_session_start(tmp_path):
    with SummaryWriter(tmp_path, filename_suffix=".a") as writer:
        writer.add_histogram("h", torch.ones(3), 4)
        writer.add_text("t", "old", 4)
        writer.add_image("i", np.zeros((3, 2, 2), np.uint8), 4)
        writer.add_scalar("s", 1.0, 1)
    with SummaryWriter(tmp_path, purge_step=2, filename_suffix=".b") as writer:
        writer.add_text("t", "new", 3)
    run = read_run(tmp_path)
    assert run.histograms == {} or run.histograms["h"] == []
    assert run.text == {"t": [(3, "new")]}
    assert not run.images.get("i")
    assert run.tags == ["s"]
