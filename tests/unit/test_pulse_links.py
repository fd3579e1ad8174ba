"""Tracked links and their damping."""

from shoal.pulse.links import HOLD_DOWN, TrackedLinks


def flapped(times: int) -> TrackedLinks:
    """A link that went down and up so often, a second each, from time 0."""
    links = TrackedLinks({"public": True, "private": True})
    for second in range(times):
        links.change("public", up=False, now=second)
        links.change("public", up=True, now=second + 0.5)
    return links


def test_links_are_in_the_order_of_their_names() -> None:
    links = TrackedLinks({"public": False, "private": True})
    assert links.counted == (True, False)
    assert links.usable == ("private",)
    assert links.as_dict() == {"private": True, "public": False}


def test_a_loss_counts_at_once_and_so_does_a_return() -> None:
    links = flapped(0)
    assert links.change("public", up=False, now=1.0)
    assert links.counted == (True, False)
    assert links.change("public", up=True, now=2.0)
    assert links.counted == (True, True)


def test_what_is_no_change_is_none() -> None:
    links = flapped(0)
    assert not links.change("public", up=True, now=1.0)
    assert not links.change("unknown", up=True, now=1.0)


def test_the_fourth_loss_in_ten_seconds_holds_the_link_down_for_five() -> None:
    assert flapped(3).counted == (True, True)
    links = flapped(4)
    assert links.counted == (True, False)
    assert links.held("public")
    assert links.usable == ("private", "public")
    assert links.deadline == 3.5 + HOLD_DOWN
    assert links.settle(3.5 + HOLD_DOWN - 0.01) == ()
    assert links.settle(3.5 + HOLD_DOWN) == ("public",)
    assert links.counted == (True, True)
    assert links.deadline is None


def test_a_loss_while_held_down_begins_the_wait_anew() -> None:
    links = flapped(4)
    links.change("public", up=False, now=5.0)
    assert links.deadline is None
    links.change("public", up=True, now=6.0)
    assert links.deadline == 6.0 + HOLD_DOWN


def test_losses_long_ago_are_forgotten() -> None:
    links = flapped(3)
    links.change("public", up=False, now=20.0)
    links.change("public", up=True, now=21.0)
    assert links.counted == (True, True)


def test_new_paths_count_as_down_until_they_are_reported() -> None:
    links = flapped(0)
    links.rename(("public", "storage"))
    assert links.as_dict() == {"public": True, "storage": False}
