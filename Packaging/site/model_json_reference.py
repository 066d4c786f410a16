"""The tables of `model.json`, written from its JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).parents[2] / "Resources" / "Schemas" / "model.schema.json"
_TABLES = ("diffusion", "input", "structures", "expects", "weights")


def schema_tables() -> str:
    """Markdown: tables of the file's entries, and of those that have entries of their own."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    parts = [_table(schema, schema)]
    for name in _TABLES:
        entry = schema["properties"][name]
        parts += [f"### {name}", entry["description"], _table(entry.get("items", entry), schema)]
    return "\n\n".join(parts)


def _table(entry: dict[str, Any], schema: dict[str, Any]) -> str:
    rows = [
        f"| `{name}` | {_kind(item, schema)} | {_limits(name, item, entry)}{item['description']} |"
        for name, item in entry["properties"].items()
    ]
    return "\n".join(["| entry | kind | meaning |", "| --- | --- | --- |", *rows])


def _limits(name: str, item: dict[str, Any], entry: dict[str, Any]) -> str:
    if name in entry.get("required", ()):
        return "**Required.** "
    return f"Default: `{json.dumps(item['default'])}`. " if "default" in item else ""


def _kind(item: dict[str, Any], schema: dict[str, Any]) -> str:
    return " or ".join(dict.fromkeys(_kinds(item, schema)))


def _kinds(item: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    if "$ref" in item:
        name = item["$ref"].rpartition("/")[2]
        yield from [name] if name == "code" else _kinds(schema["$defs"][name], schema)
    elif "anyOf" in item:
        for choice in item["anyOf"]:
            yield from _kinds(choice, schema)
    elif "enum" in item:
        yield from ("`null`" if value is None else f"`{value}`" for value in item["enum"])
    elif "const" in item:
        yield f"`{item['const']}`"
    elif item["type"] == "array":
        count = item.get("minItems")
        some = f"{count} " if count and count == item.get("maxItems", count) and count > 1 else ""
        inner = item.get("items") or item["prefixItems"][0]
        yield f"list of {some}{_many(_kind(inner, schema))}"
    else:
        yield {"string": "text", "null": "`null`"}.get(item["type"], item["type"])


def _many(kind: str) -> str:
    return kind if kind.startswith("list") else f"{kind}s"
