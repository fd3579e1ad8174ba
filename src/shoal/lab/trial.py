"""``shoal lab try``: real traffic through the cluster of a lab that is up, and what came of it."""

import hashlib
import json
import os
import random
import sys
from typing import Any

from shoal.errors import UnavailableError
from shoal.lab import namespaces
from shoal.lab.cluster import Lab
from shoal.lab.nodes import environment

BULK_SIZE = 64 << 20
_LIMIT = 120.0  # seconds for all of it
_CHUNK = 1 << 20


def try_lab(lab: Lab) -> dict[str, Any]:
    """Every trial with what it saw, and ``passed``: each of them did. Raises UnavailableError when none could run."""
    command = [sys.executable, "-m", "shoal.lab.client"]
    command += ["--address", str(lab.topology.vip), "--digest", _bulk_digest(lab)]
    in_this_shoal = ["env", f"PYTHONPATH={environment()['PYTHONPATH']}", *command]
    done = namespaces.run(lab.topology.namespace("client"), in_this_shoal, timeout=_LIMIT)
    if done.returncode != 0:
        raise UnavailableError(where="lab, client", problem=done.stderr.strip())
    trials = json.loads(done.stdout)
    topology = lab.topology
    return {
        "forward": str(topology.forward),
        "family": str(topology.family),
        "trials": trials,
        "passed": all("error" not in each for each in trials.values()),
    }


def _bulk_digest(lab: Lab) -> str:
    """The SHA-256 of the large file, which is made when it is not there yet."""
    path = lab.folder.bulk
    if not path.exists():
        chance = random.Random(path.name)
        unfinished = path.with_suffix(".new")
        with unfinished.open("wb") as file:
            for _ in range(BULK_SIZE // _CHUNK):
                file.write(chance.randbytes(_CHUNK))
        os.replace(unfinished, path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
