"""How many vLLM servers a run starts itself, on what, and the command line of one."""

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from moodarchive.settings import Settings, SettingScope

ALLOWED = (
    "--block-size", "--cpu-offload-gb", "--download-dir", "--dtype", "--enable-chunked-prefill",
    "--enable-prefix-caching", "--enforce-eager", "--gpu-memory-utilization", "--kv-cache-dtype",
    "--limit-mm-per-prompt", "--load-format", "--max-model-len", "--max-num-batched-tokens", "--max-num-seqs",
    "--mm-processor-cache-gb", "--mm-processor-kwargs", "--no-enable-chunked-prefill", "--no-enable-prefix-caching",
    "--quantization", "--revision", "--seed", "--swap-space", "--tokenizer", "--tokenizer-revision",
)  # fmt: skip
"""What may be passed on. Address, key and log belong to the run, and nothing here lets a model bring its own code."""


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
            if argument.partition("=")[0] not in ALLOWED:
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


def command_of(settings: ServerSettings, *, python: str, model: str, in_flight: int, host: str, port: int) -> list[str]:
    """The command that serves; the key is not in it, because every user of a machine may read command lines."""
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", settings.weights or model]
    command += ["--served-model-name", model, "--host", host, "--port", str(port)]
    command += ["--disable-uvicorn-access-log"]  # millions of lines, which say nothing that the part's record does not
    if settings.tensor_parallel > 1:
        command += ["--tensor-parallel-size", str(settings.tensor_parallel), "--distributed-executor-backend", "mp"]
    if not any(argument.startswith("--max-num-seqs") for argument in settings.arguments):
        command += ["--max-num-seqs", str(in_flight)]
    return [*command, *settings.arguments]
