"""From TOML's tables to the schema's: unknown keys, missing keys, wrong types, numbers out of range.

Reads the declarations of ``schema.py`` through ``msgspec.inspect``. ``msgspec.convert`` does the same, but
stops at the first error, and the operator should see all of them. A value that is wrong is reported and
replaced by an empty one, so that the rest of the file is still looked at.
"""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, cast

from msgspec import inspect

from shoal.config.findings import Findings
from shoal.config.notation import shown
from shoal.config.schema import Document
from shoal.config.tables import Table, TablePath

_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "text"),
    (list, "a list"),
    (dict, "a table"),
)


def _kind(value: object) -> str:
    return next((words for kind, words in _KINDS if isinstance(value, kind)), "a date or time")


def _plain(node: inspect.Type) -> inspect.Type:
    return node.type if isinstance(node, inspect.Metadata) else node


def _tables(node: inspect.Type) -> list[inspect.StructType]:
    """The kinds of table that a type admits; the first is the default."""
    members = node.types if isinstance(node, inspect.UnionType) else (node,)
    return [member for member in members if isinstance(member, inspect.StructType)]


def _keys(table: inspect.StructType) -> dict[str, inspect.Field]:
    further = cast(type[Table], table.cls).further_keys
    return {each.encode_name: each for each in table.fields if each.encode_name != further}


def _homes(node: inspect.Type, label: str) -> Iterator[tuple[str, str]]:
    """Every key of the schema with the name of its table."""
    node = _plain(node)
    if isinstance(node, inspect.ListType):
        yield from _homes(node.item_type, f"[{label}]")
    elif isinstance(node, inspect.DictType):
        yield from _homes(node.value_type, f"{label}.NAME")
    for table in _tables(node):
        kind = f' with type = "{table.tag}"' if table.tag_field else ""
        inner = label.strip("[]")
        for key, each in _keys(table).items():
            yield key, f"[{label}]{kind}" if label else "the top of the file"
            yield from _homes(each.type, f"{inner}.{key}" if inner else key)


@cache
def _schema() -> inspect.Type:
    return inspect.type_info(Document)


@cache
def _homes_of_keys() -> Mapping[str, tuple[str, ...]]:
    homes: dict[str, tuple[str, ...]] = {}
    for key, label in _homes(_schema(), ""):
        homes[key] = (*homes.get(key, ()), label)
    return homes


def home_of(key: str) -> str:
    """The tables where a key of that name belongs; empty when there is none."""
    return " or ".join(dict.fromkeys(_homes_of_keys().get(key, ())))


