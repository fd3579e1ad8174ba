"""Whole clusters in memory, under seeded random faults: what must hold whatever happens."""

import pytest

from shoal.pulse import events
from support.cluster_simulation import DEAD_TIME, INTERVAL, Simulation

FAULTS = 8
SETTLE = 2 * DEAD_TIME + DEAD_TIME + 3 * INTERVAL  # twice the dead time, and listening with the greatest skew


def _inject(simulation: Simulation) -> None:
    """One random fault, and its repair some time later. One path always works."""
    name = simulation.random.choice(list(simulation.routers))
    path = "public"  # faults of the network keep to one path
    away = simulation.random.uniform(0.02, 2.0)
    again = simulation.now + away
    kind = simulation.random.choice(
        ["crash", "kill", "stall", "link", "loss", "cut", "one_way", "stop", "failover", "dataplane"]
    )
    other = simulation.random.choice([peer for peer in simulation.routers if peer != name])
    match kind:
        case "crash" | "kill":
            getattr(simulation, kind)(name)
            simulation.at(again, lambda: simulation.start(name))
        case "stop":
            simulation.give(name, events.StopRequested())
            simulation.at(again + 0.6, lambda: simulation.start(name))
        case "stall":
            simulation.stall(name, away)
        case "link":
            simulation.set_link(name, path, up=False)
            simulation.at(again, lambda: simulation.set_link(name, path, up=True))
        case "loss":
            simulation.loss[path] = simulation.random.uniform(0.2, 1.0)
            simulation.at(again, lambda: simulation.loss.update({path: 0.0}))
        case "cut":
            simulation.cut |= {(name, other, path), (other, name, path)}
            simulation.at(again, simulation.cut.clear)
        case "one_way":
            simulation.cut.add((name, other, path))
            simulation.at(again, simulation.cut.clear)
        case "failover":
            simulation.give(name, events.FailoverRequested(id=1))
        case "dataplane":
            simulation.give(name, events.DataplaneChanged(ready=False))
            simulation.at(again, lambda: simulation.give(name, events.DataplaneChanged(ready=True)))
    simulation.run(away + 0.7)


def _suffer(priorities: dict[str, int], seed: int) -> Simulation:
    simulation = Simulation(priorities, seed=seed)
    for name in priorities:
        simulation.at(
            simulation.now + simulation.random.uniform(0, 0.5), lambda name=name: simulation.start(name)
        )
    simulation.run(3.0)
    for _ in range(FAULTS):
        _inject(simulation)
        if simulation.random.random() < 0.5:
            simulation.run(simulation.random.uniform(0, 2.0))
    return simulation


@pytest.mark.parametrize("seed", range(14))
@pytest.mark.parametrize(
    "priorities", [{"a": 100, "b": 50}, {"a": 100, "b": 100, "c": 10}], ids=["two", "three"]
)
def test_the_invariants_hold_under_random_faults(priorities: dict[str, int], seed: int) -> None:
    simulation = _suffer(priorities, seed)
    log = "\n".join(
        f"{at - 100:.4f} {name} {record.event} {record.cause}" for at, name, record in simulation.journal
    )
    last_fault = simulation.now
    longest = max((end - start for start, end in simulation.overlaps()), default=0.0)
    assert longest <= DEAD_TIME, f"two owners for {longest:.3f} s\n{log}"

    simulation.run(SETTLE)
    assert simulation.owner() is not None, f"nobody serves after the last fault\n{log}"
    assert simulation.vacancies(last_fault + SETTLE - 0.01) == [], log

    moves = simulation.moves()
    assert moves <= 1 + 2 * FAULTS, f"{moves} moves for {FAULTS} faults\n{log}"
    simulation.run(10.0)
    assert simulation.moves() == moves, f"a move without a cause\n{log}"

    announced = sum(len(router.announced) for router in simulation.routers.values())
    assert announced <= 5 * (moves + 2 * FAULTS), f"{announced} announcements\n{log}"


def test_the_same_seed_tells_the_same_story() -> None:
    first, second = (_suffer({"a": 100, "b": 50}, 3) for _ in range(2))
    assert first.journal == second.journal
