"""The ways from a virtual address to the servers: each function makes one router of the site work in its way."""

import dataclasses
import shutil
import subprocess
from pathlib import Path

from machine import inside
from shoal.dataplane.base import Destination, PutService, Service
from shoal.dataplane.ebpf.backend import EbpfDataplane, find_interfaces
from shoal.lab import namespaces
from shoal.model import ForwardingMethod, Hook, Listener, Protocol
from wiring import Router, daemon

WEB_PORT, BULK_PORT, UDP_PORT = 80, 5201, 9000
MAX_CONNECTIONS = 1 << 20


def forward(router: Router) -> None:
    """Plain forwarding: a multipath route by a hash of addresses and ports. No balancer at all: the baseline."""
    hops = " ".join(f"nexthop via {real}" for real in router.reals)
    namespaces.batch(
        [f"route replace {router.web} {hops}", f"route replace {router.bulk} via {router.real(1)}"],
        namespace=router.namespace,
    )


def translate(router: Router) -> None:
    """nftables: DNAT through the kernel's connection tracking, by a hash of address and port."""
    places = ", ".join(f"{number} : {real}" for number, real in enumerate(router.reals))
    chosen = f"dnat to jhash ip saddr . {{}} sport mod {len(router.reals)} map {{{{ {places} }}}}"
    rules = f"""
    table ip bench {{
        chain prerouting {{
            type nat hook prerouting priority dstnat;
            ip daddr {router.web} tcp dport {WEB_PORT} {chosen.format("tcp")}
            ip daddr {router.web} udp dport {UDP_PORT} {chosen.format("udp")}
            ip daddr {router.bulk} tcp dport {BULK_PORT} dnat to {router.real(1)}
        }}
    }}
    """
    command = namespaces.enter(router.namespace, ["nft", "-f", "-"])
    subprocess.run(command, input=rules, text=True, check=True)


def balance(router: Router, folder: Path, *, hook: Hook, frames: bool = False) -> EbpfDataplane:
    """Shoal, pinned under ``folder`` (a bpffs). ``frames``: the wires carry frames with whole checksums, as those
    of a physical interface do, and get the program for such."""
    with inside(router.namespace):
        dataplane = EbpfDataplane.open(folder / router.mode, max_connections=MAX_CONNECTIONS)
        interfaces = find_interfaces(router.links)
        if frames:
            interfaces = [dataclasses.replace(interface, kind="") for interface in interfaces]
        dataplane.attach(interfaces, hook)
        wanted = "xdp+" if hook is Hook.XDP else "tc"
        for attachment in dataplane.attachments():
            if not (attachment.hook.startswith(wanted) or (attachment.hook == "clsact" and hook is Hook.TC)):
                raise RuntimeError(f"{attachment.interface}: {attachment.hook} ({attachment.reason})")
        dataplane.apply(
            [
                PutService(service=_service(router, "web", Protocol.TCP, WEB_PORT)),
                PutService(service=_service(router, "udp", Protocol.UDP, UDP_PORT)),
                PutService(service=_service(router, "bulk", Protocol.TCP, BULK_PORT)),
            ]
        )
    return dataplane


def _service(router: Router, name: str, protocol: Protocol, port: int) -> Service:
    is_bulk = name == "bulk"
    address = router.bulk if is_bulk else router.web
    reals = router.reals[:1] if is_bulk else router.reals
    return Service(
        name=name,
        listeners=(Listener(address=address, port=port, protocol=protocol),),
        scheduler="wlc",
        method=ForwardingMethod.NAT,
        destinations=tuple(Destination(address=real, port=port, weight=1) for real in reals),
    )


def haproxy() -> str | None:
    """The HAProxy program, where it is installed."""
    return shutil.which("haproxy", path="/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin")


def proxy(router: Router, folder: Path) -> subprocess.Popen[bytes]:
    """HAProxy as a TCP proxy with one thread and kernel splicing."""
    servers = "\n".join(f"  server s{number} {real}:{WEB_PORT}" for number, real in enumerate(router.reals))
    text = f"""
global
  nbthread 1
  maxconn 4000
defaults
  mode tcp
  option splice-auto
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen web
  bind {router.web}:{WEB_PORT}
  balance roundrobin
{servers}
listen bulk
  bind {router.bulk}:{BULK_PORT}
  server s0 {router.real(1)}:{BULK_PORT}
"""
    config = folder / "haproxy.cfg"
    config.write_text(text)
    namespaces.batch(
        [f"address add {router.web}/32 dev lo", f"address add {router.bulk}/32 dev lo"],
        namespace=router.namespace,
    )
    return daemon(router.namespace, [haproxy() or "haproxy", "-db", "-f", str(config)])
