"""What wrk and iperf3 report, taken only when everything arrived. Pure."""

import json
import re


class DeliveryError(Exception):
    """Something did not arrive; a figure made of it would mean nothing."""


def requests_of(report: str) -> tuple[int, float]:
    """Requests and seconds of wrk's report. Raises DeliveryError when anything went wrong."""
    done = re.search(r"(\d+) requests in ([\d.]+)(m?s)", report)
    if not done or int(done[1]) == 0:
        raise DeliveryError(f"wrk did nothing: {report.strip()}")
    if wrong := re.search(r"(Socket errors|Non-2xx).*", report):
        raise DeliveryError(f"wrk: {wrong[0]}")
    return int(done[1]), float(done[2]) / (1000 if done[3] == "ms" else 1)


def bytes_of(report: str) -> tuple[int, float]:
    """Bytes that the receiver counted, and seconds, of iperf3's JSON report. Raises DeliveryError."""
    try:
        received = json.loads(report)["end"]["sum_received"]
    except (ValueError, KeyError) as error:
        raise DeliveryError(f"iperf3: {report.strip()[:300]}") from error
    if not received["bytes"]:
        raise DeliveryError("iperf3: no byte arrived")
    return int(received["bytes"]), float(received["seconds"])
