"""``ContinuedCount``: a count that continues after a resume."""


class ContinuedCount:
    """Continues a count from a checkpoint, also where what counts begins anew.

    Lightning's checkpoints hold parameters and buffers: an attribute such as ``env_steps`` begins at 0 after a resume,
    unless the module saves it. Whether it was saved shows when the count first moves: a restored one, also one that is
    restored after the start, is not below the checkpoint's.

    Example:
        >>> count = ContinuedCount()
        >>> count.resume_at(9600)
        >>> count.start(0)
        >>> count.of(0), count.of(128)
        (9600, 9728)
    """

    def __init__(self) -> None:
        self._saved: int | None = None
        self._start: int | None = None
        self._offset = 0
        self.first_rise: int | None = None
        """How far the count first rose in the run; one that begins anew as a rule rises as far again."""

    def resume_at(self, saved: int | None, *, first_rise: int | None = None) -> None:
        """Continue at a checkpoint's count."""
        self._saved, self._offset, self.first_rise = saved, 0, first_rise

    def start(self, count: int | None) -> None:
        """Training begins at this count; ``None`` where it is not known before the first rollout."""
        self._start = count

    def of(self, count: int) -> int:
        """The continued count."""
        if self._saved is not None:
            if count == self._start:
                return self._saved
            self._offset = 0 if self._is_restored(count, self._saved) else self._saved - (self._start or 0)
            self._saved = None
        if self.first_rise is None and count != self._start:
            self.first_rise = count - (self._start or 0)
        return count + self._offset

    def _is_restored(self, count: int, saved: int) -> bool:
        """Whether what counts has the checkpoint's count, which it may have taken after the start."""
        if self._start is not None and self._start > saved:  # of a later point in the same process
            return count < self._start
        if count == saved:  # or a count that begins anew has come as far as the checkpoint's, which was its first
            return saved != self.first_rise
        return count > saved
