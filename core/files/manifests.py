"""Manifests that may have been damaged or written by somebody else: read against a schema, or not at all."""

from __future__ import annotations

import json
from typing import Any

NUMBER = (int, float)
MATRIX = [[NUMBER]]


def read(data: bytes | None, schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON object of that schema; empty where the bytes are anything else. See ``fits``."""
    try:
        found = json.loads(data or b"")
    except (ValueError, RecursionError):
        return {}
    return found if fits(found, schema) else {}


def fits(value: Any, schema: Any) -> bool:
    """Whether a plain value has a form.

    Parameters
    ----------
    schema : a type, ``None``, or one of several in a tuple; a list with the form of each item; a dict with the form by key,
        where ``name?`` may lack, ``*`` stands for all keys and ``#`` for those that are whole numbers; no other key may be there
    """
    if isinstance(schema, tuple):
        return any(fits(value, one) for one in schema)
    if isinstance(schema, list):
        return isinstance(value, list) and all(fits(item, schema[0]) for item in value)
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            return False
        for key, form in schema.items():
            if key in ("*", "#"):
                return all(fits(item, form) for item in value.values()) and (
                    key == "*" or all(name.isascii() and name.isdecimal() and len(name) < 12 for name in value)
                )
        names = {key.removesuffix("?"): form for key, form in schema.items()}
        lacking = {key for key in schema if not key.endswith("?")} - set(value)
        return not lacking and all(name in names and fits(item, names[name]) for name, item in value.items())
    if schema is None:
        return value is None
    return isinstance(value, schema) and (schema is bool or not isinstance(value, bool))
