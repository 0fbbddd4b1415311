"""`rdmatop schema [KIND]`: the JSON Schema of what `-o json` prints, made from the types themselves."""

from __future__ import annotations

import argparse
from types import GenericAlias
from typing import Any, Literal

import msgspec

from diagnostics.errors import EXIT_OK
from diagnostics.kinds import KINDS, LIST_KINDS
from diagnostics.model import SCHEMA, BenchmarkRequest, NodeSnapshot, Problem
from diagnostics.report import as_json
from tui.commands import output
from tui.commands.parser import complete_by, unknown
from tui.options import Options

ALONE: dict[str, type] = {"snapshot": NodeSnapshot, "benchmark-request": BenchmarkRequest}
"""What is no list: the answer of /v1/node, and the body of a benchmark's request."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"

USAGE = "[KIND]"
DESCRIPTION = f"""Prints the JSON Schema of a kind, or of all of them.

kinds: {", ".join((*KINDS, *ALONE))}"""
EPILOG = """examples:
  rdmatop schema ports         what `rdmatop get ports -o json` prints
  rdmatop schema               everything, under $defs

exit codes:
  0  printed
  2  no such kind
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_argument("asked_kind", metavar="KIND", nargs="?", help="as in get, or PortList, NodeSnapshot …")
    complete_by(kinds, lambda **_: (*KINDS, *ALONE))


def run(found: argparse.Namespace, options: Options) -> int:  # noqa: ARG001  every command takes the options
    types = documents()
    if found.asked_kind is None:
        answer = {"$schema": DIALECT, "$id": SCHEMA, **_all(types)}
    else:
        answer = {"$schema": DIALECT, **schema_of(_named(found.asked_kind, types))}
    output.write(as_json(answer))
    return EXIT_OK


def documents() -> dict[str, type]:
    """`PortList` -> the type of its envelope; and the types that stand alone."""
    lists = {LIST_KINDS[kind]: list_type(kind) for kind in KINDS}
    return lists | {one.__name__: one for one in ALONE.values()}


def list_type(kind: str) -> type:
    """The envelope of a kind, its items typed."""
    name, item = LIST_KINDS[kind], KINDS[kind]
    fields = [
        ("schema", Literal[SCHEMA]),
        ("kind", Literal[name]),
        ("time", str),
        ("items", GenericAlias(tuple, (item, ...))),
        ("errors", tuple[Problem, ...]),
    ]
    return msgspec.defstruct(
        name, fields, kw_only=True, frozen=True, namespace={"__doc__": f"What `get {kind}` prints."}
    )


def schema_of(one: type) -> dict[str, Any]:
    (schema,), definitions = msgspec.json.schema_components([one], ref_template="#/$defs/{name}")
    return {**schema, "$defs": definitions}


def _all(types: dict[str, type]) -> dict[str, Any]:
    schemas, definitions = msgspec.json.schema_components(types.values(), ref_template="#/$defs/{name}")
    return {"anyOf": list(schemas), "$defs": definitions}


def _named(word: str, types: dict[str, type]) -> type:
    from tui.commands.get import kind_named

    if word in types:
        return types[word]
    if word in ALONE:
        return ALONE[word]
    if word.lower() in KINDS or word.lower().removesuffix("s") + "s" in KINDS:
        return types[LIST_KINDS[kind_named(word)]]
    raise unknown("kind", word, (*KINDS, *ALONE))
