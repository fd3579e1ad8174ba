"""Questions about the living peers, whose answers decide an election."""

from shoal.model import RouterState
from shoal.pulse.nouns import Flag, Rank, Report
from shoal.pulse.peers import Peers


def leader(peers: Peers) -> tuple[str, Report] | None:
    """The active peer with the highest epoch (then rank) among those that are alive."""
    active = [(name, report) for name, report in peers.living() if report.state is RouterState.ACTIVE]
    return max(active, key=lambda peer: (peer[1].epoch, peer[1].rank(peer[0])), default=None)


def better_ones(peers: Peers, own: Rank) -> int:
    """How many living peers, able to serve and not active, are better than ``own``."""
    waiting = ((name, report) for name, report in peers.able() if report.state is not RouterState.ACTIVE)
    return sum(report.rank(name) > own for name, report in waiting)


def hears_another(peers: Peers) -> bool:
    """Whether a living peer hears an active router (asked when we hear none)."""
    return any(report.says(Flag.FOLLOWING) for _, report in peers.living())


def heirs(peers: Peers, *, fitness: int | None, to: str = "") -> list[str]:
    """Peers that could take over, the best one first; of at least this fitness, and only ``to`` if set."""
    able = [(name, report) for name, report in peers.able() if not to or name == to]
    fit = [(report.rank(name), name) for name, report in able if fitness is None or report.fitness >= fitness]
    return [name for _, name in sorted(fit, reverse=True)]


def vacancy_cause(peers: Peers) -> str:
    """Why nobody is active, in an operator's words."""
    if not peers:
        return "this router has no peers"
    silent = [peer.name for peer in peers if not peer.alive]
    return (
        f"no router is active, {', '.join(silent)} silent"
        if silent
        else "no router is active, this is the best one"
    )


def failover_problem(
    peers: Peers, *, name: str, state: RouterState, fitness: int, to: str
) -> tuple[str, str]:
    """Why router ``name`` cannot hand over (to ``to``), and what would help; empty when it can."""
    if state is not RouterState.ACTIVE:
        serving = leader(peers)
        fix = (
            f"ask {serving[0]}, which is active" if serving else "no router is active now; see `shoal status`"
        )
        return f"router {name!r} is {state}, it has nothing to hand over", fix
    if to == name:
        return f"router {to!r} is active already", "name another router, or none"
    if to and peers.get(to) is None:
        names = ", ".join(peer.name for peer in peers) or "none"
        return f"no other router is named {to!r}", f"other routers: {names}"
    if not heirs(peers, fitness=fitness, to=to):
        whose = f"router {to!r} is not" if to else "no other router is"
        return f"{whose} alive and fit to take over", "see `shoal status` there: its links, its dataplane"
    return "", ""
