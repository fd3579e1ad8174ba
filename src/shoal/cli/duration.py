"""Durations as an operator types them."""

import re

from shoal.errors import ConfigError

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]{1,9})([smhd]?)")


def seconds(text: str) -> float | None:
    """``90``, ``90s``, ``5m``, ``2h`` or ``1d`` in seconds; 0 for ``none``, None for nothing. Raises ConfigError."""
    if not text:
        return None
    if text == "none":
        return 0.0
    found = _DURATION.fullmatch(text)
    if found is None or not int(found[1]):
        raise ConfigError(
            where="--deadline", problem=f"{text!r} is not a duration", fix="use 90s, 5m, 2h, 1d or none"
        )
    return float(int(found[1]) * _UNITS[found[2]])
