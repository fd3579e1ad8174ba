"""One nftables table of our own, by libnftables' JSON (libnftables(3), libnftables-json(5)) through cffi."""

import json
from collections.abc import Sequence
from typing import Any

import cffi

from shoal.errors import InternalError, ShoalError, UnavailableError

_ffi: Any = cffi.FFI()
_ffi.cdef("""
struct nft_ctx;
struct nft_ctx *nft_ctx_new(uint32_t flags);
void nft_ctx_free(struct nft_ctx *context);
void nft_ctx_output_set_flags(struct nft_ctx *context, unsigned int flags);
int nft_ctx_buffer_output(struct nft_ctx *context);
int nft_ctx_buffer_error(struct nft_ctx *context);
const char *nft_ctx_get_output_buffer(struct nft_ctx *context);
const char *nft_ctx_get_error_buffer(struct nft_ctx *context);
int nft_run_cmd_from_buffer(struct nft_ctx *context, const char *commands);
""")
_JSON = 1 << 4  # NFT_CTX_OUTPUT_JSON

Object = dict[str, Any]


class OwnTable:
    """The table of this name; whatever stands in it is ours, and nothing outside of it is touched."""

    def __init__(self, name: str, *, family: str = "inet") -> None:
        self._table = {"family": family, "name": name}

    def keep(self, wanted: Sequence[Object]) -> bool:
        """Have exactly these chains and rules, replaced in one transaction; nothing: no table. True: it changed.

        Raises UnavailableError when rules are wanted and cannot be had.
        """
        installed = self.installed()
        if installed == (list(wanted) or None):
            return False
        add, delete = {"add": {"table": self._table}}, {"delete": {"table": self._table}}
        fresh = [add, *({"add": each} for each in wanted)] if wanted else []
        _run([add, delete, *fresh])
        return True

    def installed(self) -> list[Object] | None:
        """The table's chains and rules, without their numbers; None where there is no table, or no nftables."""
        try:
            listed = json.loads(_run([{"list": {"table": self._table}}]))["nftables"]
        except ShoalError:
            return None
        return [_without_number(each) for each in listed if not each.keys() & {"metainfo", "table"}]

    def remove(self) -> bool:
        """Take the table away. False: there was none."""
        return self.keep(())


def _without_number(listed: Object) -> Object:
    ((kind, content),) = listed.items()
    return {kind: {key: value for key, value in content.items() if key != "handle"}}


def _run(commands: Sequence[Object]) -> str:
    """One transaction; what libnftables prints. Raises UnavailableError with its words when it is refused."""
    library = _library()
    context = library.nft_ctx_new(0)
    if context == _ffi.NULL:
        raise InternalError(where="libnftables", problem="it gives no context")
    try:
        library.nft_ctx_output_set_flags(context, _JSON)
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        text = json.dumps({"nftables": list(commands)}).encode()
        if library.nft_run_cmd_from_buffer(context, text):
            said = _ffi.string(library.nft_ctx_get_error_buffer(context)).decode(errors="replace")
            raise UnavailableError(
                where="nftables",
                problem=" ".join(said.split()) or "the kernel refuses the rules",
                fix="run as root, on a kernel with CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT and CONFIG_NFT_MASQ",
            )
        return str(_ffi.string(library.nft_ctx_get_output_buffer(context)).decode())
    finally:
        library.nft_ctx_free(context)


def _library() -> Any:
    try:
        return _ffi.dlopen("libnftables.so.1")
    except OSError as error:
        raise UnavailableError(
            where="libnftables.so.1", problem="it is not installed", fix="apt-get install libnftables1"
        ) from error
