"""The command line of a managed server, and what may be passed on to it."""

import pytest

from moodarchive.errors import ConfigError
from moodarchive.settings import load
from pipelines.servers.settings import Listening, ServerSettings, command_of


def command(api_servers: int, **settings: object) -> list[str]:
    listening = Listening(python="python", host="127.0.0.1", port=8000, api_servers=api_servers)
    return command_of(ServerSettings(**settings), listening, model="m", in_flight=4)


@pytest.mark.parametrize(
    ("cores", "servers", "api_servers"), [(2, 1, 1), (16, 1, 8), (16, 7, 1), (128, 8, 8), (64, 8, 4), (1, 1, 1)]
)
def test_processes_that_prepare_pictures_go_by_each_server_s_share_of_the_cores(
    cores: int, servers: int, api_servers: int
) -> None:
    assert ServerSettings(count=servers).api_servers_for(cores, servers) == api_servers


def test_a_number_that_is_named_holds_and_a_server_on_cpus_has_one() -> None:
    assert ServerSettings(api_servers=3).api_servers_for(2, 1) == 3
    assert ServerSettings(gpus=0.0).api_servers_for(64, 1) == 1


def test_several_processes_are_started_by_vllm_serve_and_one_by_the_module() -> None:
    several, one = command(4, weights="/w"), command(1, weights="/w")
    assert several[1:7] == ["-m", "vllm.entrypoints.cli.main", "serve", "/w", "--api-server-count", "4"]
    assert one[1:5] == ["-m", "vllm.entrypoints.openai.api_server", "--model", "/w"]
    assert several[7:] == one[5:]


def test_a_chat_template_may_be_passed_on() -> None:
    assert command(1, arguments=("--chat-template=/t.jinja",))[-1] == "--chat-template=/t.jinja"


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--swap-space=4", "no more since 0.18"),
        ("--api-server-count=4", "set servers.api_servers"),
        ("--tensor-parallel-size=2", "set servers.tensor_parallel"),
    ],
)
def test_what_is_said_elsewhere_or_gone_is_named_with_the_remedy(argument: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(ServerSettings, f'arguments = ["{argument}"]', "my.toml")