def likely(word: str, known: Iterable[str]) -> str | None:
    """The known word that somebody who wrote ``word`` most likely meant."""
    close = difflib.get_close_matches(word[:100], list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def _empty(node: inspect.Type, at: TablePath) -> Any:
    """Something of the right type to stand in for a value that is wrong."""
    node = _plain(node)
    tables = _tables(node)
    if tables and (not isinstance(node, inspect.UnionType) or tables[0].tag_field):
        keys = {each.name: _empty(each.type, at) for each in tables[0].fields if each.required}
        table = cast(Table, tables[0].cls(**keys))
        table.placed(at)
        return table
    if isinstance(node, inspect.LiteralType):
        return node.values[0]
    if isinstance(node, inspect.ListType | inspect.DictType):
        return [] if isinstance(node, inspect.ListType) else {}
    return {inspect.IntType: 0, inspect.FloatType: 0.0, inspect.BoolType: False}.get(type(node), "")


class _Reader:
    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def value(self, node: inspect.Type, value: object, *, at: TablePath) -> Any:
        """The value as the schema's type, or an empty one after a report."""
        node = _plain(node)
        if isinstance(value, dict) and (tables := _tables(node)):
            return self._table(self._kind_of_table(tables, value, at=at), value, at=at)
        if isinstance(node, inspect.ListType) and isinstance(value, list):
            return [self.value(node.item_type, each, at=(*at, index)) for index, each in enumerate(value)]
        if isinstance(node, inspect.DictType) and isinstance(value, dict):
            return {key: self.value(node.value_type, each, at=(*at, key)) for key, each in value.items()}
        members = node.types if isinstance(node, inspect.UnionType) else (node,)
        for member in members:
            if isinstance(member, inspect.ListType) and isinstance(value, list):
                return self.value(member, value, at=at)
            if self._is_of(member, value):
                return self._scalar(member, value, at=at)
        expected = " or ".join(
            dict.fromkeys(
                self._wanted(member) for member in members if not isinstance(member, inspect.NoneType)
            )
        )
        self._findings.report(
            at, problem=f"{_kind(value)} where {expected} belongs", fix=f"Write {expected} here."
        )
        return _empty(node, at)

    @staticmethod
    def _is_of(node: inspect.Type, value: object) -> bool:
        if isinstance(node, inspect.BoolType):
            return isinstance(value, bool)
        if isinstance(node, inspect.IntType):
            return isinstance(value, int) and not isinstance(value, bool)
        if isinstance(node, inspect.FloatType):
            return isinstance(value, int | float) and not isinstance(value, bool)
        return isinstance(node, inspect.StrType | inspect.LiteralType) and isinstance(value, str)

    @staticmethod
    def _wanted(node: inspect.Type) -> str:
        words: dict[type[inspect.Type], str] = {
            inspect.BoolType: "true or false",
            inspect.IntType: "a whole number",
            inspect.FloatType: "a number",
            inspect.ListType: "a list",
            inspect.DictType: "a table",
            inspect.StructType: "a table",
        }
        return words.get(type(node), "text")

    def _scalar(self, node: inspect.Type, value: Any, *, at: TablePath) -> Any:
        if isinstance(node, inspect.LiteralType):
            return self._choice(node, value, at=at)
        if isinstance(node, inspect.IntType | inspect.FloatType):
            return self._number(node, value, at=at)
        return value

    def _choice(self, node: inspect.LiteralType, value: str, *, at: TablePath) -> Any:
        if value in node.values:
            return value
        choices = ", ".join(str(each) for each in node.values)
        meant = likely(value, (str(each) for each in node.values))
        hint = f"Did you mean {meant!r}? " if meant else ""
        problem = f"{shown(value)} is not a known {at[-1]}"
        self._findings.report(at, problem=problem, fix=f"{hint}Use {choices}.")
        return _empty(node, at)

    def _number(self, node: inspect.IntType | inspect.FloatType, value: int | float, *, at: TablePath) -> Any:
        low = -math.inf if node.ge is None else node.ge
        high = math.inf if node.le is None else node.le
        if low <= value <= high:
            return float(value) if isinstance(node, inspect.FloatType) else value
        side = f"below {low}" if value < low else f"above {high}" if value > high else "not a number"
        self._findings.report(at, problem=f"{shown(value)} is {side}", fix=f"Use {low} to {high}.")
        return _empty(node, at)

    def _kind_of_table(
        self, tables: list[inspect.StructType], value: dict[str, Any], *, at: TablePath
    ) -> inspect.StructType:
        """Which table of a union is meant, by its tag; the first when the tag is left out or wrong."""
        field = tables[0].tag_field
        if field is None or field not in value:
            return tables[0]
        for table in tables:
            if table.tag == value[field]:
                return table
        known = [str(table.tag) for table in tables]
        meant = likely(str(value[field]), known) if isinstance(value[field], str) else None
        hint = f"Did you mean {meant!r}? " if meant else ""
        problem = f"{shown(value[field])} is not a known {at[-1]} {field}"
        self._findings.report((*at, field), problem=problem, fix=f"{hint}Use {', '.join(known)}.")
        self._findings.distrust(at)
        return tables[0]

    def _table(self, node: inspect.StructType, value: dict[str, Any], *, at: TablePath) -> Table:
        keys = _keys(node)
        cls = cast(type[Table], node.cls)
        found: dict[str, Any] = {}
        further: dict[str, Any] = {}
        for key, each in value.items():
            if key in keys:
                found[keys[key].name] = self.value(keys[key].type, each, at=(*at, key))
            elif cls.further_keys and isinstance(each, str):
                further[key] = each
            elif key != node.tag_field:
                self._unknown(key, keys=keys, at=at, tagged=node.tag_field)
                self._findings.distrust((*at, likely(key, keys.keys() - value.keys()) or key))
        for key, field in keys.items():
            if field.required and field.name not in found:
                self._missing(key, field=field, at=at)
                found[field.name] = _empty(field.type, (*at, key))
        if cls.further_keys:
            found[cls.further_keys] = further
        table = cls(**found)
        table.placed(at)
        return table

    def _unknown(
        self, key: str, *, keys: Mapping[str, inspect.Field], at: TablePath, tagged: str | None
    ) -> None:
        meant = likely(key, keys)
        home = home_of(key)
        if meant:
            fix = f"Did you mean {meant!r}?"
        elif home:
            fix = f"It belongs in {home}."
        else:
            names = [tagged, *keys] if tagged else list(keys)
            fix = f"Remove it; known here: {', '.join(names)}."
        self._findings.report((*at, key), problem=f"unknown key {shown(key)}", fix=fix)

    def _missing(self, key: str, *, field: inspect.Field, at: TablePath) -> None:
        node = field.type
        described = (node.extra_json_schema or {}) if isinstance(node, inspect.Metadata) else {}
        about = described.get("description", self._wanted(_plain(node)))
        self._findings.report((*at, key), problem=f"{key!r} is missing", fix=f"Add {key}: {about}.")


def read(document: dict[str, Any], findings: Findings) -> Document:
    """The file's tables as the schema declares them; what is wrong goes to ``findings``."""
    table = _Reader(findings).value(_schema(), document, at=())
    assert isinstance(table, Document)
    return table
