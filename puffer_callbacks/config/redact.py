"""Redaction of secrets before they reach a log."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from copy import copy
from typing import Any

from puffer_callbacks.config.flatten import DEEPEST, is_record, is_sequence, items_of

REDACTED = "<redacted>"

_COUNTED = ("max", "min", "num", "new", "total", "pad", "bos", "eos", "unk", "sep", "cls", "mask", "special")
_NO_SECRET = "".join(f"(?<!{word})(?<!{word}[_-])" for word in _COUNTED)
"""Tokens of a tokenizer: ``max_tokens``, ``pad_token``; with ``token_id`` they are no secrets."""

SECRET_NAMES = (
    "api[_-]?key",
    "access[_-]?key",
    "private[_-]?key",
    "credential",
    "passwd",
    "password",
    "passphrase",
    "secret",
    r"(^|[_\-./ ])(auth|authorization|bearer|cookie|pwd)s?($|[_\-./ ])",
    r"(?-i:(?<=[a-z])(Auth|Authorization|Bearer|Cookie|Pwd)s?($|[A-Z_\-./ ]))",
    rf"(^|[_\-./ ]){_NO_SECRET}tokens?(?![_-]ids?($|[^a-z]))($|[_\-./ ])",
    rf"(?-i:(?<=[a-z]){_NO_SECRET}Tokens?(?!Ids?($|[^a-z]))($|[A-Z_\-./ ]))",
)
"""Regular expressions of names that are treated as secrets, in any case."""

_SECRET_VALUES = re.compile(
    r"(?P<key>"
    r"\b(?:sk|pk|rk)[-_](?:[a-z]+[-_])*[A-Za-z0-9_-]{16,}"  # OpenAI, Stripe
    r"|\b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}"
    r"|\bhf_[A-Za-z0-9]{20,}|\bglpat-[A-Za-z0-9_-]{16,}|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_-]{30,}|\bya29\.[A-Za-z0-9_-]{20,}"
    r"|\bwandb_v1_[A-Za-z0-9_]{20,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"  # JSON web tokens
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*"
    r"|(?<=\b[Bb]earer )[^\s'\"]+"
    r")"
    r"|(?P<hex>\b[0-9a-f]{40}\b)"  # W&B keys; hashes of commits and files have the same form
    r"|(?P<userinfo>(?<=://)[^/\s:@]*:[^/\s@]+(?=@))",
    re.DOTALL,
)

_PAIR = re.compile(
    r"(?P<name>--[\w.-]+\s+|[\w.-]+['\"]?\s*[=:]\s*)"
    r"(?P<value>'[^']*'|\"[^\"]*\"|(?!//)[^\s'\",;&?=)}\]]+)"
)
"""A name and its value within a text: ``token=…``, ``'token': '…'``, ``--token …``."""


_HASH = re.compile(r"commit|hash|checksum|digest|(^|[^a-z])(git|github|rev|revision|sha1?)([^a-z]|$)", re.IGNORECASE)
"""Names before 40 hexadecimal digits that are not a secret."""


class Redactor:
    """A function that replaces secrets, recognized by their name or by the format of their value.

    Args:
        names: regular expressions, searched for in each name in any case.

    Raises:
        ValueError: if a pattern is not a regular expression.

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
        """The value, or its redacted replacement."""
        if isinstance(value, str):
            return REDACTED if self._is_secret(name) and value not in ("", "None") else self._text(name, value)
        is_count = isinstance(value, bool) or "tokens" in name.rpartition("/")[2].lower()
        return REDACTED if self._is_secret(name) and not is_count else value

    def redact_all(self, config: Any) -> Any:
        """A nested configuration with every secret in it replaced; each part without a secret is the same object.

        Args:
            config: a value, or a mapping, ``Namespace``, dataclass, list or tuple of values.

        Example:
            >>> Redactor().redact_all({"gamma": 0.99, "wandb": {"api_key": "abc"}})
            {'gamma': 0.99, 'wandb': {'api_key': '<redacted>'}}
        """
        return self._redact_all(config, "", DEEPEST)

    def _redact_all(self, config: Any, name: str, depth: int) -> Any:
        if isinstance(config, str | int | float):
            value = self(name, config)
            return config if value == config else value
        parts = _parts(config) if depth else {}
        redacted = {key: self._redact_all(part, f"{name}/{key}", depth - 1) for key, part in parts.items()}
        changed = {key: part for key, part in redacted.items() if part is not parts[key]}
        return _with_parts(config, changed) if changed else config

    def _is_secret(self, name: str) -> bool:
        return self._names.search(name) is not None

    def _text(self, name: str, text: str) -> str:
        """The text with every secret in it replaced."""

        def redacted(found: re.Match[str]) -> str:
            before = f"{name} {text[max(0, found.start() - 40) : found.start()]}"
            return found[0] if found["hex"] and _HASH.search(before) else REDACTED

        return _PAIR.sub(self._pair, _SECRET_VALUES.sub(redacted, text))

    def _pair(self, pair: re.Match[str]) -> str:
        return f"{pair['name']}{REDACTED}" if self._is_secret(pair["name"].strip(" \t\n'\"=:")) else pair[0]


def _parts(config: Any) -> dict[Any, Any]:
    """The values that a configuration holds, by their names or positions."""
    if isinstance(config, Mapping) or is_sequence(config):
        return dict(items_of(config))
    if is_record(config):
        return {**dict(items_of(config)), **getattr(config, "__dict__", {})}  # not all attributes are fields
    return {}


def _with_parts(config: Any, changed: dict[Any, Any]) -> Any:
    """A copy of the configuration with some of its parts changed."""
    if isinstance(config, Mapping):
        return _with_entries(config, changed)
    if is_sequence(config):
        return list((_parts(config) | changed).values())
    other = copy(config)
    for name, part in changed.items():
        object.__setattr__(other, name, part)  # a frozen dataclass refuses its own
    return other


def _with_entries(config: Mapping[Any, Any], changed: dict[Any, Any]) -> Any:
    """A copy of the same kind where that is a dictionary that can be changed, else a plain one."""
    if isinstance(config, dict):
        with suppress(Exception):
            other = copy(config)  # a defaultdict, for one, is not made of its entries alone
            for name, part in changed.items():
                other[name] = part
            return other
    return _parts(config) | changed
