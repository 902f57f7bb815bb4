"""Durations as text."""


def duration(seconds: float) -> str:
    """Seconds as readable text.

    Example:
        >>> duration(3.84), duration(75), duration(7500)
        ('3.8 s', '1 min 15 s', '2 h 5 min')
    """
    if round(seconds) < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
