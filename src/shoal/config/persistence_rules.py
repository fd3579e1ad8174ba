"""What the keys that spread and bound a real server's load must keep together: persistence and thresholds. Pure."""

from shoal.config import notation
from shoal.config.findings import Findings
from shoal.config.schema import PersistenceTable, VirtualServerTable


def check_persistence(server: VirtualServerTable, findings: Findings) -> None:
    """The mask has to be one."""
    if isinstance(server.persistence, PersistenceTable):
        at = (*server.persistence.at, "ipv4_mask")
        findings.read(at, notation.ipv4_prefix, of=server.persistence.ipv4_mask)


def check_thresholds(server: VirtualServerTable, findings: Findings) -> None:
    """A lower threshold above the upper one would keep a real server in and out at once."""
    for index, each in enumerate(server.real_servers):
        if isinstance(each, str) or each.lower_threshold <= each.upper_threshold:
            continue
        at = (*server.at, "real_servers", index, "lower_threshold")
        if not each.upper_threshold:
            problem, fix = "there is no upper_threshold", "Add one, or remove lower_threshold."
        else:
            problem = f"{each.lower_threshold} is above upper_threshold, {each.upper_threshold}"
            fix = f"Use at most {each.upper_threshold}."
        findings.report(at, problem=problem, fix=fix)
