"""The contract header means the same to the compiler and to cffi."""

import re
from ipaddress import IPv6Address

import pytest

from shoal.dataplane.base import Drop
from shoal.dataplane.ebpf import abi, objects
from shoal.dataplane.ebpf.abi import built, ffi
from shoal.dataplane.ebpf.addresses import ENDPOINT_SIZE, address_in, listener_key, port_of
from shoal.dataplane.ebpf.libbpf import Object, lib
from shoal.model import ConnectionState, Listener, Protocol, sctp_states
from shoal.model.connection import Direction
from shoal.model.sctp_states import SctpEvent
from shoal.model.tcp_states import TRANSITIONS, TcpEvent
from shoal.realserver import decapsulation
from shoal.system import lease

BTF_KIND_STRUCT, BTF_KIND_ENUM = 4, 6
HEADER = re.sub(r"/\*.*?\*/", "", built("abi.h").read_text(), flags=re.DOTALL)
STRUCTS = re.findall(r"^struct (\w+) \{", HEADER, flags=re.MULTILINE)
ENUMS = re.findall(r"^enum (\w+) \{", HEADER, flags=re.MULTILINE)


@pytest.fixture(scope="module", params=objects.OBJECTS)
def btf(request):
    loaded = Object(str(built(request.param)))
    yield loaded.btf
    loaded.close()


def found_type(btf, name, kind):
    number = lib.btf__find_by_name_kind(btf, name.encode(), kind)
    return lib.btf__type_by_id(btf, number) if number > 0 else None


def text(btf, offset):
    return ffi.string(lib.btf__name_by_offset(btf, offset)).decode()


def test_every_member_stands_where_the_compiler_put_it(btf):
    compared = set()
    for name in STRUCTS:
        of_compiler = found_type(btf, name, BTF_KIND_STRUCT)
        if of_compiler is None:
            continue
        ours = ffi.typeof(f"struct {name}")
        members = ffi.cast("struct btf_member *", of_compiler + 1)
        offsets = {
            text(btf, members[i].name_off): (members[i].offset & 0xFFFFFF) // 8
            for i in range(of_compiler.info & 0xFFFF)
        }
        assert offsets == {field: entry.offset for field, entry in ours.fields}
        assert of_compiler.size_or_type == ffi.sizeof(ours)
        compared.add(name)
    assert compared >= {"destination", "service_config", "settings", "ownership"}
    assert compared & {"connection4", "connection6"}


def test_no_struct_of_the_header_is_left_uncompared():
    seen = set()
    for name in (*objects.OBJECTS, decapsulation.OBJECT):
        loaded = Object(str(built(name)))
        seen |= {struct for struct in STRUCTS if found_type(loaded.btf, struct, BTF_KIND_STRUCT)}
        loaded.close()
    assert seen == set(STRUCTS)


