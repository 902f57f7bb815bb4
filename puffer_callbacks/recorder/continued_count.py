"""A count that continues after a resume."""


class ContinuedCount:
    """Continues a count from a checkpoint, also where what counts begins anew.

    Lightning's checkpoints hold parameters and buffers: an attribute such as ``env_steps`` begins at 0 after a resume,
    unless the module saves it.

    Example:
        >>> count = ContinuedCount()
        >>> count.resume_at(9600)
        >>> count.start(0)
        >>> count.of(0), count.of(128)
        (9600, 9728)
    """

    def __init__(self) -> None:
        self._saved: int | None = None
        self._first: int | None = None
        self._offset = 0

    def resume_at(self, saved: int | None) -> None:
        """Continue at a checkpoint's count."""
        self._saved, self._offset = saved, 0

    def start(self, count: int | None) -> None:
        """Training begins at this count; ``None`` where it is not known before the first rollout."""
        self._first = count

    def of(self, count: int) -> int:
        """The continued count."""
        if self._saved is not None:
            if count == self._first:
                return self._saved
            self._offset, self._saved = self._offset_at(count, self._saved), None
        return count + self._offset

    def _offset_at(self, count: int, saved: int) -> int:
        if self._first is None:
            return saved if count < saved else 0
        return 0 if count == saved else saved - self._first  # the module may restore its count late
