"""Odd values of every kind, as Hypothesis draws them."""

import math
from collections import OrderedDict, UserDict
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from puffer_callbacks import Histogram, Image, Text, Video

NUMBERS = (0.0, -0.0, 1.0, -1.5, 200.0, 1e-310, 1e-45, 6e4, 3e38, 1e300, math.nan, math.inf, -math.inf)
_FLOATS = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
_INTEGERS = ("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool")
_COMPLEX = ("complex32", "complex64", "complex128")
DTYPES = [getattr(torch, name) for name in (*_FLOATS, *_INTEGERS, *_COMPLEX) if hasattr(torch, name)]
SHAPES: tuple[tuple[int, ...], ...] = ((), (1,), (1, 1, 1), (0,), (3, 0), (2,), (2, 3), (1,) * 12)


class Subclass(Tensor):
    """A tensor of another class."""


class Rude:
    """Raises at whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name} here")

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __len__ = __iter__ = __bool__ = __float__ = __index__ = __str__  # type: ignore[assignment]


class Numeric:
    """Has a value, but is none of the classes of numbers."""

    def __float__(self) -> float:
        return 1.5


def _view(tensor: Tensor) -> Tensor:
    return torch.stack([tensor, tensor, tensor], -1)[..., 1]


def _expanded(tensor: Tensor) -> Tensor:
    return tensor[None].expand(4, *tensor.shape)[2]


def _inference(tensor: Tensor) -> Tensor:
    with torch.inference_mode():
        return tensor.clone()


def _fake(tensor: Tensor) -> Tensor:
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode().from_tensor(tensor)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda tensor: tensor,
    "view": _view,
    "expanded": _expanded,
    "transposed": lambda tensor: tensor.mT if tensor.ndim > 1 else tensor,
    "needs a gradient": lambda tensor: tensor.requires_grad_() * 1,
    "parameter": lambda tensor: nn.Parameter(tensor, requires_grad=tensor.is_floating_point()),
    "inference": _inference,
    "subclass": lambda tensor: tensor.as_subclass(Subclass),
    "sparse": lambda tensor: tensor.to_sparse(),
    "compressed": lambda tensor: tensor.to_sparse_csr(),
    "meta": lambda tensor: tensor.to("meta"),
    "fake": _fake,
    "conjugate": lambda tensor: tensor.conj(),
    "negative": torch._neg_view,
    "quantized": lambda tensor: torch.quantize_per_tensor(tensor, 0.5, 0, torch.qint8),
    "nested": lambda tensor: torch.nested.nested_tensor([tensor.reshape(-1), tensor.reshape(-1)[:0]]),
}


_any_shape = st.sampled_from(SHAPES)


@st.composite
def tensors(draw: st.DrawFn, shapes: st.SearchStrategy[tuple[int, ...]] = _any_shape) -> Tensor:
    """A tensor of any dtype, shape and layout; of what torch cannot build, the plain one."""
    number, dtype, shape = draw(st.sampled_from(NUMBERS)), draw(st.sampled_from(DTYPES)), draw(shapes)
    whole = number if math.isfinite(number) and abs(number) < 2**53 else 7.0
    kind = torch.tensor(number if dtype.is_floating_point or dtype.is_complex else abs(int(whole)) % 100)
    plain = kind.to(torch.complex128 if dtype.is_complex else torch.float64).expand(shape).contiguous().to(dtype)
    layout = draw(st.sampled_from(sorted(LAYOUTS)))
    try:
        return LAYOUTS[layout](plain)
    except Exception:
        return plain


def generator() -> Iterator[float]:
    """Is not to be begun: it may have no end."""
    while True:
        yield 1.0


def _cyclic() -> dict[str, Any]:
    itself: dict[str, Any] = {"one": 1.0}
    itself["itself"] = itself
    return itself


arrays = st.sampled_from(
    [
        np.float16(0.5),
        np.float32(1.5),
        np.longdouble(0.25),
        np.int8(-3),
        np.uint64(2**64 - 1),
        np.bool_(True),
        np.array(2.5),
        np.array([[2.5]]),
        np.array([1.0, 2.0]),
        np.array([]),
        np.array(1 + 2j),
        np.array("words"),
        np.array(None),
        np.array(["x"], dtype=object),
        np.datetime64("2020-01-01"),
        np.ma.masked,
    ]
)
plain = st.one_of(
    st.floats(),
    st.integers(),
    st.just(10**400),
    st.booleans(),
    st.none(),
    st.text(max_size=5),
    st.binary(max_size=3),
    st.complex_numbers(),
)
objects = st.sampled_from(
    [
        lambda: 1.0,
        generator,
        Rude,
        Numeric,
        object,
        type,
        _cyclic,
        iter,
        lambda *_: None,
        lambda: Ellipsis,
        lambda: [1.0, 2.0],
        lambda: {1.0},
        lambda: range(3),
        lambda: Decimal("0.5"),
        lambda: Fraction(1, 2),
        lambda: torch.float32,
        lambda: torch.Size([2]),
        lambda: nn.Linear(1, 1),
        lambda: Text("words"),
        lambda: Text("\x00\ud800 <script>"),
        lambda: Histogram.of(torch.tensor([1.0, math.nan])),
        lambda: Image(np.zeros((2, 2, 3), np.uint8)),
        lambda: Video(np.zeros((2, 2, 2, 1), np.uint8)),
    ]
).map(lambda make: make() if make not in (iter, type) else make)
values = st.one_of(tensors(), tensors(), arrays, plain, objects)

words = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", " ", "/", "a/b", "../x", "\x00", "\n", "\ud800", "é", "模型", "🐡", "loss/", "x" * 20_000]),
)
names = st.one_of(words, words, words, st.sampled_from([0, 1.5, None, True, ("a", 1), b"x", torch.float32, Numeric]))


def mappings(of: st.SearchStrategy[Any], most: int = 4) -> st.SearchStrategy[Any]:
    """Mappings of several classes."""
    kinds = st.sampled_from([dict, dict, dict, OrderedDict, UserDict, nn.ParameterDict])
    return st.builds(_as, kinds, st.dictionaries(names, of, max_size=most))


def _as(kind: Callable[[Any], Any], pairs: dict[Any, Any]) -> Any:
    try:
        return kind(pairs)
    except Exception:  # one that does not take every name or value
        return pairs


nested = st.recursive(values, lambda inner: mappings(inner, 3), max_leaves=6)
