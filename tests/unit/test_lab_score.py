"""A drill's document, its text and its picture."""

import xml.etree.ElementTree as ET
from dataclasses import replace

from shoal.ipc.messages import Record
from shoal.lab import report, score
from shoal.lab.drills import DRILLS, out_of_service
from shoal.lab.evidence import JournalLine, Observation
from shoal.lab.measure import Question, Sample, Span, tenures
from shoal.lab.picture import Mark, View, picture
from shoal.lab.score import Run, document
from shoal.lab.topology import Topology

INJECTED = 10.0
MENDED = 14.0


def line(at: float, router: str, event: str, *, cause: str = "", **fields: str) -> JournalLine:
    return JournalLine(router, Record(at=at, source="test", event=event, cause=cause, fields=dict(fields)))


def one_run(*, lost: tuple[int, ...] = (), detected: float | None = None) -> Run:
    """Probes at 9.0, 9.1, ... 14.9; those numbers in ``lost`` are not answered."""
    samples = tuple(
        Sample(sent=9 + index / 10, answered=None if index in lost else 9 + index / 10 + 0.001)
        for index in range(60)
    )
    questions = tuple(
        Question(asked=9 + index / 10, owners=("a", "b") if index in (12, 13, 55) else ("a",))
        for index in range(60)
    )
    whole = {"broken": "", "lines": 9, "longest_wait": 0.1, "broken_at": None}
    return Run(
        target="lb1",
        vip=Topology().vip,
        injected=INJECTED,
        began=INJECTED - 9.0,
        mended=MENDED,
        detected=detected,
        observation=Observation(
            samples=samples,
            questions=questions,
            connections=(whole, {**whole, "broken": "reset", "broken_at": 10.1}),
            announcements=(
                (9.5, "a", "10.210.0.100"),
                (10.5, "b", "10.210.0.100"),
                (10.5, "b", "10.211.0.1"),
            ),
        ),
        journal=(line(1.0, "lb2", "router.active"), line(2.0, "lb1", "router.backup")),
    )


def test_the_document_counts_until_the_repair_and_the_rest_apart():
    result = document("kill-active", [one_run(lost=(10, 11, 12, 55))])
    assert result["outage_ms"] == {"median": 300.0, "max": 300.0}
    assert result["probes_lost"] == 3
    assert result["repair_probes_lost"] == 1
    assert result["probes_sent"] == 50
    assert result["two_owners_ms"] == {"median": 200.0, "max": 200.0}
    assert result["each"][0]["repair"] == {"lost": 1, "two_owners_ms": 100.0}


def test_the_document_counts_announcements_of_the_vip_after_the_fault():
    assert document("kill-active", [one_run()])["announcements"] == 1


def test_the_document_counts_moves_and_broken_connections():
    result = document("kill-active", [one_run(), one_run()])
    assert (result["runs"], result["moves"]) == (2, 2)
    assert (result["connections"], result["connections_broken"]) == (4, 2)


def test_the_document_counts_requests_and_those_that_failed():
    run = one_run()
    requests = ((9.1, 0.01, "real server rs1", ""), (9.2, 1.0, "", "no answer within 1 s"))
    watched = replace(run, observation=replace(run.observation, requests=requests))
    result = document("reload", [watched, run])
    assert (result["requests"], result["requests_failed"]) == (2, 1)


def test_a_page_tells_what_happened_under_load_apart_from_faults():
    flood = {
        "percent": 150,
        "capacity": 30000,
        "flood_sent": 45000,
        "flood_taken": 31000,
        "flood_seconds": 30.0,
        "table_percent": 99.5,
        "connections_reset": 0,
        "longest_wait_ms": 2024.3,
        "recovery_ms": 13.3,
        "peers_lost": 0,
        "take_overs": 0,
        "health_failures": 1,
    }
    page = report.drills_page(
        [
            document("kill-active", [one_run()]),
            document("syn-flood", [replace(one_run(), figures=flood)]),
        ],
        machine="6.1",
    )
    faults, load = page.split("## Under load")
    assert "| kill-active | 1 |" in faults
    assert "syn-flood" not in faults
    assert "| syn-flood 150 % | 1 | 45000 SYN/s for 30 s, 31000 taken up, capacity 30000;" in load
    assert load.rstrip().endswith("new connections within 5 s: NOT KEPT |")


def test_a_page_without_drills_under_load_has_no_section_for_them():
    assert "Under load" not in report.drills_page([document("kill-active", [one_run()])], machine="6.1")


def test_a_drills_own_figures_are_those_of_its_worst_run():
    runs = [replace(one_run(), figures={"changes_refused": count}) for count in (0, 3, 1)]
    result = document("reload", runs)
    assert result["changes_refused"] == 3
    assert [each["changes_refused"] for each in result["each"]] == [0, 3, 1]


