"""The probes, one file each, behind one seam (``base.Attempt``)."""

from collections.abc import Callable

from shoal.model import HttpProbe, ProgramProbe, SendExpectProbe
from shoal.nanny.probes import http, program, send_expect, tcp
from shoal.nanny.probes.base import Attempt
from shoal.nanny.questions import Question


def prepare(question: Question) -> Callable[[], Attempt]:
    """What makes the attempts for a question. All that is the same in each of them is done here, once."""
    match question.probe:
        case HttpProbe() as probe:
            return http.prepare(question, probe=probe)
        case SendExpectProbe() as probe:
            return send_expect.prepare(question, probe=probe)
        case ProgramProbe(command=command):
            return program.prepare(question, command=command)
        case _:
            return tcp.prepare(question)
