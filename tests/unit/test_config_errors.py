"""A wrong file is answered with every error in it: file and line, key, problem, fix."""

import pytest

from shoal import config
from shoal.errors import ConfigErrors
from support.configs import FULL, SMALL, one, problems, swap

LINE = {text: number for number, text in reversed([*enumerate(FULL.splitlines(), 1)])}


@pytest.mark.parametrize(
    ("old", "new", "where", "problem"),
    [
        # types
        ("serial = 7", 'serial = "7"', "serial", "text where a whole number belongs"),
        ("serial = 7", "serial = 7.5", "serial", "a number where a whole number belongs"),
        (
            "heartbeat_interval = 0.2",
            "heartbeat_interval = true",
            None,
            "true or false where a number belongs",
        ),
        ('name = "web"', "name = 1979-05-27", "cluster.name", "a date or time where text belongs"),
        (
            "max_connections = 65_536",
            "max_connections = true",
            None,
            "true or false where a whole number belongs",
        ),
        # ranges
        ("serial = 7", "serial = -1", "serial", "-1 is below 0"),
        ("serial = 7", "serial = 0x" + "f" * 5000, "serial", "a huge number is above 9223372036854775807"),
        ("heartbeat_port = 5391", "heartbeat_port = 0", "cluster.heartbeat_port", "0 is below 1"),
        ("heartbeat_port = 5391", "heartbeat_port = 65536", "cluster.heartbeat_port", "65536 is above 65535"),
        ("heartbeat_interval = 0.2", "heartbeat_interval = 0.001", None, "0.001 is below 0.01"),
        ("heartbeat_interval = 0.2", "heartbeat_interval = nan", None, "nan is not a number"),
        ("heartbeat_interval = 0.2", "heartbeat_interval = inf", None, "inf is above 10"),
        ("priority = 150", "priority = 255", "routers[0].priority", "255 is above 254"),
        ("max_connections = 65_536", "max_connections = 1023", None, "1023 is below 1024"),
        ("interval = 2", "interval = 0.05", "virtual_servers[0].monitor.interval", "0.05 is below 0.1"),
        ("rise = 3", "rise = 0", "virtual_servers[0].monitor.rise", "0 is below 1"),
        ("weight = 3", "weight = 65536", "virtual_servers[0].real_servers[0].weight", "65536 is above 65535"),
        (
            "port = 8080",
            "port = 65536",
            "virtual_servers[0].real_servers[0].port",
            "65536 is above 65535",
        ),
        # choices
        ('hook = "tc"', 'hook = "xpd"', "dataplane.hook", "'xpd' is not a known hook"),
        ('scheduler = "wrr"', 'scheduler = "maglev"', None, "'maglev' is not a known scheduler"),
        (
            'scheduler = "wrr"',
            'scheduler_flags = ["sh-port"]',
            "virtual_servers[0].scheduler_flags[0]",
            "the scheduler wlc has no flag 'sh-port'",
        ),
        ('method = "nat"', 'method = "direct"', None, "'direct' is not a known method"),
        ('type = "http"', 'type = "htp"', None, "'htp' is not a known monitor type"),
        ('type = "http"', "type = 5", None, "5 is not a known monitor type"),
        # notation
        ('name = "web"', 'name = "a b"', "cluster.name", "'a b' is not a name"),
        (
            'interface = "eth0"',
            'interface = "eth0/1"',
            None,
            "'eth0/1' cannot be the name of a network interface",
        ),
        ('gateway = "10.0.1.1/24"', 'gateway = "10.0.1.1"', None, "'10.0.1.1' has no prefix length"),
        (
            'gateway = "10.0.1.1/24"',
            'gateway = "10.0.1.0/24"',
            None,
            "10.0.1.0 is the network or broadcast address of 10.0.1.0/24",
        ),
        (
            'gateway = "10.0.1.1/24"',
            'gateway = "10.0.1.1/33"',
            None,
            "'10.0.1.1/33' is not an address with a prefix",
        ),
        (
            'gateway = "10.0.1.1/24"',
            'gateway = "fe80::1/64"',
            None,
            "'fe80::1' is a link-local address, which means another host on every link",
        ),
        ('public = "192.0.2.11"', 'public = "192.0.2.256"', None, "'192.0.2.256' is not an IP address"),
        ('public = "192.0.2.11"', 'public = "0.0.0.0"', None, "'0.0.0.0' is not the address of one host"),
        ('public = "192.0.2.11"', 'public = "224.0.0.1"', None, "'224.0.0.1' is not the address of one host"),
        (
            'public = "192.0.2.12"',
            'public = "2001:db8::12"',
            "routers[1].public",
            "2001:db8::12 is IPv6, and the other routers' addresses on path public are not",
        ),
        ('address = "10.0.1.21"', 'address = "rs1.example"', None, "'rs1.example' is not an IP address"),
        ('path = "/health"', 'path = "health"', None, "'health' is not a path"),
        ('path = "/health"', 'path = "/a b"', None, "'/a b' is not a path"),
        ('path = "/health"', 'host = "a\\r\\nb"', None, "'a\\r\\nb' is not a host name"),
        # rules
        ("dead_time = 0.5", "dead_time = 0.3", None, "0.3 s is less than two heartbeat intervals (0.4 s)"),
        ('name = "lb2"', 'name = "lb1"', "routers[1].name", "a second router is called lb1"),
        ('name = "dns"', 'name = "www"', "virtual_servers[1].name", "a second virtual server is called www"),
        (
            'public = "192.0.2.12"',
            'public = "192.0.2.11"',
            "routers[1].public",
            "192.0.2.11 is already the address of router lb1 on path public",
        ),
        (
            'key = "sixteen characters or more"',
            'key = "short"',
            None,
            "the key has 5 characters, fewer than 16",
        ),
        (
            'gateway = "10.0.1.1/24"',
            'gateway = "10.0.1.11/24"',
            None,
            "10.0.1.11 is the fixed address of router lb1, so it cannot float",
        ),
        (
            'gateway = "10.0.1.1/24"',
            'gateway = "10.0.9.1/24"',
            None,
            "10.0.9.0/24 does not hold 10.0.1.11, the address of router lb1 on this path",
        ),
        ('real_servers = ["10.0.1.21:53"]', "real_servers = []", None, "there is no real server"),
        (
            'listen = ["192.0.2.53:53/udp"]',
            "listen = []",
            "virtual_servers[1].listen",
            "there is no listener",
        ),
        (
            'address = "10.0.1.22"',
            'name = "rs1"\naddress = "10.0.1.22"',
            None,
            "a second real server of www is called rs1",
        ),
    ],
)
def test_one_wrong_value_is_one_error_at_its_line(old, new, where, problem):
    found_where, found_problem = one(swap(old, new))
    assert found_problem == problem
    if where is not None:
        assert found_where.split(": ")[1] == where
    line = next(number for text, number in LINE.items() if text.startswith(old.split("\n")[0]))
    assert int(found_where.split(":")[1]) == line


