"""The conformance table: which scheduler was proved by which method, family and protocol, on both hooks.

``python -m support.conformance RESULTS PAGE`` writes PAGE from what passed; with ``--check`` it compares instead.
RESULTS is what ``pytest tests/contract/test_conformance.py`` has written to the file that the environment variable
``SHOAL_CONFORMANCE`` names.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from shoal.dataplane.packet import TcpFlags
from shoal.model import ForwardingMethod, Protocol
from shoal.model.sctp_states import SctpChunk
from shoal.schedulers import names

HOOKS = ("xdp", "tc")
FAMILIES = ("IPv4", "IPv6")
MODULE = "test_conformance.py"
RESULTS = "SHOAL_CONFORMANCE"

Proved = frozenset[tuple[str, str, str, str]]
"""Dataplane under test, scheduler, method, protocol."""


def opening_flags(protocol: Protocol) -> TcpFlags:
    """What a client's first packet carries."""
    return TcpFlags.SYN if protocol is Protocol.TCP else TcpFlags.NONE


def opening_chunk(protocol: Protocol) -> SctpChunk:
    """The chunk that it carries, under SCTP."""
    return SctpChunk.INIT if protocol is Protocol.SCTP else SctpChunk.DATA


def exists(method: ForwardingMethod, protocol: Protocol) -> bool:
    """Whether the protocol is forwarded so: fullnat changes ports, which the checksum of SCTP covers."""
    return not (method is ForwardingMethod.FULLNAT and protocol is Protocol.SCTP)


def record(parameters: Mapping[str, object], dataplane: str) -> tuple[str, str, str, str]:
    """A passed test of the matrix as a line of the results."""
    return dataplane, *(str(parameters[each]) for each in ("scheduler", "method", "protocol"))


def page(proved: Proved) -> str:
    """The whole page."""
    methods, protocols = [str(each) for each in ForwardingMethod], [str(each) for each in Protocol]
    lines = [
        "# Conformance",
        "",
        "Written by `script/conformance` from the tests that passed (`tests/contract/test_conformance.py`): for each",
        "combination 24 new connections of five clients to four real servers of weight 3, 1, 0 and 2, each choice",
        "compared with that of the pure reference in `src/shoal/schedulers`. `twos` draws by chance; its draws are",
        "compared one by one in `tests/bpf/test_schedulers.py`. A cell names the hooks it was proved on; by `local`",
        "the router is the first of the real servers, and XDP leaves its packets to TC. SCTP is not served by",
        "`fullnat`, nor on another port than the client's: its checksum is a CRC of ports and data alike.",
    ]
    for family in FAMILIES:
        for protocol in protocols:
            lines += ["", f"## {family}, {protocol.upper()}", ""]
            lines += ["| scheduler | " + " | ".join(methods) + " |", "|---|" + "---|" * len(methods)]
            lines += [
                f"| {scheduler} | "
                + " | ".join(_cell(proved, scheduler, method, protocol, family) for method in methods)
                + " |"
                for scheduler in names()
            ]
    return "\n".join(lines) + "\n"


def _cell(proved: Proved, scheduler: str, method: str, protocol: str, family: str) -> str:
    if not exists(ForwardingMethod(method), Protocol(protocol)):
        return "refused"
    ending = "-ipv6" if family == "IPv6" else ""
    hooks = [
        hook.upper() for hook in HOOKS if (f"ebpf-{hook}{ending}", scheduler, method, protocol) in proved
    ]
    return " ".join(hooks) or "not proved"


def read(results: Path) -> Proved:
    """What passed."""
    return frozenset(tuple(each) for each in json.loads(results.read_text()))


def main(arguments: Sequence[str]) -> int:
    """Write the page, or compare it."""
    results, target = (Path(each) for each in arguments if not each.startswith("--"))
    text = page(read(results))
    if "--check" not in arguments:
        target.write_text(text)
        return 0
    if target.read_text() == text:
        return 0
    print(f"{target} is not what the tests proved; run script/conformance", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
