"""What an operator is told for as long as it lasts. Pure: each change is returned as what to write into the journal."""

from dataclasses import dataclass, field

OVERLOAD = "the connection table is full: raise max_connections, or lower the timeouts"
_STATELESS = "the connection table is full: new connections are balanced without an entry"


@dataclass(slots=True)
class Alarms:
    """What the dataplane refused, by what was being done, and whether its table is too small for what comes."""

    failures: dict[str, str] = field(default_factory=dict)
    overloaded: bool = False

    def failed(self, during: str, failure: str) -> bool:
        """Note a failure, or with an empty one that all is well; whether the journal has not had it yet."""
        is_new = bool(failure) and failure != self.failures.get(during)
        self.failures[during] = failure
        return is_new

    def overload(self, overloaded: bool) -> tuple[str, str] | None:
        """Note whether the table is full: the event to write with its cause, when that has changed."""
        before, self.overloaded = self.overloaded, overloaded
        if overloaded and not before:
            return "table.overloaded", _STATELESS
        if before and not overloaded:
            return "table.recovered", "every new connection finds a place again"
        return None

    def standing(self) -> tuple[str, ...]:
        """All that lasts, for people."""
        failures = tuple(f"dataplane: {failure}" for failure in self.failures.values() if failure)
        return (*failures, OVERLOAD) if self.overloaded else failures