@pytest.mark.parametrize(
    ("listen", "problem"),
    [
        ("192.0.2.10:80", "'192.0.2.10:80' is not ADDRESS:PORT/PROTOCOL"),
        ("192.0.2.10/tcp", "'192.0.2.10/tcp' is not ADDRESS:PORT/PROTOCOL"),
        ("192.0.2.10:80/dccp", "'dccp' is not a known protocol"),
        ("192.0.2.10:0/tcp", "'0' is not a port"),
        ("192.0.2.10:65536/tcp", "'65536' is not a port"),
        ("192.0.2.10:/tcp", "'' is not a port"),
        ("192.0.2.10:\uff180/tcp", "'\\uff180' is not a port"),
        (":80/tcp", "'' is not an IP address"),
        ("www:80/tcp", "'www' is not an IP address"),
        ("192.0.2.010:80/tcp", "'192.0.2.010' is not an IP address"),
        ("2001:db8::1:80/tcp", "'2001:db8::1:80/tcp' is not ADDRESS:PORT/PROTOCOL"),
        ("[2001:db8::1]/tcp", "'[2001:db8::1]/tcp' is not ADDRESS:PORT/PROTOCOL"),
        (
            "2001:db8:0:0:0:0:0:1:80/tcp",
            "'2001:db8:0:0:0:0:0:1:80/tcp' has an IPv6 address without brackets",
        ),
        ("[192.0.2.53]:53/udp", "'[192.0.2.53]:53/udp' has an IPv4 address in brackets"),
        ("[::]:80/tcp", "'::' is not the address of one host"),
        ("[ff02::1]:80/tcp", "'ff02::1' is not the address of one host"),
        ("[::1]:80/tcp", "'::1' is a loopback address, which no other machine can reach"),
        ("[fe80::1]:80/tcp", "'fe80::1' is a link-local address, which means another host on every link"),
        ("[::ffff:192.0.2.1]:80/tcp", "'::ffff:192.0.2.1' is an IPv4 address mapped into IPv6"),
        ("[2001:db8::1%eth0]:80/tcp", "'2001:db8::1%eth0' has a zone, which only link-local addresses have"),
        ("[2001:db8::g]:80/tcp", "'2001:db8::g' is not an IP address"),
        ("127.0.0.1:80/tcp", "'127.0.0.1' is a loopback address, which no other machine can reach"),
        ("255.255.255.255:80/tcp", "'255.255.255.255' is not the address of one host"),
        ("192.0.2.10:443/tcp", "192.0.2.10:443/tcp is already served by www"),
        (
            "192.0.2.11:80/tcp",
            "192.0.2.11 is the fixed address of router lb1, so it cannot be a virtual address",
        ),
        ("10.0.1.1:80/tcp", "10.0.1.1 is the gateway of path private, so it cannot be a virtual address"),
    ],
)
def test_a_wrong_listener_says_what_is_wrong(listen, problem):
    line = LINE['listen = ["192.0.2.53:53/udp"]']
    found = one(swap("192.0.2.53:53/udp", listen))
    assert found == (f"f:{line}: virtual_servers[1].listen[0]", problem)


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        ("10.0.1.21", "'10.0.1.21' has no port"),
        ("10.0.1.21:x", "'x' is not a port"),
        ("rs1:80", "'rs1' is not an IP address"),
        ("10.0.1.22:53", "10.0.1.22:53 is already a real server of dns"),
        ("192.0.2.10:53", "192.0.2.10 is a virtual address, so packets would come back to the router"),
        ("[fe80::1]:53", "'fe80::1' is a link-local address, which means another host on every link"),
        ("2001:db8:1::21", "'2001:db8:1::21' has no port"),
        ("[2001:db8:1::21]", "'[2001:db8:1::21]' has no port"),
        ("[2001:db8:1::21]:53", "2001:db8:1::21 is IPv6 and the listeners are not; nat cannot change that"),
    ],
)
def test_a_wrong_real_server_in_short_form_says_what_is_wrong(server, problem):
    line = LINE['real_servers = ["10.0.1.21:53"]']
    found = one(swap('["10.0.1.21:53"]', f'["10.0.1.22:53", "{server}"]'))
    assert found == (f"f:{line}: virtual_servers[1].real_servers[1]", problem)


