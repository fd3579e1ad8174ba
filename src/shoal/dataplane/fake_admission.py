"""Whom a service admits: for the fake dataplane. Pure."""

from ipaddress import IPv6Network

from shoal.dataplane.base import Drop, Service
from shoal.model import Address, Admission, Network


class Admissions:
    """Remembers when each source's next connection is due (the virtual scheduling algorithm, ITU-T I.371 annex A)."""

    def __init__(self) -> None:
        self._due: dict[tuple[str, Network | Address], float] = {}

    def judge(self, service: Service, source: Address, *, now: float) -> Drop | None:
        """Why a source may not begin a connection; None: it may."""
        if _is_denied(service.admission, source):
            return Drop.DENIED
        return Drop.SOURCE_RATE if self._comes_too_often(service, source, now=now) else None

    def _comes_too_often(self, service: Service, source: Address, *, now: float) -> bool:
        admission = service.admission
        if admission.source_rate is None:
            return False
        interval = admission.source_rate.period / admission.source_rate.count
        key = service.name, IPv6Network((source, 64), strict=False) if source.version == 6 else source
        begin = max(self._due.get(key, now), now)
        if begin - now > interval * (admission.source_burst - 1):
            return True
        self._due[key] = begin + interval
        return False


def _is_denied(admission: Admission, source: Address) -> bool:
    entries = [(each, False) for each in admission.allow] + [(each, True) for each in admission.deny]
    matching = [(each.prefixlen, refused) for each, refused in entries if source in each]
    return max(matching)[1] if matching else bool(admission.allow)
