"""Which floating addresses to add and to remove."""

from ipaddress import ip_interface

from hypothesis import given
from hypothesis import strategies as st

from shoal.pulse.floating import TAG, Changes, Place, Present, acquire, holds_all, release


def place(text: str, index: int = 2) -> Place:
    return Place(index=index, address=ip_interface(text))


def present(text: str, index: int = 2, protocol: int = TAG) -> Present:
    return Present(place=place(text, index), protocol=protocol)


def test_what_is_missing_is_added() -> None:
    assert acquire([place("192.0.2.1/32")], []) == Changes(add=(place("192.0.2.1/32"),))


def test_both_families_are_served_side_by_side() -> None:
    wanted = [place("192.0.2.1/32"), place("2001:db8::1/128")]
    assert acquire(wanted, [present("192.0.2.1/32")]) == Changes(add=(place("2001:db8::1/128"),))
    assert holds_all(wanted, [present("2001:db8::1/128"), present("192.0.2.1/32")])


def test_the_numbers_of_an_address_of_the_other_family_do_not_matter() -> None:
    there = [present("0.0.0.9/32")]
    assert acquire([place("::9/128")], there) == Changes(
        add=(place("::9/128"),), remove=(place("0.0.0.9/32"),)
    )


def test_what_is_there_is_left() -> None:
    assert acquire([place("192.0.2.1/32")], [present("192.0.2.1/32")]) == Changes()


def test_the_same_address_on_another_interface_is_another_one() -> None:
    changes = acquire([place("192.0.2.1/32")], [present("192.0.2.1/32", index=3)])
    assert changes == Changes(add=(place("192.0.2.1/32"),), remove=(place("192.0.2.1/32", 3),))


def test_an_address_of_somebody_else_is_served_and_never_removed() -> None:
    theirs = present("192.0.2.1/24", protocol=0)
    assert acquire([place("192.0.2.1/32")], [theirs]) == Changes(foreign=(theirs.place,))
    assert release([theirs]) == Changes()


def test_leftovers_of_another_configuration_go() -> None:
    assert acquire([], [present("192.0.2.9/32"), present("10.0.0.1/8", protocol=3)]) == Changes(
        remove=(place("192.0.2.9/32"),)
    )


def test_holding_means_all_and_ours() -> None:
    wanted = [place("192.0.2.1/32"), place("192.0.2.2/32")]
    assert holds_all(wanted, [present("192.0.2.2/32"), present("192.0.2.1/32")])
    assert not holds_all(wanted, [present("192.0.2.1/32")])
    assert not holds_all(wanted, [present("192.0.2.1/32"), present("192.0.2.2/32", protocol=0)])
    assert not holds_all([], [])


places = st.builds(
    Place,
    index=st.integers(1, 3),
    address=st.sampled_from(
        [
            ip_interface(text)
            for last in range(1, 4)
            for text in (f"192.0.2.{last}/32", f"2001:db8::{last}/128", f"2001:db8:1::{last}/64")
        ]
    ),
)


@given(st.lists(places), st.lists(st.builds(Present, place=places, protocol=st.sampled_from([0, 3, TAG]))))
def test_applied_changes_lead_to_what_was_desired_and_touch_nobody_elses(
    desired: list[Place], there: list[Present]
) -> None:
    there = list({entry.place: entry for entry in there}.values())
    changes = acquire(desired, there)
    after = {entry.place for entry in there} - set(changes.remove) | set(changes.add)
    theirs = {entry.place for entry in there if not entry.ours}
    assert after == set(desired) | theirs
    assert not theirs & set(changes.remove)
    assert {entry.place for entry in there} - set(release(there).remove) == theirs
