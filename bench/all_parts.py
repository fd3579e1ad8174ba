"""All parts of the benchmark, one after the other, each in a process and namespaces of its own on one CPU.

Run by script/bench. Writes bench/results.json, docs/performance.md and docs/performance.svg, unless ``--quick``.
Exit status 1 when an aim is missed, 2 when a part could not be measured.
"""

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import msgspec

from chart import chart
from figures import Part, Results, missed
from machine import describe_machine
from performance_page import PICTURE, aim_text, page, ratio_with_spread, terminal_text, with_spread

HERE = Path(__file__).parent
ROOT = HERE.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A part's program, what it is given for a full and for a quick run, and its limit in seconds."""

    program: str
    full: str
    quick: str
    limit: float


JOBS = (
    Job(
        program="packet_cost.py",
        full="--rounds 9 --repeat 400000",
        quick="--rounds 5 --repeat 100000",
        limit=150,
    ),
    Job(program="growth.py", full="--rounds 15", quick="--rounds 5 --repeat 50000", limit=60),
    Job(program="end_to_end.py", full="--rounds 9", quick="--rounds 2", limit=180),
    Job(program="small_packets.py", full="--rounds 9", quick="--rounds 3 --packets 200000", limit=75),
    Job(program="table_capacity.py", full="--rounds 3", quick="--rounds 1", limit=120),
    Job(program="scale.py", full="--rounds 3", quick="--rounds 1", limit=90),
)


def run(job: Job, *, quick: bool, cpu: int) -> Part:
    """Run one part on that CPU. Ends this process with status 2 when it fails."""
    arguments = (job.quick if quick else job.full).split()
    print(f"==> {job.program} {' '.join(arguments)}", file=sys.stderr)
    command = ["taskset", "-c", str(cpu), sys.executable, str(HERE / job.program), *arguments]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=job.limit, check=False)
    except subprocess.TimeoutExpired:
        refuse(
            f"{job.program} took more than {job.limit:g} s", "see what else this machine does, and try again"
        )
    if done.returncode != 0:
        refuse(f"{job.program} failed with status {done.returncode}", "read its message above")
    return msgspec.json.decode(done.stdout, type=Part)


def refuse(problem: str, fix: str) -> NoReturn:
    """Say what is wrong and how to put it right, and end with status 2."""
    print(f"error: {problem}\n  fix: {fix}", file=sys.stderr)
    sys.exit(2)


def write(results: Results) -> None:
    """The files that stand in the repository."""
    text = msgspec.json.format(msgspec.json.encode(results), indent=1)
    (HERE / "results.json").write_bytes(text + b"\n")
    (ROOT / "docs" / "performance.md").write_text(page(results))
    (ROOT / "docs" / PICTURE).write_text(chart(results))


def main() -> None:
    """Measure, show, write, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds; nothing is written")
    quick = parser.parse_args().quick
    cpu = max(os.sched_getaffinity(0))  # the first one usually has the interrupts
    machine = describe_machine(ROOT)
    parts = tuple(run(job, quick=quick, cpu=cpu) for job in JOBS)
    results = Results(machine=machine, parts=parts)
    print(terminal_text(results))
    if not quick:
        write(results)
    failures = list(missed(results))
    for part, row in failures:
        judged = (
            ratio_with_spread(row.ratio) if row.ratio else with_spread(row.value) if row.value else row.note
        )
        aim = aim_text(row.aim) if row.aim else ""
        print(f"missed: {part.title}, {row.what}, {row.how}: {judged}, aim {aim}", file=sys.stderr)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
