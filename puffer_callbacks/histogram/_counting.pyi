"""Loops over float32 numbers, which lie side by side at an address in the host's memory."""

def sketch(
    addresses: list[int], sizes: list[int], first_bin: int, threads: int, /
) -> tuple[list[tuple[int, float, float, float, float] | None], bytes, bytes]:
    """Of each tensor where its bins end, and the totals; then the bins that hold something and their counts.

    The bins are int32, their counts int64. ``None`` stands where there is what only the slow way counts right:
    denormals, or what is not finite. Other Python threads run meanwhile. No tensor may be empty.
    """
