import torch

from puffer_callbacks.ppo.minibatches import Minibatches


def batches(**arguments):
    values = {"x": torch.arange(10), "y": torch.arange(10) * 2}
    generator = torch.Generator().manual_seed(0)
    return Minibatches(lambda: values, size=10, batch_size=4, epochs=3, generator=generator, **arguments)


def test_every_pass_shows_every_step_once_in_a_new_order():
    seen = list(batches())
    assert len(seen) == len(batches()) == 9
    assert [len(batch["x"]) for batch in seen] == [4, 4, 2] * 3
    passes = [torch.cat([batch["x"] for batch in seen[start : start + 3]]).tolist() for start in (0, 3, 6)]
    assert all(sorted(each) == list(range(10)) for each in passes)
    assert passes[0] != passes[1] != passes[2]
    assert all(batch["y"].equal(batch["x"] * 2) for batch in seen)


def test_passes_end_where_continue_epochs_is_false():
    answers = iter([True, False])
    assert len(list(batches(continue_epochs=lambda: next(answers)))) == 6


def test_the_order_is_the_generator_s():
    assert all(a["x"].equal(b["x"]) for a, b in zip(batches(), batches(), strict=True))


def test_the_rollout_is_asked_for_at_each_iteration_and_not_before():
    asked = []
    loader = Minibatches(lambda: asked.append(1) or {"x": torch.zeros(4)}, size=4, batch_size=4, epochs=2)
    iterator = iter(loader)
    assert not asked
    next(iterator)
    list(loader)
    assert len(asked) == 2
