"""What an operator orders of real servers, as typed structs. Pure."""

from typing import Annotated, Literal

import msgspec


class UndrainOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A real server by its name or ``address:port``, in a virtual server."""

    virtual_server: str
    real_server: str


class DrainOrder(UndrainOrder, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``deadline``: seconds from now; 0: none; None: the ``drain_timeout`` of the virtual server, with ``cut``.

    ``cut``: connections that are left then are ended.
    """

    state: Literal["drain", "maintenance"] = "drain"
    deadline: Annotated[float, msgspec.Meta(ge=0, le=31_536_000)] | None = None
    cut: bool = False


class DrainView(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator wants of a real server from now on."""

    virtual_server: str
    real_server: str
    state: str
