"""The difference between the state a dataplane should be in and the one it is in, as steps. Pure.

Order of steps: the timeouts; services that go and whose listener another one takes; then what is put, by name, except
that
whoever gives up a listener comes before whoever takes it; then the other services that go. Where services
hand listeners round in a circle, one of them is first put without what it gives up.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import replace

from shoal.dataplane.base import (
    DataplaneState,
    Destination,
    PutService,
    RemoveService,
    Service,
    SetTimeouts,
    Step,
)
from shoal.dataplane.differences import option_changes, timeout_changes
from shoal.model import EVERYBODY, Encapsulation, Listener, Persistence, endpoint

Claim = Listener | int
_FEW = 8  # real servers of a new service that the journal names


def plan(desired: DataplaneState, actual: DataplaneState) -> tuple[Step, ...]:
    """The fewest steps from ``actual`` to ``desired``; empty when they mean the same.

    The order of a service's listeners and scheduler flags means nothing; that of its destinations does, since
    schedulers go by it.
    """
    changed = sorted(
        name
        for name, service in desired.services.items()
        if (old := actual.services.get(name)) is None or not _same(service, old)
    )
    pending = {name: desired.services[name] for name in changed}
    taken = {claim for service in pending.values() for claim in _claims(service)}
    gone = sorted(actual.services.keys() - desired.services.keys())
    first = [name for name in gone if not taken.isdisjoint(_claims(actual.services[name]))]
    held = {name: actual.services[name] for name in pending.keys() & actual.services.keys()}
    said = timeout_changes(desired.timeouts, actual.timeouts)
    return (
        *((SetTimeouts(timeouts=desired.timeouts, changes=said),) if said else ()),
        *(RemoveService(name=name) for name in first),
        *_puts(pending, held=held),
        *(RemoveService(name=name) for name in gone if name not in first),
    )


def _claims(service: Service) -> tuple[Claim, ...]:
    """What no two services can have: listeners, and firewall marks as their numbers."""
    return (*service.listeners, *service.marks)


def _same(one: Service, other: Service) -> bool:
    if one is other or one == other:  # the usual case, and much quicker told
        return True
    return _unordered(one) == _unordered(other)


def _unordered(service: Service) -> tuple[Service, set[Claim], set[str]]:
    plain = replace(_spelled_out(service), listeners=(), marks=(), scheduler_flags=())
    return plain, set(_claims(service)), set(service.scheduler_flags)


def _spelled_out(service: Service) -> Service:
    """With each destination's method, and its encapsulation where it has one."""
    destinations = tuple(
        replace(each, method=service.method_of(each), encap=encap, encap_port=port)
        for each in service.destinations
        for encap, port in [service.encapsulation_of(each)]
    )
    return replace(service, destinations=destinations)


def _puts(pending: dict[str, Service], *, held: dict[str, Service]) -> list[Step]:
    """Every pending service once, in a circle one of them twice. ``held`` is what they are now; both are used up."""
    steps: list[Step] = []
    owners = {claim: name for name, service in held.items() for claim in _claims(service)}
    takers: dict[Claim, list[str]] = {}
    for name, service in pending.items():
        for claim in _claims(service):
            takers.setdefault(claim, []).append(name)
    ready = sorted(pending)  # a heap: all that may be put now are in it, and some that may not
    while pending:
        free = _next_ready(ready, pending, owners=owners)
        if free is None:
            name = min(each for service in pending.values() for each in _blockers(service, owners=owners))
            wanted = {each for other in pending.keys() - {name} for each in _claims(pending[other])}
            kept = tuple(each for each in held[name].listeners if each not in wanted)
            marks = tuple(each for each in held[name].marks if each not in wanted)
            service = replace(held[name], listeners=kept, marks=marks)
        else:
            name, service = free, pending.pop(free)
        old = held.get(name)
        steps.append(PutService(service=service, changes=changes(service, old)))
        held[name] = service
        kept_claims = frozenset(_claims(service))
        for claim in () if old is None else _claims(old):
            if owners.get(claim) == name and claim not in kept_claims:
                del owners[claim]
                for taker in takers.get(claim, ()):
                    heapq.heappush(ready, taker)
        owners.update(dict.fromkeys(kept_claims, name))
    return steps


def _next_ready(
    ready: list[str], pending: Mapping[str, Service], *, owners: Mapping[Claim, str]
) -> str | None:
    """The first pending service by name that takes no listener from another; None in a circle."""
    while ready:
        name = heapq.heappop(ready)
        if name in pending and not _blockers(pending[name], owners=owners):
            return name
    return None


def _blockers(service: Service, *, owners: Mapping[Claim, str]) -> set[str]:
    """The other services that hold a listener which this one takes."""
    return {owners.get(claim, service.name) for claim in _claims(service)} - {service.name}


