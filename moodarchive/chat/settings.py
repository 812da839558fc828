"""Where chat servers are and how patiently they are asked: the settings of everything that asks a served model."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from moodarchive.chat.client import ChatClient, chat_url
from moodarchive.chat.request_form import LimitName, RequestForm, SchemaForm
from moodarchive.chat.servers import LiveServers
from moodarchive.errors import ConfigError
from moodarchive.settings import Settings, SettingScope


class ChatSettings(Settings):
    """A section of the settings that begins with these."""

    servers: Annotated[tuple[str, ...], SettingScope.EXECUTION, Field(min_length=1)] = ("http://127.0.0.1:8000",)
    """Addresses of servers that speak the OpenAI chat interface."""
    in_flight: Annotated[int, SettingScope.EXECUTION, Field(ge=1)] = 16
    """Requests a server is given at a time, by each worker: as many as it can work on at once, or a few more."""
    timeout_s: Annotated[float, SettingScope.EXECUTION, Field(gt=0.0)] = 300.0
    """Seconds that one answer may take."""
    retries: Annotated[int, SettingScope.EXECUTION, Field(ge=0)] = 6
    """How often a request that is lost on the way is sent again before it fails."""
    patience_s: Annotated[float, SettingScope.EXECUTION, Field(ge=0.0)] = 600.0
    """How long silent servers are waited for before it is an error: a restart takes minutes."""
    key_variable: Annotated[str, SettingScope.EXECUTION] = "MOODARCHIVE_CHAT_KEY"
    """The environment variable that holds the servers' key, if they want one."""
    schema_form: Annotated[SchemaForm, SettingScope.EXECUTION] = "json_schema"
    """Where the servers look for the answer's JSON schema; docs/captioning.md says it for each server."""
    schema_patterns: Annotated[bool, SettingScope.EXECUTION] = True
    """False leaves out the schema's patterns, for servers whose grammars know none."""
    limit_name: Annotated[LimitName, SettingScope.EXECUTION] = "max_tokens"
    """What the servers call the limit of tokens."""
    leave_out: Annotated[tuple[Literal["seed", "temperature", "max_tokens"], ...], SettingScope.EXECUTION] = ()
    """Fields that the servers refuse."""

    @field_validator("servers")
    @classmethod
    def _addresses(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        try:
            for server in servers:
                chat_url(server)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return servers

    def client(self, live: LiveServers | None = None) -> ChatClient:
        """A client of the ``live`` servers, else of these."""
        return ChatClient(
            servers=() if live else self.servers,
            live=live,
            in_flight=self.in_flight,
            timeout_s=self.timeout_s,
            retries=self.retries,
            patience_s=self.patience_s,
            key_variable=self.key_variable,
            form=RequestForm(
                schema=self.schema_form,
                patterns=self.schema_patterns,
                limit=self.limit_name,
                leave_out=self.leave_out,
            ),
        )
