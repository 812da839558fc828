"""How a request is written for servers that differ: where the answer's schema stands, what the limit is called."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

SchemaForm = Literal["json_schema", "json_object", "value", "structured_outputs", "none"]
"""``json_schema`` is OpenAI's; ``json_object`` puts the schema beside the type (llama.cpp), ``value`` under that name
(Text Generation Inference), ``structured_outputs`` in vLLM's own field; ``none`` leaves it to the prompt."""
LimitName = Literal["max_tokens", "max_completion_tokens"]


@dataclass(frozen=True, kw_only=True)
class RequestForm:
    """The changes to a request of OpenAI's form; none by default."""

    schema: SchemaForm = "json_schema"
    patterns: bool = True
    limit: LimitName = "max_tokens"
    leave_out: tuple[str, ...] = ()

    def write(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The body as the server wants it, of one in OpenAI's form."""
        body = {name: value for name, value in payload.items() if name not in self.leave_out}
        if "max_tokens" in body and self.limit != "max_tokens":
            body[self.limit] = body.pop("max_tokens")
        if "response_format" in body:
            named = body.pop("response_format")["json_schema"]
            schema = named["schema"] if self.patterns else _without_patterns(named["schema"])
            body.update(self._schema_fields({**named, "schema": schema}))
        return body

    def _schema_fields(self, named: dict[str, Any]) -> dict[str, Any]:
        schema = named["schema"]
        match self.schema:
            case "json_schema":
                return {"response_format": {"type": "json_schema", "json_schema": named}}
            case "json_object":
                return {"response_format": {"type": "json_object", "schema": schema}}
            case "value":
                return {"response_format": {"type": "json_object", "value": schema}}
            case "structured_outputs":
                return {"structured_outputs": {"json": schema}}
            case "none":
                return {}


def _without_patterns(schema: Any) -> Any:
    """The schema without the patterns of its texts; the names of its fields stay, whatever they are."""
    if isinstance(schema, list):
        return [_without_patterns(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _without_patterns(value) for name, value in schema.items() if not _is_pattern(name, value)}


def _is_pattern(name: str, value: object) -> bool:
    return name == "pattern" and isinstance(value, str)
