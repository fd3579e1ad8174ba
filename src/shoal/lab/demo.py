"""``script/demo``: a whole cluster under real traffic; a real server dies, a router loses its power.

It succeeds only if all of that truly happened: everything it claims at the end is checked.
"""

import argparse
import json
import random
import re
import shutil
import signal
import sys
import textwrap
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoal.errors import ShoalError, UnavailableError
from shoal.lab import cluster, drills, measure, namespaces, report, score
from shoal.lab.cluster import Lab
from shoal.lab.evidence import JournalLine
from shoal.lab.folder import LabFolder
from shoal.lab.picture import View, picture
from shoal.lab.topology import DEFAULT_NAME, Topology

_CURL_REQUESTS = 30
_WRK_SECONDS = 3
_CLOSE = ("-H", "Connection: close")
_FAIR_SHARE = 0.2  # of the requests, at least, for each of three real servers
_OUTAGE_LIMIT = 1.0
_REQUESTS_PER_SECOND = re.compile(r"Requests/sec:\s+([\d.]+)")
_TOTAL_REQUESTS = re.compile(r"(\d+) requests in")
_QUIET = ("heartbeat.rejected",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One claim of the demo, whether it held, and the number that shows it."""

    claim: str
    held: bool
    seen: str


@dataclass(slots=True)
class Story:
    """What the demo has found so far."""

    findings: list[Finding] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    timelines: list[tuple[str, str]] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    def say(self, line: str) -> None:
        """Progress, with the seconds since the start."""
        stamp = f"{time.monotonic() - self.begun:5.1f} s  "
        print(textwrap.fill(line, report.WIDTH, initial_indent=stamp, subsequent_indent=" " * 14), flush=True)

    def find(self, claim: str, held: bool, seen: str) -> None:
        """Note a claim."""
        self.findings.append(Finding(claim=claim, held=held, seen=seen))
        self.say(f"{'yes' if held else 'NO '}  {claim}: {seen}")


def traffic(lab: Lab, story: Story) -> None:
    """curl and wrk through the VIP, and how the requests were spread."""
    url = lab.topology.url
    story.say(f"{_CURL_REQUESTS} requests by curl to {url}")
    command = ["curl", "-sS", "--max-time", "10", *_CLOSE, *([url] * _CURL_REQUESTS)]
    done = namespaces.run(lab.topology.namespace("client"), command, timeout=15)
    pages = Counter(line for line in done.stdout.splitlines() if line)
    for page, count in sorted(pages.items()):
        story.say(f"{count:3d} x {page}")
    before = connections(lab)
    story.say(f"wrk: 16 clients for {_WRK_SECONDS} s, a connection for each request")
    command = ["wrk", "-t1", "-c16", f"-d{_WRK_SECONDS}s", *_CLOSE, url]
    done = namespaces.run(lab.topology.namespace("client"), command, timeout=_WRK_SECONDS + 10)
    rate, total = _REQUESTS_PER_SECOND.search(done.stdout), _TOTAL_REQUESTS.search(done.stdout)
    if rate is None or total is None:
        raise UnavailableError(
            where="wrk", problem=done.stderr.strip() or "no result", fix="run script/bootstrap"
        )
    story.say(f"{int(total[1])} requests, {float(rate[1]):.0f}/s")
    clean = "Non-2xx" not in done.stdout and "Socket errors" not in done.stdout
    story.find("real HTTP traffic flows through the VIP", clean, f"{int(total[1])} requests, no error")
    served = {name: count - before.get(name, 0) for name, count in connections(lab).items()}
    shares = {name: count / max(1, sum(served.values())) for name, count in served.items()}
    story.find(
        "every real server has its share",
        len(shares) == len(lab.topology.real_servers) and min(shares.values(), default=0) >= _FAIR_SHARE,
        ", ".join(f"{name} {share:.0%}" for name, share in sorted(shares.items())),
    )


def connections(lab: Lab) -> dict[str, int]:
    """Connections that the routers' dataplanes gave to each real server of www."""
    given: Counter[str] = Counter()
    for router in lab.topology.routers:
        servers = lab.router(router).get("/v1/servers") or {"virtual_servers": []}
        for virtual in servers["virtual_servers"]:
            if virtual["name"] == "www":
                given.update({real["name"]: real["connections"] for real in virtual["real_servers"]})
    return dict(given)


def lose_real_server(lab: Lab, story: Story) -> None:
    """Stop a real server; clients notice until it is found out, and not any longer."""
    drill = drills.find("kill-real")
    run = drills.run_once(lab, drill, chance=random.Random(), interval=0.002, requests=True, say=story.say)
    active = lab.active()
    out = drills.out_of_service(run.journal, router=active, virtual_server="www", real_server=run.target)
    failed = [row for row in run.observation.requests if row[3] and row[0] >= run.injected]
    story.say(f"{len(failed)} of {len(run.observation.requests)} requests failed, until it was taken out")
    if out is None:
        story.find(f"the death of {run.target} is found out", False, "it was not")
    else:
        moment = run.moment(out)
        story.find(f"the death of {run.target} is found out", True, f"after {moment - run.injected:.2f} s")
        late = [row for row in failed if row[0] > moment]
        story.find("no request fails after that", not late, f"{len(late)} failed")
    _remember(lab, story, run, title=f"{run.target} dies", name=drill.name)
    after = story.documents[-1]["lost_after_detection"]
    story.find("no datagram is lost after that", after == 0, f"{after} lost")


def lose_active_router(lab: Lab, story: Story) -> None:
    """Pull the plug of the active router; the other takes over."""
    drill = drills.find("kill-active")
    before = lab.active()
    run = drills.run_once(lab, drill, chance=random.Random(), interval=0.002, requests=True, say=story.say)
    after = lab.active()
    outage = measure.longest_outage(run.samples)
    story.find(
        "the other router takes over",
        after != before and run.target == before,
        f"{before} lost its power, {after} is active",
    )
    story.find(
        f"the outage is below {_OUTAGE_LIMIT:g} s",
        0 < outage < _OUTAGE_LIMIT,
        f"{outage * 1000:.0f} ms, {measure.lost(run.samples)} of {len(run.samples)} datagrams lost",
    )
    _remember(lab, story, run, title=f"power loss of {before}", name=drill.name)


def _remember(lab: Lab, story: Story, run: score.Run, *, title: str, name: str) -> None:
    story.documents.append(score.document(name, [run]))
    story.views.append(score.view(run, lab.topology, title=title))
    journal = [line for line in drills.journal_since(lab, run.began) if worth_telling(line)]
    story.timelines.append((title, report.timeline(journal, origin=run.began)))


def worth_telling(line: JournalLine) -> bool:
    """Whether the timeline has room for an entry."""
    return line.record.event not in _QUIET


def leave(lab: Lab, story: Story) -> None:
    """Take the lab down and check that nothing is left of it."""
    names = [lab.topology.namespace(node) for node in lab.topology.nodes]
    identities = {namespaces.identity(name) for name in names}
    cluster.down(lab.topology.name)
    left = [name for name in names if namespaces.exists(name)]
    left += [f"process {pid}" for pid, where in namespaces.processes() if where in identities]
    left += [str(path) for path in (LabFolder(lab.topology.name).marker,) if path.exists()]
    story.find("nothing is left", not left, ", ".join(left) or "no namespace, no process, no file")


def ending(story: Story, out: Path) -> str:
    """The last page: timelines, findings, and where the picture is. Writes demo.svg and demo.json."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "demo.svg").write_text(picture(story.views))
    findings = [{"claim": each.claim, "held": each.held, "seen": each.seen} for each in story.findings]
    document = {"findings": findings, "drills": story.documents}
    (out / "demo.json").write_text(json.dumps(document, indent=2) + "\n")
    parts = [f"Journal of both routers: {title}\n{text}" for title, text in story.timelines]
    rows = [("yes" if each.held else "NO", each.claim, each.seen) for each in story.findings]
    parts.append("\n".join(_wrapped(row) for row in rows))
    parts.append(f"The client's view: {out / 'demo.svg'}   Numbers: {out / 'demo.json'}")
    return "\n\n".join(parts)


def _wrapped(row: tuple[str, str, str]) -> str:
    """A finding on one line when it fits the page, on two otherwise."""
    line = f"{row[0]:<4}{row[1]:<38}  {row[2]}"
    return line if len(line) <= report.WIDTH else f"{row[0]:<4}{row[1]}\n    {'':<38}  {row[2]}"


NEXT = """\
The lab is still up. Try:
  {shoal} lab status{option}
  {shoal} lab exec{option} client -- curl {url}
  {shoal} lab exec{option} lb1 -- ip -br address
  {shoal} lab drill{option} cut-public --repeat 3
  {shoal} status --run-dir {run_dir}
  {shoal} lab down{option}"""


def shoal_command() -> str:
    """How to call ``shoal`` from here: by its name where that is found, else by its path."""
    if shutil.which("shoal"):
        return "shoal"
    beside = Path(sys.executable).with_name("shoal")
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def tell(story: Story, topology: Topology, *, keep: bool) -> None:
    """The demo itself. Raises ShoalError when it cannot go on."""
    lab = cluster.up(topology, say=story.say)
    try:
        traffic(lab, story)
        lose_real_server(lab, story)
        lose_active_router(lab, story)
        states = {name: lab.router(name).state() for name in lab.topology.routers}
        story.find(
            "both routers are healthy again",
            sorted(states.values()) == ["active", "backup"],
            ", ".join(f"{name} {state}" for name, state in states.items()),
        )
    finally:
        if not keep:
            leave(lab, story)


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="script/demo", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--keep", action="store_true", help="leave the lab up and say what to try next")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="where demo.svg and demo.json go")
    parser.add_argument("--name", default=DEFAULT_NAME, help="the lab's name")
    return parser.parse_args()


def main() -> int:
    """Run as a program; the exit status is 0 only if every claim held."""
    options = arguments()
    signal.signal(signal.SIGTERM, _interrupted)
    story = Story()
    topology = Topology(name=options.name)
    try:
        with cluster.locked(options.name):
            return _told(story, topology, options)
    except ShoalError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _told(story: Story, topology: Topology, options: argparse.Namespace) -> int:
    try:
        tell(story, topology, keep=options.keep)
    except BaseException:
        if not options.keep:
            cluster.down(topology.name)
        raise
    story.say("done")
    print(f"\n{ending(story, options.out)}")
    if options.keep:
        option = "" if options.name == DEFAULT_NAME else f" --name {options.name}"
        run_dir = LabFolder(options.name).places("lb1").run
        print("\n" + NEXT.format(shoal=shoal_command(), option=option, url=topology.url, run_dir=run_dir))
    return 0 if all(each.held for each in story.findings) else 1


if __name__ == "__main__":
    sys.exit(main())
