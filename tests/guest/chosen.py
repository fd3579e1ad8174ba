"""Which tests run in the guest: a few of every kind of packet, for an emulated CPU is ten times slower.

Of a test with parameters those run that concern the kernel: no fakes.
"""

_CONTRACT = (
    "test_forwarding.py::test_a_request_goes_to_the_real_server_with_nothing_else_changed",
    "test_forwarding.py::test_a_reply_comes_back_in_the_name_of_the_virtual_address",
    "test_forwarding.py::test_udp_goes_both_ways",
    "test_forwarding.py::test_payloads_arrive_as_they_were_sent",
    "test_direct_routing.py::test_a_request_leaves_as_it_came_but_for_its_ttl",
    "test_tunnels.py::test_a_request_leaves_as_it_came_but_for_its_ttl_inside_another",
    "test_tunnels.py::test_a_packet_that_does_not_fit_its_way_is_dropped_by_name",
    "test_fullnat.py::test_a_reply_to_the_router_goes_to_the_client_in_the_listeners_name",
    "test_local.py::test_every_packet_is_passed_to_the_host_untouched",
    "test_connections.py::test_a_sweep_removes_what_has_expired_and_nothing_else",
    "test_connections.py::test_the_time_left_is_told",
    "test_fragments.py::test_a_datagram_in_fragments_opens_a_connection_and_arrives_whole",
    "test_fragments.py::test_a_fragment_before_its_first_waits",
    "test_sctp.py::test_an_association_is_shut_down",
    "test_sctp.py::test_an_error_about_an_association_finds_it",
    "test_related_errors.py::test_an_error_about_a_reply_reaches_the_real_server_as_if_about_its_own_packet",
    "test_fullnat_uncommon.py::test_an_error_about_what_the_router_itself_has_sent_is_the_hosts",
    "test_removal.py::test_a_tcp_connection_of_a_removed_real_server_is_reset_when_told_so",
    "test_stateless.py::test_replies_to_single_datagrams_come_from_the_listener",
    "test_persistence.py::test_the_new_connections_of_a_client_go_where_its_first_one_went",
    "test_admission.py::test_the_longest_prefix_decides",
    "test_listeners.py::test_any_port_serves_what_nobody_else_does",
    "test_mss_clamp.py::test_so_does_the_answer_of_a_real_server",
)
_SOCKETS = (
    "test_dataplane_sockets.py::test_connections_reach_every_server_in_turn_and_see_the_virtual_address",
    "test_dataplane_sockets.py::test_a_running_transfer_does_not_notice_that_the_control_plane_is_replaced[clsact]",
    "test_extension_sockets.py::test_datagrams_arrive_with_them_both_ways_whole_and_in_fragments[tc-both-nat]",
    "test_realserver_tunnels.py::test_a_server_gets_the_clients_datagram_and_answers_the_client[ipip-4-4]",
    "test_realserver_tunnels.py::test_a_server_gets_the_clients_datagram_and_answers_the_client[gre-6-6]",
    "test_realserver_tunnels.py::test_devices_of_the_kernel_are_made_kept_and_taken_away_and_no_others",
)
CHOSEN = (
    "tests/guest/in_the_guest.py::test_the_kernel_is_that_of_debian_12",
    "tests/guest/in_the_guest.py::test_every_object_is_taken",
    "tests/guest/in_the_guest.py::test_without_tcx_a_clsact_filter_is_attached",
    "tests/bpf/test_extension_headers.py::test_fullnat_changes_both_ends_of_requests_and_replies",
    "tests/bpf/test_decapsulation.py::test_a_packet_for_a_virtual_address_comes_out_as_it_went_in",
    *(f"tests/contract/{each}" for each in _CONTRACT),
    *(f"tests/netns/{each}" for each in _SOCKETS),
)


def concerns_the_kernel(test: str) -> bool:
    """Whether a node id is not one of a fake."""
    return "[fake" not in test


def group(test: str) -> str:
    """Tests run in two processes, one for each CPU of the guest, which load the programs of one hook each."""
    return "xdp" if "xdp" in test.partition("[")[2] else "tc"
