"""Tracked links, with damping: a link that flaps does not count as up until it has been steady."""

from dataclasses import dataclass, field

FLAP_WINDOW = 10.0  # seconds in which losses of a link are counted
FLAPS_TOLERATED = 3  # losses within the window after which a return still counts at once
HOLD_DOWN = 5.0  # seconds that a flapping link must stay up before it counts


@dataclass(slots=True)
class TrackedLink:
    """One link. ``up`` is the fact, ``counted`` what fitness sees."""

    up: bool
    counted: bool
    held_until: float | None = None
    _lost: list[float] = field(default_factory=list)

    def change(self, up: bool, now: float) -> None:
        """The link went up or down. Down counts at once."""
        if up == self.up:
            return
        self.up = up
        self._lost = [at for at in self._lost if now - at < FLAP_WINDOW]
        if not up:
            self._lost.append(now)
            self.counted, self.held_until = False, None
        elif len(self._lost) > FLAPS_TOLERATED:
            self.held_until = now + HOLD_DOWN
        else:
            self.counted = True

    def settle(self, now: float) -> bool:
        """Count a link again whose hold-down is over; whether that happened just now."""
        if self.held_until is None or now < self.held_until:
            return False
        self.counted, self.held_until = True, None
        return True


class TrackedLinks:
    """The links of all paths, by the paths' names."""

    def __init__(self, links: dict[str, bool]) -> None:
        self._links = {path: TrackedLink(up, up) for path, up in sorted(links.items())}

    def change(self, path: str, *, up: bool, now: float) -> bool:
        """Note a change; whether it was one."""
        link = self._links.get(path)
        if link is None or link.up == up:
            return False
        link.change(up, now)
        return True

    def settle(self, now: float) -> tuple[str, ...]:
        """The paths whose hold-down ended just now."""
        return tuple(path for path, link in self._links.items() if link.settle(now))

    def rename(self, paths: tuple[str, ...]) -> None:
        """Track these paths from now on; a path that is new counts as down until its link is reported."""
        self._links = {path: self._links.get(path, TrackedLink(False, False)) for path in sorted(paths)}

    def held(self, path: str) -> bool:
        """Whether the link is up but does not count yet."""
        return self._links[path].held_until is not None

    @property
    def deadline(self) -> float | None:
        """When the next hold-down ends."""
        return min(
            (link.held_until for link in self._links.values() if link.held_until is not None), default=None
        )

    @property
    def counted(self) -> tuple[bool, ...]:
        """What fitness sees, in the order of the paths' names."""
        return tuple(link.counted for link in self._links.values())

    @property
    def usable(self) -> tuple[str, ...]:
        """Paths whose link is up."""
        return tuple(path for path, link in self._links.items() if link.up)

    def as_dict(self) -> dict[str, bool]:
        """Whether each path's link is up."""
        return {path: link.up for path, link in self._links.items()}
