"""When to announce the floating addresses: spread in time, refreshed for ever, never once per packet."""

OFFSETS = (0.0, 0.05, 0.2, 1.0, 5.0)  # seconds after taking over, so that one lost burst costs at most 150 ms
REFRESH = 60.0  # seconds between bursts afterwards
CONTEST_GAP = 1.0  # least seconds between two series for contests; doubles while the contests go on
CONTEST_GAP_LIMIT = 60.0


class Announcements:
    """The times of the bursts. ``deadline`` is the next one; None while this router does not serve."""

    def __init__(self) -> None:
        self.deadline: float | None = None
        self._started = 0.0
        self._sent = 0
        self._last_contest: float | None = None
        self._contest_gap = CONTEST_GAP

    def start(self, now: float) -> None:
        """Begin a series: this router took over, or its link came back."""
        self._started, self._sent = now, 0
        self.deadline = now

    def contest(self, now: float) -> bool:
        """Another router claimed what is ours: begin a series, unless one was begun too short a time ago."""
        last = self._last_contest
        if last is not None and now - last < self._contest_gap:
            return False
        persistent = last is not None and now - last < 2 * self._contest_gap
        self._contest_gap = min(2 * self._contest_gap, CONTEST_GAP_LIMIT) if persistent else CONTEST_GAP
        self._last_contest = now
        self.start(now)
        return True

    def take_due(self, now: float) -> bool:
        """Whether a burst is due; the next is scheduled. Bursts that were missed together are sent once."""
        if self.deadline is None or now < self.deadline:
            return False
        while self.deadline <= now:
            self._sent += 1
            later = (
                OFFSETS[self._sent]
                if self._sent < len(OFFSETS)
                else OFFSETS[-1] + self._refreshes() * REFRESH
            )
            self.deadline = self._started + later
        return True

    @property
    def refreshing(self) -> bool:
        """Whether the burst taken last was no longer part of the series."""
        return self._sent > len(OFFSETS)

    def stop(self) -> None:
        """This router does not serve any more."""
        self.deadline = None

    def _refreshes(self) -> int:
        return self._sent - len(OFFSETS) + 1
