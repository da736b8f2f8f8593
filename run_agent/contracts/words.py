"""Short names for what schemas are written with: JSON Schema, draft 2020-12."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

TEXT: Schema = {"type": "string"}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
TIME: Schema = {"type": "string", "format": "date-time"}
ID_PATTERN = r"[A-Za-z0-9_@][A-Za-z0-9_.@+=~-]{0,127}"  # of a project or task that the server takes
ID: Schema = {
    "type": "string",
    "pattern": rf"^(?!.*\.\.){ID_PATTERN}$",
    "description": "Must not start with the name of a bus file.",
}


def record(required: str = "", **properties: Schema) -> Schema:
    """An object with these properties and no others; ``required`` names some, separated by spaces."""
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": required.split()} if required else {})


def list_of(schema: Schema) -> Schema:
    """An array of these."""
    return {"type": "array", "items": schema}


def about(text: str, schema: Schema) -> Schema:
    """The same schema with a description."""
    return {**schema, "description": text}
