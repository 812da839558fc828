"""What is said between us and a served model: questions with pictures and a schema, and answers."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn of the conversation; a picture, a JPEG, stands before the words."""

    role: str
    text: str
    jpeg: bytes | None = None

    def payload(self) -> dict[str, Any]:
        """As the interface wants it, the picture as a data URL."""
        if self.jpeg is None:
            return {"role": self.role, "content": self.text}
        url = "data:image/jpeg;base64," + base64.b64encode(self.jpeg).decode()
        picture = {"type": "image_url", "image_url": {"url": url}}
        return {"role": self.role, "content": [picture, {"type": "text", "text": self.text}]}


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """One question; ``schema`` is the JSON schema that the server must hold the answer to, None for free text."""

    model: str
    messages: tuple[Message, ...]
    schema: Mapping[str, Any] | None = None
    max_tokens: int
    temperature: float
    seed: int

    def payload(self) -> dict[str, Any]:
        """The request's body."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [message.payload() for message in self.messages],
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
        }
        if self.schema is not None:
            form = {"name": "answer", "strict": True, "schema": self.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        return body


@dataclass(frozen=True, kw_only=True)
class ChatAnswer:
    """What the server said; ``text`` is empty when it said nothing."""

    text: str
    finish_reason: str
    model: str
    prompt_tokens: int
    completion_tokens: int