def test_a_real_servers_key_stands_where_the_compiler_put_it():
    loaded = Object(str(built(decapsulation.OBJECT)))
    of_compiler = found_type(loaded.btf, "opening_key", BTF_KIND_STRUCT)
    members = ffi.cast("struct btf_member *", of_compiler + 1)
    offsets = [(members[i].offset & 0xFFFFFF) // 8 for i in range(of_compiler.info & 0xFFFF)]
    of_enum = found_type(loaded.btf, "shoal_opening", BTF_KIND_ENUM)
    values = ffi.cast("struct btf_enum *", of_enum + 1)
    named = {text(loaded.btf, values[i].name_off): values[i].val for i in range(of_enum.info & 0xFFFF)}
    loaded.close()
    assert offsets == [entry.offset for _, entry in ffi.typeof("struct opening_key").fields]
    assert named == abi.OPENINGS


def test_the_version_is_the_compilers(btf):
    of_compiler = found_type(btf, "shoal_limit", BTF_KIND_ENUM)
    values = ffi.cast("struct btf_enum *", of_compiler + 1)
    named = {text(btf, values[i].name_off): values[i].val for i in range(of_compiler.info & 0xFFFF)}
    assert named == abi.LIMITS


def test_a_connection_is_one_cache_line_and_a_bucket_never_crosses_a_page():
    assert ffi.sizeof("struct connection4") == 64
    assert 4096 % ffi.sizeof("struct bucket4") == 0
    assert ffi.sizeof("struct bucket4") == 64 * abi.LIMITS["SHOAL_BUCKET_SLOTS"]
    assert ffi.sizeof("struct connection6") == 128
    assert 4096 % ffi.sizeof("struct bucket6") == 0
    assert dict(ffi.typeof("struct connection6").fields)["inside"].offset == 64  # the search reads one line


def test_the_states_of_the_programs_are_those_of_the_model():
    assert [abi.STATES[f"SHOAL_{state.name}"] for state in ConnectionState] == list(range(3, 28))


@pytest.mark.parametrize("name", objects.OBJECTS[:4])
def test_the_transitions_of_the_programs_are_those_of_the_model(name):
    """Read out of the compiled object's constants, byte by byte."""
    whole = built(name).read_bytes()
    states = list(TRANSITIONS[Direction.INPUT][TcpEvent.SYN])
    table = bytes(
        abi.STATES[f"SHOAL_{TRANSITIONS[direction][event][state].name}"]
        for direction in (Direction.INPUT, Direction.OUTPUT)
        for event in (TcpEvent.SYN, TcpEvent.FIN, TcpEvent.ACK, TcpEvent.RST)
        for state in states
    )
    assert len(table) == 88
    assert table in whole


@pytest.mark.parametrize("name", objects.OBJECTS[:4])
def test_so_are_those_of_sctp(name):
    table = bytes(
        abi.STATES[f"SHOAL_{following.name}"]
        for direction in Direction
        for event in SctpEvent
        for following in sctp_states.TRANSITIONS[direction][event].values()
    )
    assert len(table) == 3 * 10 * 14
    assert table in built(name).read_bytes()


def test_every_drop_of_the_programs_has_a_name_and_every_name_a_drop():
    of_programs = {name.removeprefix("SHOAL_").lower() for name in abi.DROPS} - {"drops"}
    assert of_programs == {drop.value for drop in Drop}


def test_the_lease_is_where_pulse_writes_it():
    """pulse maps the lease without cffi, to stay small; its offsets are held to the contract here."""
    offsets = {name: member.offset for name, member in ffi.typeof("struct ownership").fields}
    assert offsets == {
        "lease_until": lease._LEASE_OFFSET,
        "handover_until": lease._HANDOVER_OFFSET,
        "n_addresses": lease._COUNT_OFFSET,
        "reserved": lease._COUNT_OFFSET + 4,
        "addresses": lease._ADDRESSES_OFFSET,
    }
    assert abi.LIMITS["SHOAL_MAX_FLOATING"] == lease.MAX_ADDRESSES
    assert lease.NOT_IN_USE == 0
    assert ffi.sizeof("struct ownership") == lease._SIZE
    assert ffi.sizeof("struct address6") == lease._ADDRESS_SIZE


def test_what_python_packs_by_itself_stands_where_the_contract_has_it():
    def offsets(name):
        return {field: member.offset for field, member in ffi.typeof(f"struct {name}").fields}

    listener = Listener(address=IPv6Address("2001:db8::1"), port=0x1234, protocol=Protocol.UDP)
    key = ffi.from_buffer("struct listener_key *", listener_key(listener), require_writable=False)
    assert ffi.sizeof("struct listener_key") == len(listener_key(listener))
    assert (address_in(key.address), port_of(key.port), key.protocol) == (listener.address, 0x1234, 17)
    assert offsets("destination")["port"] == offsets("listener_key")["port"] == ENDPOINT_SIZE - 2
    assert (offsets("destination")["address"], offsets("listener_key")["address"]) == (0, 0)
    assert (offsets("reverse")["virtual_port"], offsets("reverse")["destination"]) == (16, 20)
    assert ffi.sizeof("struct reverse") == 24
