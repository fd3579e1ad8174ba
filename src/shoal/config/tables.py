"""What every table of the configuration file is: its keys are declared, and it knows where it stands."""

from typing import ClassVar

import msgspec

TablePath = tuple[str | int, ...]


class Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, dict=True):
    """A TOML table. ``further_keys`` names the field that takes keys that the operator names."""

    further_keys: ClassVar[str] = ""

    @property
    def at(self) -> TablePath:
        """Where the table stands in the file, for error messages; empty when it was left out."""
        found: TablePath = self.__dict__.get("at", ())
        return found

    def placed(self, at: TablePath) -> None:
        """Remember where the table stands."""
        self.__dict__["at"] = at
