"""The parts of a diffusion model's folder, as diffusers and transformers save them; only safetensors are read."""

from pathlib import Path
from typing import Any

from moodarchive.errors import EditError, MissingExtraError

DIFFUSERS_WEIGHTS = "diffusion_pytorch_model.safetensors"
TRANSFORMERS_WEIGHTS = "model.safetensors"
VARIANTS = ("fp16", "bf16", "fp32")
"""Other names under which the hub's repositories keep a part's weights, as in model.fp16.safetensors."""
WEIGHTS_SUFFIX, SHARDS_SUFFIX = ".safetensors", ".index.json"


def diffusion_library() -> Any:
    """The diffusers module; MissingExtraError where it is not installed."""
    from moodarchive.models.torch_compat import import_torchvision_safely

    try:
        import_torchvision_safely()
        import diffusers
        import transformers
    except ImportError as error:
        raise MissingExtraError(error.name or "diffusers", "editor") from error
    logging: Any = transformers.utils.logging
    # a bar and a table of the image tower's unused weights for each read; what matters is checked where it is read
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    return diffusers


def read_model(cls: Any, folder: Path, dtype: Any) -> Any:
    """A model of diffusers from its folder, in evaluation mode; EditError where it cannot be read."""
    try:
        model = cls.from_pretrained(
            folder,
            torch_dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            variant=weights_variant(folder, DIFFUSERS_WEIGHTS),
        )
    except Exception as error:  # diffusers raises anything from OSError to safetensors' own errors
        raise EditError(f"{folder} cannot be read as {cls.__name__}: {str(error)[:200]}") from error
    return model.eval()


def read_schedule(folder: Path, reader: str) -> dict[str, Any]:
    """A scheduler's configuration; EditError where the model does not predict noise, which ``reader`` needs."""
    config, _ = diffusion_library().DDIMScheduler.load_config(folder, return_unused_kwargs=True)
    if (kind := config.get("prediction_type", "epsilon")) != "epsilon":
        raise EditError(f"{folder}: the model predicts {kind!r}; {reader} needs one that predicts 'epsilon'")
    return dict(config)


def weights_variant(folder: Path, name: str) -> str | None:
    """Which variant of a part's weights is read: None for ``name`` itself or its shards, else the first of VARIANTS."""
    if (folder / name).is_file() or (folder / f"{name}{SHARDS_SUFFIX}").is_file():
        return None
    for variant in VARIANTS:
        file = folder / variant_name(name, variant)
        if file.is_file() or file.with_name(variant_name(f"{name}{SHARDS_SUFFIX}", variant)).is_file():
            return variant
    return None


def variant_name(name: str, variant: str) -> str:
    """model.safetensors → model.fp16.safetensors, model.safetensors.index.json → model.safetensors.index.fp16.json."""
    if name.endswith(SHARDS_SUFFIX):
        return f"{name.removesuffix('.json')}.{variant}.json"
    return f"{name.removesuffix(WEIGHTS_SUFFIX)}.{variant}{WEIGHTS_SUFFIX}"
