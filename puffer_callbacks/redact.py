"""Secrets, kept out of every log."""

import re
from collections.abc import Iterable

REDACTED = "<redacted>"

SECRET_NAMES = (
    "api_?key",
    "access_?key",
    "private_?key",
    "credential",
    "passwd",
    "password",
    "passphrase",
    "secret",
    r"(^|[_\-./ ])(auth|bearer|cookie|pwd|token)s?($|[_\-./ ])",
)
"""Patterns of the names that are taken for secrets, whatever their case."""

_SECRET_VALUES = re.compile(
    r"(?P<key>"
    r"\b(?:sk|pk|rk)[-_](?:[a-z]+[-_])*[A-Za-z0-9_-]{16,}"  # OpenAI, Stripe
    r"|\b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}"
    r"|\bhf_[A-Za-z0-9]{20,}|\bglpat-[A-Za-z0-9_-]{16,}|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_-]{30,}|\bya29\.[A-Za-z0-9_-]{20,}"
    r"|\bwandb_v1_[A-Za-z0-9_]{20,}|\b[0-9a-f]{40}\b"  # W&B keys, and whatever else is 40 hexadecimal digits
    r"|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"  # JSON web tokens
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*"
    r")"
    r"|(?P<userinfo>(?<=://)[^/\s:@]*:[^/\s@]+(?=@))",
    re.DOTALL,
)


class Redactor:
    """Replaces what looks like a secret, by its name or by its form.

    Args:
        names: regular expressions, searched for in each name without regard to case.

    Raises:
        ValueError: if a pattern is no regular expression.

    Example:
        >>> redactor = Redactor()
        >>> redactor("wandb/api_key", "abc"), redactor("url", "https://me:pw@host/x"), redactor("gamma", 0.99)
        ('<redacted>', 'https://<redacted>@host/x', 0.99)
    """

    def __init__(self, names: Iterable[str] = SECRET_NAMES) -> None:
        names = (names,) if isinstance(names, str) else tuple(names)
        try:
            self._names = re.compile("|".join(f"(?:{name})" for name in names) or r"(?!)", re.IGNORECASE)
        except re.error as error:
            raise ValueError(f"redact: expected regular expressions, got {names!r} ({error})") from None

    def __call__(self, name: str, value: float | str) -> float | str:
        """The value, or what is shown in its place."""
        if self._names.search(name) and value not in ("", "None") and not isinstance(value, bool):
            return REDACTED
        return _SECRET_VALUES.sub(REDACTED, value) if isinstance(value, str) else value
