"""The lease, followed through the life of a dataplane."""

from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from shoal.pulse.ownership import Ownership
from shoal.system.lease import NOT_IN_USE, PIN_NAME

ADDRESSES = (IPv4Address("192.0.2.10"),)


class FakeLease:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []

    def set_addresses(self, addresses: Sequence[IPv4Address]) -> None:
        self.calls.append(("addresses", tuple(addresses)))

    def renew(self, until: int) -> None:
        self.calls.append(("renew", until))

    def begin_handover(self, until: int) -> None:
        self.calls.append(("handover", until))

    def close(self) -> None:
        self.calls.append(("close", None))


class Rig:
    """An ownership over a folder, and every lease that it opened."""

    def __init__(self, pins: Path) -> None:
        self.pin = pins / PIN_NAME
        self.pin.parent.mkdir(exist_ok=True)
        self.leases: list[FakeLease] = []
        self.ownership = Ownership(pins, self._open)
        self.ownership.set_addresses(ADDRESSES)

    def _open(self, pins: Path) -> FakeLease | None:
        if not (pins / PIN_NAME).exists():
            return None
        self.leases.append(FakeLease())
        return self.leases[-1]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_without_a_dataplane_it_is_not_ready_and_takes_every_word(rig: Rig) -> None:
    rig.ownership.check()
    rig.ownership.renew(1.5)
    rig.ownership.begin_handover(2.5)
    assert not rig.ownership.ready


def test_a_dataplane_that_appears_gets_the_addresses_and_what_was_said_before(rig: Rig) -> None:
    rig.ownership.renew(1.5)
    rig.ownership.begin_handover(2.5)
    rig.pin.touch()
    rig.ownership.check()
    assert rig.ownership.ready
    assert rig.leases[0].calls == [
        ("addresses", ADDRESSES),
        ("renew", 1_500_000_000),
        ("handover", 2_500_000_000),
    ]


def test_the_lease_of_a_predecessor_runs_on_until_the_election_speaks(rig: Rig) -> None:
    rig.pin.touch()
    rig.ownership.check()
    assert rig.leases[0].calls == [("addresses", ADDRESSES)]


def test_no_lease_in_use_is_said_as_such_and_an_old_time_is_not_mistaken_for_it(rig: Rig) -> None:
    rig.pin.touch()
    rig.ownership.check()
    rig.ownership.renew(None)
    rig.ownership.renew(0.0)
    assert rig.leases[0].calls[1:] == [("renew", NOT_IN_USE), ("renew", 1)]


def test_a_replaced_dataplane_is_followed(rig: Rig, tmp_path: Path) -> None:
    rig.pin.touch()
    rig.ownership.check()
    rig.ownership.renew(7.0)
    (tmp_path / "new").touch()
    (tmp_path / "new").rename(rig.pin)
    rig.ownership.check()
    assert rig.leases[0].calls[-1] == ("close", None)
    assert rig.leases[1].calls == [("addresses", ADDRESSES), ("renew", 7_000_000_000)]


def test_a_pin_that_is_away_for_a_moment_is_waited_for_and_not_for_ever(rig: Rig) -> None:
    rig.pin.touch()
    rig.ownership.check()
    rig.pin.unlink()
    for _ in range(3):
        rig.ownership.check()
        assert rig.ownership.ready
    rig.ownership.check()
    assert not rig.ownership.ready
