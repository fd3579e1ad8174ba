"""Stories: scripts of what happens to a cluster and what must come of it, one command a line.

routers NAME=PRIORITY …        the cluster; both paths are called public and private
start|crash|kill NAME …        crash: power loss; kill: only the daemon dies, its addresses stay
stop NAME                      the operator stops it
failover NAME [to NAME]        the operator moves the addresses away from NAME
stall NAME SECONDS             the process does not run; its sockets fill
link NAME PATH up|down         a cable
flap NAME PATH SECONDS         the cable goes down and up every half second
cut A B [PATH]                 nothing passes from A to B (on that path), nor back
cut-one-way A B [PATH]         nothing passes from A to B
heal                           every cut and loss ends
loss PERCENT [PATH]            random loss
dataplane NAME gone|ready
forge NAME                     datagrams to NAME: random, of another key, and truncated
replay A B                     everything that A ever sent to B is sent to B again
run SECONDS
expect …                       see ``Story._expectations``
"""

from collections.abc import Callable
from pathlib import Path

from shoal.pulse import events
from shoal.pulse.heartbeat import LENGTH
from support.cluster_simulation import Simulation

PATHS = ("private", "public")


class Story:
    """Runs the lines of one story. AssertionError names the line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._simulation = Simulation({})
        self._began = self._simulation.now

    def run(self) -> None:
        """Run it all."""
        for number, line in enumerate(self._path.read_text().splitlines(), 1):
            words = line.split("#")[0].split()
            if not words:
                continue
            try:
                self._command(words[0], words[1:])
            except AssertionError as error:
                raise AssertionError(
                    f"{self._path.name}:{number}: {line.strip()}\n{error}\n{self._log()}"
                ) from error

    def _command(self, verb: str, words: list[str]) -> None:
        simulation = self._simulation
        commands: dict[str, Callable[[], object]] = {
            "routers": lambda: self._build(words),
            "start": lambda: [simulation.start(name) for name in words],
            "crash": lambda: [simulation.crash(name) for name in words],
            "kill": lambda: [simulation.kill(name) for name in words],
            "stop": lambda: simulation.give(words[0], events.StopRequested()),
            "failover": lambda: simulation.give(
                words[0], events.FailoverRequested(id=1, to=(*words, "", "")[2])
            ),
            "stall": lambda: simulation.stall(words[0], float(words[1])),
            "link": lambda: simulation.set_link(words[0], words[1], up=words[2] == "up"),
            "flap": lambda: self._flap(words[0], words[1], float(words[2])),
            "cut": lambda: (self._cut(words), self._cut([words[1], words[0], *words[2:]])),
            "cut-one-way": lambda: self._cut(words),
            "heal": self._heal,
            "loss": lambda: [
                simulation.loss.update({path: int(words[0]) / 100}) for path in words[1:] or PATHS
            ],
            "dataplane": lambda: simulation.give(
                words[0], events.DataplaneChanged(ready=words[1] == "ready")
            ),
            "forge": lambda: self._forge(words[0]),
            "replay": lambda: self._replay(*words),
            "run": lambda: simulation.run(float(words[0])),
            "expect": lambda: self._expectations(words[0], words[1:]),
        }
        commands[verb]()

    def _expectations(self, what: str, words: list[str]) -> None:
        """What must hold now; times are seconds, counts are since the story began."""
        simulation = self._simulation
        if what in simulation.routers:  # expect NAME STATE
            self._same(simulation.routers[what].state, words[0])
        elif what == "moves":  # expect moves N: how often a router took over
            self._same(simulation.moves(), int(words[0]))
        elif what == "epoch":  # expect epoch NAME N
            election = simulation.routers[words[0]].election
            self._same(None if election is None else election.epoch, int(words[1]))
        elif what == "two-owners":  # expect two-owners SECONDS: never longer
            self._at_most(
                max((end - start for start, end in simulation.overlaps()), default=0.0), float(words[0])
            )
        elif what == "no-owner":  # expect no-owner SECONDS: never longer, once the first second was over
            gaps = simulation.vacancies(self._began + 1.0)
            self._at_most(max((end - start for start, end in gaps), default=0.0), float(words[0]))
        elif what == "announcements":  # expect announcements NAME N: at most
            self._at_most(len(simulation.routers[words[0]].announced), int(words[1]))
        elif what == "rejected":  # expect rejected NAME REASON: at least one
            assert simulation.routers[words[0]].rejected.get(words[1], 0) > 0, simulation.routers[
                words[0]
            ].rejected
        elif what == "refused":  # expect refused NAME WORD …: the answer to its failover
            answer = simulation.routers[words[0]].answers[-1]
            assert not answer.accepted, answer
            assert " ".join(words[1:]) in answer.problem, answer.problem
        elif what == "cause":  # expect cause NAME WORD …: why it took over last
            causes = [record.cause for _, name, record in simulation.journal if name == words[0]
                      and record.event == "router.active"]  # fmt: skip
            self._same(causes[-1], " ".join(words[1:]))
        else:
            raise AssertionError(f"unknown expectation {what!r}")

    @staticmethod
    def _same(found: object, wanted: object) -> None:
        assert found == wanted, f"found {found!r}"

    @staticmethod
    def _at_most(found: float, limit: float) -> None:
        assert found <= limit, f"found {found:.4f}"

    def _build(self, words: list[str]) -> None:
        priorities = {name: int(priority) for name, priority in (word.split("=") for word in words)}
        self._simulation = Simulation(priorities, paths=PATHS)
        self._began = self._simulation.now

    def _cut(self, words: list[str]) -> None:
        for path in words[2:] or PATHS:
            self._simulation.cut.add((words[0], words[1], path))

    def _heal(self) -> None:
        self._simulation.cut.clear()
        self._simulation.loss = dict.fromkeys(PATHS, 0.0)

    def _flap(self, name: str, path: str, duration: float) -> None:
        up, left = False, duration
        while left > 0:
            self._simulation.set_link(name, path, up=up)
            self._simulation.run(0.5)
            up, left = not up, left - 0.5
        self._simulation.set_link(name, path, up=True)

    def _forge(self, name: str) -> None:
        simulation = self._simulation
        peer = next(other for other in simulation.routers if other != name)
        real = simulation.routers[peer].sent[-1][2]
        forged = [
            simulation.random.randbytes(LENGTH),
            real[:40] + bytes([real[40] ^ 1]) + real[41:],
            real[:100],
            b"",
        ]
        for datagram in forged:
            for path in PATHS:
                simulation.deliver(peer, name, path, datagram)

    def _replay(self, sender: str, receiver: str) -> None:
        for peer, path, datagram in list(self._simulation.routers[sender].sent):
            if peer == receiver:
                for over in PATHS:
                    self._simulation.deliver(sender, receiver, over if over != path else path, datagram)

    def _log(self) -> str:
        lines = [
            f"  {when - self._began:9.4f} {name} {record.event} {record.cause}"
            for when, name, record in self._simulation.journal[-40:]
        ]
        return "\n".join(lines)
