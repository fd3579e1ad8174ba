"""Typed messages between the children, over Unix SEQPACKET sockets (one struct a datagram, MessagePack)."""