def changes(new: Service, old: Service | None) -> tuple[str, ...]:
    """What differs, for people: ``weight of 10.0.1.21:80 1 -> 3``, ``added 10.0.1.23:80``."""
    if old is None:
        old = replace(
            new, listeners=(), marks=(), destinations=(), admission=EVERYBODY, one_packet=False, sloppy=False
        )
    said = [f"added listener {each}" for each in new.listeners if each not in old.listeners]
    said += [f"removed listener {each}" for each in old.listeners if each not in new.listeners]
    said += [f"added listener fwmark:{each}" for each in new.marks if each not in old.marks]
    said += [f"removed listener fwmark:{each}" for each in old.marks if each not in new.marks]
    settings = (
        ("scheduler", new.scheduler, old.scheduler),
        ("scheduler flags", _shown_flags(new), _shown_flags(old)),
        ("method", str(new.method), str(old.method)),
        ("connections of removed real servers", str(new.on_removal), str(old.on_removal)),
        ("connections of real servers that are down", str(new.on_down), str(old.on_down)),
        ("MSS clamp", _shown_clamp(new.mss_clamp), _shown_clamp(old.mss_clamp)),
        ("persistence", _shown_persistence(new.persistence), _shown_persistence(old.persistence)),
    )
    said += [f"{setting} {before} -> {after}" for setting, after, before in settings if before != after]
    return (*said, *option_changes(new, old), *_destination_changes(new, old))


def _shown_flags(service: Service) -> str:
    return " ".join(sorted(service.scheduler_flags)) or "none"


def _shown_clamp(clamp: bool | int) -> str:
    if clamp is True:
        return "what fits"
    return f"{clamp} bytes" if clamp else "none"


def _shown_persistence(persistence: Persistence | None) -> str:
    if persistence is None:
        return "none"
    kept = f"{persistence.timeout} s for each /{persistence.ipv4_prefix} or IPv6 /{persistence.ipv6_prefix}"
    kept += " but of quiesced" if persistence.expire_quiescent else ""
    return kept if persistence.expire_removed else f"{kept} and of removed"


def _destination_changes(new: Service, old: Service) -> list[str]:
    if not old.destinations:
        return _additions(new.destinations)
    before = {each.endpoint: each for each in old.destinations}
    after = {each.endpoint: each for each in new.destinations}
    said: list[str] = []
    for key, destination in after.items():
        if key not in before:
            said.append(_addition(destination))
            continue
        said += _changes_of(destination, before[key])
        method, former = new.method_of(destination), old.method_of(before[key])
        if method != former:
            said.append(f"method of {_shown(destination)} {former} -> {method}")
        outer, outer_before = new.encapsulation_of(destination), old.encapsulation_of(before[key])
        if outer != outer_before and method == former:
            shown = f"{_shown_encapsulation(outer_before)} -> {_shown_encapsulation(outer)}"
            said.append(f"encapsulation of {_shown(destination)} {shown}")
    said += [f"removed {_shown(each)}" for key, each in before.items() if key not in after]
    if [each for each in before if each in after] != [each for each in after if each in before]:
        said.append("order of the real servers")
    return said


def _shown_encapsulation(encapsulation: tuple[Encapsulation, int]) -> str:
    encap, port = encapsulation
    return f"{encap} port {port}" if encap is Encapsulation.GUE else str(encap)


def _additions(destinations: Sequence[Destination]) -> list[str]:
    """Those of a new service: each by itself while they are few."""
    if len(destinations) <= _FEW:
        return [_addition(each) for each in destinations]
    down = sum(not each.available for each in destinations)
    return [f"added {len(destinations)} real servers" + (f", {down} of them down" if down else "")]


def _addition(destination: Destination) -> str:
    return f"added {_shown(destination)}" + ("" if destination.available else ", down")


def _changes_of(new: Destination, old: Destination) -> list[str]:
    said = []
    if new.weight != old.weight:
        said.append(f"weight of {_shown(new)} {old.weight} -> {new.weight}")
    if new.available != old.available:
        said.append(f"{_shown(new)} {'up' if new.available else 'down'}")
    if new.draining != old.draining:
        said.append(f"{_shown(new)} {'draining' if new.draining else 'no longer draining'}")
    if new.cut and not old.cut:
        said.append(f"connections of {_shown(new)} cut")
    if (new_limits := _shown_thresholds(new)) != (limits := _shown_thresholds(old)):
        said.append(f"thresholds of {_shown(new)} {limits} -> {new_limits}")
    return said


def _shown_thresholds(destination: Destination) -> str:
    upper, lower = destination.upper_threshold, destination.lower_threshold
    return "none" if not upper else f"{upper}" if not lower else f"{upper}, then {lower}"


def _shown(destination: Destination) -> str:
    return endpoint(*destination.endpoint)
