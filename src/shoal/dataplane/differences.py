"""What differs between two services or two sets of timeouts, for people. Pure."""

from collections.abc import Mapping

from shoal.dataplane.base import Service
from shoal.model import Admission, ConnectionState, Network

_FEW = 4


def option_changes(new: Service, old: Service) -> list[str]:
    """The options of a service that take one value each, and its access lists."""
    settings = (
        ("one_packet", _switch(new.one_packet), _switch(old.one_packet)),
        ("sloppy", _switch(new.sloppy), _switch(old.sloppy)),
        ("drain_timeout", _seconds(new.drain_timeout), _seconds(old.drain_timeout)),
        ("connection_limit", _limit(new.admission), _limit(old.admission)),
        ("source_rate", _rate(new.admission), _rate(old.admission)),
    )
    said = [f"{setting} {before} -> {after}" for setting, after, before in settings if before != after]
    for key, after, before in (
        ("allow", new.admission.allow, old.admission.allow),
        ("deny", new.admission.deny, old.admission.deny),
    ):
        said += _list_changes(key, after=set(after), before=set(before))
    return said


def timeout_changes(
    new: Mapping[ConnectionState, float], old: Mapping[ConnectionState, float]
) -> tuple[str, ...]:
    """``timeout of established 900 -> 600 s``."""
    return tuple(
        f"timeout of {state} {old.get(state, 0):g} -> {seconds:g} s"
        for state, seconds in new.items()
        if old.get(state) != seconds
    )


def _switch(on: bool) -> str:
    return "on" if on else "off"


def _seconds(timeout: int) -> str:
    return f"{timeout} s" if timeout else "none"


def _limit(admission: Admission) -> str:
    return str(admission.connection_limit or "none")


def _rate(admission: Admission) -> str:
    return f"{admission.source_rate} burst {admission.source_burst}" if admission.source_rate else "none"


def _list_changes(key: str, *, after: set[Network], before: set[Network]) -> list[str]:
    """Single entries while they are few."""
    said = []
    for verb, entries in (("added to", after - before), ("removed from", before - after)):
        if len(entries) > _FEW:
            said.append(f"{len(entries)} networks {verb} {key}")
        else:
            said += [f"{each} {verb} {key}" for each in sorted(map(str, entries))]
    return said
