"""When a child that died is started again. Pure.

The first death is answered at once. A child that goes on dying soon after its start waits longer each time,
so that it neither burns the processor nor floods the log.
"""

FIRST_WAIT = 0.1  # s
LONGEST_WAIT = 5.0  # s
STEADY = 10.0  # s a child must live for its deaths to be forgotten


class Restarts:
    """The restarts of one child."""

    def __init__(self) -> None:
        self._deaths = 0
        self._started = 0.0

    def started(self, *, now: float) -> None:
        """The child was started."""
        self._started = now

    def died(self, *, now: float) -> float:
        """The child died: the time at which to start it again."""
        if now - self._started >= STEADY:
            self._deaths = 0
        self._deaths += 1
        if self._deaths == 1:
            return now
        return now + min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(self._deaths - 2, 16))
