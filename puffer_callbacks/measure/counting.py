"""Counting floats by their top bits, a chunk at a time: the inner loop of the sketch.

The sign, the exponent and three bits of the mantissa of a float32 are its top 12 bits, so a shift gives the bin.
A chunk is small enough to stay in the processor's cache while several operations pass over it.
"""

import torch
from torch import Tensor

CHUNK = 1 << 18
"""The most numbers in one chunk."""

SHIFT = 20
BINS = 1 << 12
"""Top bits of a float32, and how many patterns of them there are."""

_FLUSH = 1 << 30


class Tally:
    """Counts of one tensor's float32, by their top bits, with totals of each chunk.

    Rows of a table are counted in side by side, which is what lets the threads (or an accelerator's cores) share
    the work; the rows are added at the end.

    Args:
        size: the most numbers in one chunk.
        device: where the chunks are.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        self._rows = torch.get_num_threads() if device.type == "cpu" else 64
        padded = -(-size // self._rows) * self._rows
        self._single = torch.empty(size, dtype=torch.float32, device=device)
        self._bits = torch.empty(size, dtype=torch.int32, device=device)
        self._index = torch.empty(padded, dtype=torch.int64, device=device)
        self._double = self._index.view(torch.float64)  # the two are never needed at once
        self._ones = torch.ones(padded, dtype=torch.int32, device=device)
        self._table = torch.zeros(self._rows, BINS + 1, dtype=torch.int32, device=device)
        self._counted = 0

    def add(self, chunk: Tensor, counts: Tensor) -> list[Tensor]:
        """Count a chunk.

        Args:
            chunk: flat and contiguous, of at most ``size`` numbers that are exact in float32.
            counts: int64 [BINS]; the table is emptied into it before it can overflow.

        Returns:
            Minimum and maximum (float32), sum and sum of squares (float64), each 0-d; NaN where one of the
            numbers is.
        """
        n = chunk.numel()
        if chunk.dtype != torch.float32:
            chunk = self._single[:n].copy_(chunk)
        bits = torch.bitwise_right_shift(chunk.view(torch.int32), SHIFT, out=self._bits[:n]).bitwise_and_(BINS - 1)
        columns = -(-n // self._rows)
        index = self._index[: columns * self._rows]
        index[:n].copy_(bits)
        index[n:] = BINS  # what pads the last row goes into a column of its own
        self._table.scatter_add_(1, index.view(self._rows, -1), self._ones[: len(index)].view(self._rows, -1))
        self._counted += n
        if self._counted > _FLUSH:
            self.empty_into(counts)
        wide = self._double[:n].copy_(chunk)
        return [*torch.aminmax(chunk), wide.sum(), wide.dot(wide)]

    def empty_into(self, counts: Tensor) -> None:
        """Add the table to ``counts``, int64 [BINS], and start over."""
        counts += self._table[:, :BINS].sum(0)
        self._table.zero_()
        self._counted = 0
