"""Values with a unit: ``5s``, ``200ms``, ``2m``, ``1h`` for keys that end in ``_seconds``; ``64KiB``, ``1MB`` for ``_bytes``.

A plain number means seconds, or bytes. Units of bytes are those of IEC 80000-13: ``KiB`` is 1024, ``kB`` is 1000.
"""

from __future__ import annotations

import re
from typing import Any, Final

SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
BYTES: Final = {
    "B": 1,
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMG", 1)},
    **{f"{letter}B": 1000**power for power, letter in enumerate("kMG", 1)},
    "KB": 1000,
}
#: For schemas: texts that are accepted as seconds.
SECONDS_PATTERN: Final = rf"^[0-9]+(\.[0-9]+)? *({'|'.join(SECONDS)})$"
BYTES_PATTERN: Final = rf"^[0-9]+(\.[0-9]+)? *({'|'.join(BYTES)})$"

_VALUE: Final = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?) *([A-Za-zµ]+)")


def with_unit(key: str, value: Any) -> Any:
    """``value`` converted to the unit in the name of its key; a plain number, or a key without a unit, is returned as it is.

    Raises:
        ValueError: the unit is unknown, or the value is a truth value (YAML's ``yes`` and ``on``, which would count as 1).
    """
    if not key.endswith(("_seconds", "_bytes")):
        return value
    if isinstance(value, bool):
        raise ValueError("must be a number, not a truth value")
    if not isinstance(value, str):
        return value
    return _seconds(value) if key.endswith("_seconds") else _bytes(value)


def _seconds(text: str) -> Any:
    number, unit = _split(text)
    if unit is None:
        return text  # a number in quotes, or a mistake that is reported as for any number
    if unit not in SECONDS:
        raise ValueError(f"{text!r} has no unit of time: write a number of seconds, or one with ms, s, m or h")
    # By division: 200 * 0.001 is not 0.2.
    return number / 1000 if unit == "ms" else number * SECONDS[unit]


def _bytes(text: str) -> Any:
    number, unit = _split(text)
    if unit is None:
        return text
    if unit not in BYTES:
        near = next((name for name in ("KiB", "MiB", "GiB") if unit.upper()[:1] == name[0]), None)
        hint = f"did you mean {number:g}{near}?" if near else "write a number of bytes, or one with KiB, MiB or GiB"
        raise ValueError(f"{text!r} has no unit of size: {hint}")
    size = number * BYTES[unit]
    if size != int(size):
        raise ValueError(f"{text!r} is no whole number of bytes")
    return int(size)


def _split(text: str) -> tuple[float, str | None]:
    found = _VALUE.fullmatch(text.strip())
    return (float(found[1]), found[2]) if found else (0.0, None)
