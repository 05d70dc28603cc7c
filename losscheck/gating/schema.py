"""The JSON Schema of case files: editors complete from it, and the committed copy is checked to be fresh."""

from __future__ import annotations

import json
from typing import Any

from losscheck.core import registry
from losscheck.core.call_spec import PROGRAM
from losscheck.gating.case import CaseFile

__all__ = ["schema_text"]


def schema_text() -> str:
    """The schema, with the names of the losses and implementations that are shipped as examples to complete from."""
    schema: dict[str, Any] = CaseFile.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "losscheck cases"
    properties = schema["$defs"]["Case"]["properties"]
    properties["loss"]["examples"] = [name for name, loss in registry.losses().items() if _ours(loss.formula.__module__)] + [PROGRAM]
    ours = {implementation.name for implementation in registry.implementations() if _ours(implementation.module)}
    properties["implementations"]["examples"] = sorted(ours)
    schema["$defs"]["Case"]["oneOf"] = [{"required": [name]} for name in ("points", "range", "exhaustive")]
    return json.dumps(_plain(schema), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _ours(module: str) -> bool:
    """A plug-in that happens to be installed is no part of the committed copy."""
    return module.startswith("losscheck.")


def _plain(value: Any) -> Any:
    """Without pydantic's titles, which repeat the keys, and nulls, which no case file may hold."""
    if isinstance(value, list):
        return [_plain(item) for item in value if item != {"type": "null"}]
    if not isinstance(value, dict):
        return value
    cleaned = {key: _plain(item) for key, item in value.items() if not (key == "default" and item is None)}
    if isinstance(cleaned.get("title"), str) and "properties" not in cleaned:
        del cleaned["title"]
    if isinstance(cleaned.get("anyOf"), list) and len(cleaned["anyOf"]) == 1:
        cleaned |= cleaned.pop("anyOf")[0]
    return cleaned
