"""What is asked, and on whose behalf."""

from dataclasses import replace

import pytest

from shoal import config
from shoal.model import Cluster, Protocol
from shoal.nanny.questions import Asker, Question, questions


def cluster(*virtual_servers: str) -> Cluster:
    head = '[paths.public]\ninterface = "eth0"\n'
    return config.parse(head + "".join(virtual_servers), source="test")


def virtual_server(
    name: str, *, port: int = 80, protocol: str = "tcp", monitor: str = "", real: str = ""
) -> str:
    return (
        f'[[virtual_servers]]\nname = "{name}"\nlisten = ["192.0.2.10:{port}/{protocol}"]\n'
        f"real_servers = [{real or chr(34) + '10.0.1.21:80' + chr(34)}]\n"
        f"[virtual_servers.monitor]\n{monitor}\n"
    )


def only(asked: Cluster) -> Question:
    (question,) = questions(asked)
    return question


def test_one_question_serves_every_virtual_server_that_asks_it():
    asked = questions(cluster(virtual_server("www"), virtual_server("www2", port=81)))
    assert list(asked.values()) == [
        (
            Asker(virtual_server="www", real_server="10.0.1.21:80", endpoint="10.0.1.21:80"),
            Asker(virtual_server="www2", real_server="10.0.1.21:80", endpoint="10.0.1.21:80"),
        )
    ]


@pytest.mark.parametrize(
    "monitor",
    ["interval = 2.0", "timeout = 2.0", "rise = 3", "fall = 3", "port = 8080", 'type = "http"'],
)
def test_another_probe_or_rhythm_is_another_question(monitor: str):
    asked = questions(cluster(virtual_server("www"), virtual_server("www2", port=81, monitor=monitor)))
    assert len(asked) == 2


def test_questions_come_in_the_order_of_the_configuration():
    asked = questions(cluster(virtual_server("www", real='"10.0.1.23:80", "10.0.1.21:80", "10.0.1.22:80"')))
    assert [str(question.address) for question in asked] == ["10.0.1.23", "10.0.1.21", "10.0.1.22"]


def test_a_real_server_is_asked_at_its_own_port_unless_the_monitor_has_one():
    assert only(cluster(virtual_server("www"))).port == 80
    assert only(cluster(virtual_server("www", monitor="port = 8080"))).port == 8080


def test_send_expect_talks_udp_where_every_listener_is_udp():
    monitor = 'type = "send_expect"\nsend = "x"'
    assert only(cluster(virtual_server("dns", protocol="udp", monitor=monitor))).protocol is Protocol.UDP
    assert only(cluster(virtual_server("dns", monitor=monitor))).protocol is Protocol.TCP


def test_send_expect_talks_tcp_where_listeners_are_mixed():
    text = virtual_server("dns", protocol="udp", monitor='type = "send_expect"\nsend = "x"')
    mixed = text.replace('"192.0.2.10:80/udp"', '"192.0.2.10:80/udp", "192.0.2.10:80/tcp"')
    assert only(cluster(mixed)).protocol is Protocol.TCP


def test_other_probes_talk_tcp_also_for_udp_listeners():
    assert only(cluster(virtual_server("dns", protocol="udp"))).protocol is Protocol.TCP


def test_the_identity_says_what_is_asked_and_not_how_often():
    asked = only(cluster(virtual_server("www", monitor='type = "http"\npath = "/up"\nhost = "w"')))
    assert asked.identity == "10.0.1.21:80/tcp http /up host=w statuses=((200, 399),)"
    assert replace(asked, interval=9.0, timeout=3.0, rise=7, fall=7).identity == asked.identity


@pytest.mark.parametrize(
    ("monitor", "identity"),
    [
        ("", "10.0.1.21:80/tcp tcp"),
        (
            'type = "https"\nverify = true\nhost = "w"',
            "10.0.1.21:80/tcp https / host=w statuses=((200, 399),) verify",
        ),
        ('type = "send_expect"\nsend = "x"\nexpect = "y"', "10.0.1.21:80/tcp send_expect b'x' b'y' ''"),
        ('type = "program"\ncommand = ["/bin/true", "%h"]', "10.0.1.21:80/tcp program ('/bin/true', '%h')"),
    ],
)
def test_every_kind_of_probe_has_an_identity(monitor: str, identity: str):
    assert only(cluster(virtual_server("www", monitor=monitor))).identity == identity
