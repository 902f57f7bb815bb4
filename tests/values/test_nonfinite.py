import math

import torch

from puffer_callbacks.values.nonfinite import nonfinite_names


def test_a_sum_that_overflows_is_not_taken_for_an_element():
    tensors = {
        "large": torch.full((8,), 60_000.0, dtype=torch.float16),
        "large and NaN": torch.tensor([60_000.0, 60_000.0, math.nan], dtype=torch.float16),
        "both": torch.tensor([math.inf, -math.inf], dtype=torch.float64),
        "infinite": torch.tensor([[0.0, math.inf]], requires_grad=True),
        "empty": torch.zeros(0),
        "integers": torch.tensor([1, 2]),
        "text": "nan",
    }
    assert nonfinite_names(tensors) == ["large and NaN", "both", "infinite"]
    assert nonfinite_names({"integers": torch.tensor([1])}) == nonfinite_names({}) == []
