"""What the interfaces that Shoal uses must be set to, and as they were before when Shoal has gone."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from shoal.errors import ConfigError, ForbiddenError
from shoal.system.atomic import write_atomically

SYSCTLS = Path("/proc/sys")
_IPV6 = "net/ipv6/conf"
_PORT_RANGE = "net/ipv4/ip_local_port_range"
_RESERVED = "net/ipv4/ip_local_reserved_ports"
NEEDED = {
    "forwarding": "1",
    # a floating address is a secondary of the router's own; should it ever come first, removing it must not take
    # the router's own along
    "promote_secondaries": "1",
}


def prepare_interfaces(interfaces: Iterable[str], *, ipv6: bool, memory: Path) -> None:
    """Make these interfaces fit for a router, as ``set_remembered`` does. ``ipv6``: for that family too."""
    wanted = {
        f"net/ipv4/conf/{interface}/{name}": value
        for interface in interfaces
        for name, value in NEEDED.items()
    }
    set_remembered(wanted | (_ipv6_forwarding() if ipv6 else {}), memory=memory)


def reserve_ports(ports: range, *, memory: Path) -> None:
    """Keep the kernel from giving these to the host's own connections; those reserved before stay so.

    Raises ConfigError when the kernel would have none left to give.
    """
    first, last = map(int, (SYSCTLS / _PORT_RANGE).read_text().split())
    if ports.start <= first and last < ports.stop:
        raise ConfigError(
            problem=f"ports {ports.start}-{ports.stop - 1} leave none to the router's own connections",
            where="dataplane.fullnat_ports",
            fix=f"leave some of {first}-{last} out (net.ipv4.ip_local_port_range), such as health checks come from",
        )
    before = _remembered(memory).get(_RESERVED)
    if before is None:
        before = (SYSCTLS / _RESERVED).read_text().strip()
    reserved = f"{before},{ports.start}-{ports.stop - 1}".lstrip(",")
    set_remembered({_RESERVED: reserved}, memory=memory)


def _ipv6_forwarding() -> dict[str, str]:
    """What makes this host forward IPv6, in the order of writing.

    Only ``all`` counts for forwarding (``ip6_forward`` in net/ipv6/ip6_output.c). Writing it writes that of every
    interface, so those are here to be remembered. A host that forwards takes no router advertisements and drops the
    default routes that it had from them, unless ``accept_ra`` is 2 before it begins
    (Documentation/networking/ip-sysctl.rst): an interface that took them goes on so.
    """
    interfaces = sorted(folder.name for folder in (SYSCTLS / _IPV6).glob("*") if folder.name != "all")
    taken = [name for name in interfaces if _takes_advertisements(name)]
    accept = {f"{_IPV6}/{name}/accept_ra": "2" for name in taken}
    forwarding = {f"{_IPV6}/{name}/forwarding": "1" for name in ("all", *interfaces)}
    return accept | forwarding


def _takes_advertisements(interface: str) -> bool:
    """Whether an interface takes router advertisements as a host does."""
    here = values(f"{_IPV6}/{interface}/{name}" for name in ("accept_ra", "forwarding"))
    return list(here.values()) == ["1", "0"]


def set_remembered(wanted: Mapping[str, str], *, memory: Path) -> None:
    """Set these (by their names under /proc/sys); ``memory`` keeps the values that were there before.

    A value that stands in ``memory`` already (a predecessor died) is not overwritten: it is the true one. What does
    not exist, such as that of an interface that has gone, is passed over.
    """
    before = _remembered(memory)
    wanted = {name: value for name, value in wanted.items() if (SYSCTLS / name).exists()}
    for name in wanted:
        before.setdefault(name, (SYSCTLS / name).read_text().strip())
    write_atomically(memory, json.dumps(before).encode())
    for name, value in wanted.items():
        _write(name, value)


def values(names: Iterable[str]) -> dict[str, str]:
    """The values now of those that exist."""
    return {name: (SYSCTLS / name).read_text().strip() for name in names if (SYSCTLS / name).exists()}


def restore(memory: Path) -> None:
    """Put back what ``set_remembered`` found. An interface that has gone is passed over."""
    for name, value in _remembered(memory).items():
        if (SYSCTLS / name).exists():
            _write(name, value)
    memory.unlink(missing_ok=True)


def _remembered(memory: Path) -> dict[str, str]:
    try:
        kept: dict[str, str] = json.loads(memory.read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return kept


def _write(name: str, value: str) -> None:
    try:
        (SYSCTLS / name).write_text(value or "\n")  # nothing at all would not be written
    except OSError as error:
        raise ForbiddenError(
            problem=f"cannot set it to {value}: {error.strerror}",
            where=f"sysctl {name.replace('/', '.')}",
            fix="run as root, with /proc/sys writable (a container needs --privileged or its own sysctls)",
        ) from error