def test_kill_real_says_what_was_lost_after_detection():
    result = document("kill-real", [one_run(lost=(11, 15, 20), detected=10.35)])
    assert result["lost_after_detection"] == 2
    assert result["detection_ms"] == {"median": 350.0, "max": 350.0}


def test_kill_real_without_detection_counts_every_loss():
    assert document("kill-real", [one_run(lost=(11, 15))])["lost_after_detection"] == 2


def test_a_real_server_is_out_of_service_once_its_virtual_server_was_put_without_it():
    journal = (
        line(1.0, "lb1", "service.put", virtual_server="echo-udp"),
        line(2.0, "lb2", "real_server.down", virtual_server="echo-udp", real_server="rs1"),
        line(2.1, "lb1", "real_server.down", virtual_server="www", real_server="rs1"),
        line(2.2, "lb1", "real_server.down", virtual_server="echo-udp", real_server="rs1"),
        line(2.3, "lb1", "service.put", virtual_server="www"),
        line(2.4, "lb1", "service.put", virtual_server="echo-udp"),
        line(2.5, "lb1", "service.put", virtual_server="echo-udp"),
    )
    found = out_of_service(journal, router="lb1", virtual_server="echo-udp", real_server="rs1")
    assert found == 2.4


def test_a_real_server_that_was_never_found_down_is_not_out_of_service():
    journal = (line(1.0, "lb1", "service.put", virtual_server="echo-udp"),)
    assert out_of_service(journal, router="lb1", virtual_server="echo-udp", real_server="rs1") is None


def test_every_drill_names_what_it_does():
    assert list(DRILLS) == [
        "kill-active",
        "stop-active",
        "crash-daemons",
        "cut-public",
        "cut-private",
        "kill-real",
        "kill-lvsd",
        "upgrade",
        "reload",
        "syn-flood",
    ]
    assert all(drill.summary for drill in DRILLS.values())


def test_every_line_of_a_drills_report_fits_the_page():
    text = report.drill(document("kill-real", [one_run(lost=(10, 11), detected=10.2)] * 12))
    assert max(map(len, text.splitlines())) <= report.WIDTH
    assert "  outage        median 200 ms, max 200 ms" in text.splitlines()


def test_the_timeline_names_time_router_event_and_cause():
    text = report.timeline(
        [line(100.25, "lb2", "peer.lost", cause="silent on every path", peer="lb1", note="x")],
        origin=100.0,
    )
    assert text == "  +0.250 s  lb2  peer.lost lb1: silent on every path"


def test_the_timeline_draws_repeated_steps_together():
    lines = [line(1.0, "lb2", "service.put"), line(1.1, "lb2", "service.put"), line(1.2, "lb2", "peer.lost")]
    assert report.timeline(lines, origin=1.0).splitlines() == [
        "  +0.000 s  lb2  service.put (x2)",
        "  +0.200 s  lb2  peer.lost",
    ]


def test_a_long_cause_does_not_break_the_page():
    text = report.timeline([line(1.0, "lb1", "config.refused", cause="x" * 200)], origin=0.0)
    assert text.splitlines()[0] == "  +1.000 s  lb1  config.refused"
    assert text.splitlines()[1] == " " * 17 + "x" * (report.WIDTH - 18) + "…"


def test_health_is_one_word_when_all_agree():
    assert report.health({"lb1": {"www": "up"}, "lb2": {"www": "up"}}) == "up"
    assert report.health({}) == "not known"


def test_health_names_the_exceptions_when_they_do_not():
    assert report.health({"lb1": {"www": "up", "echo": "down"}}) == "echo down on lb1"


def view() -> View:
    run = one_run(lost=(10, 11, 12))
    return View(
        title="power <loss>",
        origin=INJECTED,
        span=Span(start=9.0, end=14.9),
        samples=run.observation.samples,
        tenures=tenures(run.observation.questions),
        routers=("a", "b"),
        marks=(Mark(at=INJECTED, label="lb1 & lb2"),),
    )


def test_the_picture_is_well_formed_and_says_how_long_the_outage_was():
    root = ET.fromstring(picture([view(), view()]))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("300 ms") == 2
    assert "power <loss>" in texts
    assert "lb1 & lb2" in texts


def test_a_picture_of_an_empty_moment_is_drawn_too():
    empty = View(title="", origin=0.0, span=Span(start=0.0, end=0.0), samples=(), tenures=(), routers=())
    assert ET.fromstring(picture([empty])).tag.endswith("svg")


def test_the_view_of_a_run_points_at_the_fault_and_at_what_the_routers_did():
    shown = score.view(one_run(lost=(10, 11, 12)), Topology(), title="power loss")
    assert [(mark.at, mark.label) for mark in shown.marks] == [
        (10.0, "power loss"),
        (10.0, "lb2: router.active"),
    ]
    assert (shown.span.start, shown.span.end) == (9.7, 11.5)
    assert {owner for tenure in shown.tenures for owner in tenure.owners} == {"a", "b"}