@pytest.mark.parametrize(
    ("monitor", "key", "problem"),
    [
        ('type = "http", statuses = []', ".statuses", "no status passes"),
        ('type = "http", statuses = [99]', ".statuses[0]", "99 is not a status or a range of them"),
        (
            'type = "http", statuses = ["300-200"]',
            ".statuses[0]",
            "'300-200' is not a status or a range of them",
        ),
        (
            'type = "http", statuses = [true]',
            ".statuses[0]",
            "true or false where a whole number or text belongs",
        ),
        ('type = "http", verify = true', ".verify", "unknown key 'verify'"),
        ('type = "program"', ".command", "'command' is missing"),
        ('type = "program", command = []', ".command", "there is no program to run"),
        ('type = "program", command = ["a", "\\u0000"]', ".command[1]", "an argument has a NUL character"),
        (
            'type = "send_expect", regex = "("',
            ".regex",
            "the pattern '(' does not compile: missing ), unterminated subpattern at position 0",
        ),
        ('type = "send_expect", regex = "a", expect = "a"', ".regex", "both expect and regex are given"),
        ("timeout = 61", ".timeout", "61 is above 60"),
        ("port = 65536", ".port", "65536 is above 65535"),
    ],
)
def test_a_wrong_monitor_says_what_is_wrong(monitor, key, problem):
    assert one(f"{SMALL}monitor = {{ {monitor} }}\n") == (f"f:8: virtual_servers[0].monitor{key}", problem)


@pytest.mark.parametrize(
    ("old", "new", "fix"),
    [
        ("heartbeat_port = 5391", "heartbeat_prot = 5391", "Did you mean 'heartbeat_port'?"),
        ("hook =", "hok =", "Did you mean 'hook'?"),
        ("[dataplane]", "[datapalne]", "Did you mean 'dataplane'?"),
        ("scheduler =", "schedular =", "Did you mean 'scheduler'?"),
        ("serial = 7", "gateway = 7", "It belongs in [paths.NAME]."),
        ("heartbeat_port = 5391", "hook = 5391", "It belongs in [dataplane]."),
        (
            "serial = 7",
            "zzz = 7",
            "Remove it; known here: serial, cluster, paths, routers, dataplane, timeouts, virtual_servers.",
        ),
        ("weight = 3", "weihgt = 3", "Did you mean 'weight'?"),
        ("listen =", "liten =", "Did you mean 'listen'?"),
        ("priority = 150", "priorty = 150", "Did you mean 'priority'?"),
    ],
)
def test_an_unknown_key_is_one_error_that_says_what_was_meant(old, new, fix):
    ((_, problem, found),) = problems(swap(old, new))
    assert problem == f"unknown key '{new.split(' ')[0].strip('[]')}'"
    assert found == fix


