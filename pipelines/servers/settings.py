"""How many vLLM servers a run starts itself, on what, and the command line of one."""

from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from moodarchive.settings import Settings, SettingScope

ALLOWED = (
    "--block-size", "--chat-template", "--chat-template-content-format", "--cpu-offload-gb", "--download-dir",
    "--dtype", "--enable-chunked-prefill", "--enable-prefix-caching", "--enforce-eager", "--gpu-memory-utilization",
    "--kv-cache-dtype", "--limit-mm-per-prompt", "--load-format", "--max-model-len", "--max-num-batched-tokens",
    "--max-num-seqs", "--mm-processor-cache-gb", "--mm-processor-cache-type", "--mm-processor-kwargs",
    "--no-enable-chunked-prefill", "--no-enable-prefix-caching", "--quantization", "--renderer-num-workers",
    "--revision", "--seed", "--tokenizer", "--tokenizer-revision",
)  # fmt: skip
"""What may be passed on. Address, key and log belong to the run, and nothing here lets a model bring its own code."""
_ELSEWHERE = {
    "--swap-space": "vLLM has it no more since 0.18; leave it out",
    "--api-server-count": "set servers.api_servers",
    "--tensor-parallel-size": "set servers.tensor_parallel",
}
MOST_API_SERVERS = 8


class ServerSettings(Settings):
    """The vLLM servers of a run; with ``count`` 0 it starts none and asks those that caption.servers names."""

    count: Annotated[int, SettingScope.EXECUTION, Field(ge=0, le=10_000)] = 0
    """vLLM servers that the run starts and watches itself; 0: caption.servers names yours."""
    weights: Annotated[str, SettingScope.EXECUTION] = ""
    """A folder or hub name of the weights; empty: caption.model is the hub name."""
    python: Annotated[str, SettingScope.EXECUTION] = ""
    """The Python that has vLLM; empty: MOODARCHIVE_VLLM_PYTHON if it is set, else the run's own."""
    tensor_parallel: Annotated[int, SettingScope.EXECUTION, Field(ge=1, le=64)] = 1
    """GPUs over which one model is split."""
    gpus: Annotated[float, SettingScope.EXECUTION, Field(ge=0.0, le=1.0)] = 1.0
    """Share of each GPU: below 1 where another stage shares it, 0 for a vLLM built for CPUs."""
    api_servers: Annotated[int, SettingScope.EXECUTION, Field(ge=0, le=64)] = 0
    """Processes of each server that take requests and prepare pictures, one picture each at a time; 0: by the cores."""
    arguments: Annotated[tuple[str, ...], SettingScope.EXECUTION] = (
        "--max-model-len=4096",
        '--limit-mm-per-prompt={"image":1}',
    )
    """Passed on to vLLM, each as --name=value or --name; --max-num-seqs is caption.in_flight unless named."""
    start_timeout_s: Annotated[float, SettingScope.EXECUTION, Field(gt=0.0)] = 1800.0
    """From the command to the first sign of health; the weights may have to be downloaded."""

    @field_validator("arguments")
    @classmethod
    def _allowed(cls, arguments: tuple[str, ...]) -> tuple[str, ...]:
        for argument in arguments:
            name = argument.partition("=")[0]
            if name in _ELSEWHERE:
                raise ValueError(f"{argument!r} is not passed on; {_ELSEWHERE[name]}")
            if name not in ALLOWED:
                raise ValueError(f"{argument!r} is not passed on; legal, as --name=value: {', '.join(ALLOWED)}")
        return arguments

    @model_validator(mode="after")
    def _whole_when_split(self) -> Self:
        if self.tensor_parallel > 1 and 0.0 < self.gpus < 1.0:
            raise ValueError(f"servers.gpus = {self.gpus:g}: a model over several GPUs takes each whole, so 1 (or 0)")
        return self

    @property
    def gpus_per_server(self) -> float:
        """What one server takes of Ray's GPUs."""
        return self.gpus * self.tensor_parallel

    def api_servers_for(self, cores: int, servers: int) -> int:
        """Processes that prepare pictures in each of so many servers on a machine of so many cores.

        Half of each server's share: the other half is the engine's, the download's and the safety model's. A server on
        CPUs needs the cores for the model.
        """
        if self.api_servers:
            return self.api_servers
        return 1 if self.gpus == 0 else min(MOST_API_SERVERS, max(1, cores // max(servers, 1) // 2))


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Where one server listens, with which Python and how many processes that take requests."""

    python: str
    host: str
    port: int
    api_servers: int = 1


def command_of(settings: ServerSettings, listening: Listening, *, model: str, in_flight: int) -> list[str]:
    """The command that serves; the key is not in it, because every user of a machine may read command lines."""
    weights = settings.weights or model
    if listening.api_servers > 1:  # only ``vllm serve`` starts several
        command = [listening.python, "-m", "vllm.entrypoints.cli.main", "serve", weights]
        command += ["--api-server-count", str(listening.api_servers)]
    else:
        command = [listening.python, "-m", "vllm.entrypoints.openai.api_server", "--model", weights]
    command += ["--served-model-name", model, "--host", listening.host, "--port", str(listening.port)]
    command += ["--disable-uvicorn-access-log"]  # millions of lines, which say nothing that the part's record does not
    if settings.tensor_parallel > 1:
        command += ["--tensor-parallel-size", str(settings.tensor_parallel), "--distributed-executor-backend", "mp"]
    if not any(argument.startswith("--max-num-seqs") for argument in settings.arguments):
        command += ["--max-num-seqs", str(in_flight)]
    return [*command, *settings.arguments]