def test_a_key_of_a_monitor_type_is_pointed_to_that_type():
    ((_, _, fix),) = problems(f'{SMALL}monitor = {{ type = "tcp", verify = true }}\n')
    assert fix == 'It belongs in [virtual_servers.monitor] with type = "https".'


@pytest.mark.parametrize(
    ("new", "fix"),
    [
        ('pubic = "192.0.2.12"', "Did you mean 'public'?"),
        ('dmz = "192.0.2.12"', "Add [paths.dmz], or remove it."),
    ],
)
def test_an_address_on_an_unknown_path_is_an_error(new, fix):
    found = problems(swap('private = "10.0.1.12"', f'private = "10.0.1.12"\n{new}'))
    assert [(problem, its_fix) for _, problem, its_fix in found] == [
        (f"{new.split(' ')[0]!r} is neither a key of a router nor a path", fix)
    ]


def test_a_gateway_among_a_routers_keys_is_pointed_to_its_path():
    ((where, _, fix),) = problems(
        swap('private = "10.0.1.12"', 'private = "10.0.1.12"\ngateway = "10.0.1.1/24"')
    )
    assert (where, fix) == ("f:27: routers[1].gateway", "It belongs in [paths.NAME].")


def test_a_router_without_an_address_where_its_peer_has_one_is_an_error():
    assert one(swap('private = "10.0.1.12"\n', "")) == (
        "f:23: routers[1].private",
        "router lb2 has no address on path private",
    )


def test_several_routers_need_a_key():
    assert one(swap('key = "sixteen characters or more"\n', "")) == (
        "f:3: cluster.key_file",
        "there are several routers and no key to authenticate their heartbeats",
    )


def test_the_public_path_must_be_there():
    assert one(swap("[paths.public]", "[paths.private]", text=SMALL))[1].startswith(
        "the path public is missing"
    )


def test_a_path_cannot_have_the_name_of_a_routers_key():
    text = SMALL + '[paths.name]\ninterface = "eth1"\n'
    assert one(text) == (
        "f:8: paths.name",
        "a path cannot be called name, since routers have a key of that name",
    )


def test_the_same_gateway_on_two_paths_is_an_error():
    text = (
        SMALL
        + '[paths.a]\ninterface="a"\ngateway="10.0.1.1/24"\n[paths.b]\ninterface="b"\ngateway="10.0.1.1/24"\n'
    )
    assert one(text) == ("f:13: paths.b.gateway", "10.0.1.1 is already the gateway of path a")


def test_more_floating_addresses_than_the_lease_can_name_are_an_error():
    listen = ", ".join(f'"198.18.{n // 250}.{n % 250 + 1}:80/tcp"' for n in range(1001))
    assert one(swap('"192.0.2.10:80/tcp"', listen, text=SMALL)) == (
        "f:4: virtual_servers",
        "1001 floating addresses are more than 1000",
    )


def test_all_errors_come_at_once_in_the_order_of_the_lines():
    text = swap("serial = 7", "serial = -1")
    text = swap("priority = 150", "priority = 0", text=text)
    text = swap('name = "dns"', 'name = "www"', text=text)
    text = swap("192.0.2.53:53/udp", "192.0.2.10:80/tcp", text=text)
    assert [where for where, _, _ in problems(text)] == [
        "f:1: serial",
        "f:19: routers[0].priority",
        "f:56: virtual_servers[1].name",
        "f:57: virtual_servers[1].listen[0]",
    ]


def test_what_only_follows_from_another_error_is_not_reported():
    assert [
        where for where, _, _ in problems(swap("heartbeat_interval = 0.2", 'heartbeat_interval = "x"'))
    ] == ["f:7: cluster.heartbeat_interval"]
    assert [
        where for where, _, _ in problems(swap("[[virtual_servers]]", "[virtual_servers]", text=SMALL))
    ] == ["f:4: virtual_servers"]


def test_the_text_of_the_errors_is_ready_to_print():
    with pytest.raises(ConfigErrors) as caught:
        config.parse(swap("serial = 7", "serial = -1"), source="/etc/shoal.toml")
    assert (
        str(caught.value) == "/etc/shoal.toml:1: serial: -1 is below 0\n  fix: Use 0 to 9223372036854775807."
    )
