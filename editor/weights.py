"""Where a model's weights are, or an error that says what is missing, under which licence, how large and from where."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moodarchive.diffusion.parts import SHARDS_SUFFIX, WEIGHTS_SUFFIX, variant_name, weights_variant
from moodarchive.errors import MissingWeightsError, ServiceError
from moodarchive.models.hub import cached_folder, download

FILES = {
    "unet": ("config.json", "diffusion_pytorch_model.safetensors"),
    "vae": ("config.json", "diffusion_pytorch_model.safetensors"),
    "text_encoder": ("config.json", "model.safetensors"),
    "tokenizer": ("tokenizer_config.json", "vocab.json", "merges.txt"),
    "scheduler": ("scheduler_config.json",),
    "predictor": ("config.json", "model.safetensors", "preprocessor_config.json"),
}
"""What each part of a diffusion model's folder needs. Only safetensors: a pickle from outside may run anything."""
_GIGABYTES = {"unet": 3.44, "vae": 0.34, "text_encoder": 0.49, "tokenizer": 0.0, "scheduler": 0.0}
"""In float32, of the SD 1.5 family."""
_UNREAD = (".bin", ".ckpt", ".pt", ".pth", ".msgpack", ".h5", ".onnx")


@dataclass(frozen=True, kw_only=True)
class Known:
    """A base that a method was published with."""

    repository: str
    licence: str


LCM = Known(
    repository="SimianLuo/LCM_Dreamshaper_v7",
    licence="MIT by its page, distilled from Dreamshaper v7, whose CreativeML OpenRAIL-M binds its uses",
)
SD15 = Known(repository="stable-diffusion-v1-5/stable-diffusion-v1-5", licence="CreativeML OpenRAIL-M")
INSTRUCT = Known(
    repository="timbrooks/instruct-pix2pix",
    licence="MIT by its page, tuned from Stable Diffusion 1.5, whose CreativeML OpenRAIL-M binds its uses",
)
EMOEDITOR_PARTS = ("unet", "vae", "scheduler", "predictor")
"""Beside the emotion encoder; a model that was trained on instructions also has its text encoder and tokenizer."""
EPEM_PARTS = ("unet", "vae", "scheduler", "text_encoder", "tokenizer")
"""Beside the adapter, the picture encoder and the Q-Former's tokenizer."""
BASES = {"moodifier": LCM, "infedit": LCM, "instruct-pix2pix": INSTRUCT, "sdedit": SD15}


def base_folder(base: str, method: str, parts: Sequence[str]) -> Path:
    """The folder of a diffusion model that has all of ``parts``; ``base`` is a folder or a hub id.

    A hub id is looked for among earlier downloads first; only what is needed is downloaded.
    """
    patterns = [f"{part}/{name}" for part in parts for name in FILES[part]]
    folder = Path(base).expanduser()
    if folder.is_dir():
        if lacking := _lacking(folder, patterns):
            raise MissingWeightsError(
                f"{folder} lacks {', '.join(lacking)}{_unread(folder, lacking)}; {_needed(method, parts)}"
            )
        return folder
    if folder.is_absolute() or base.startswith((".", "~")) or base.count("/") != 1:
        raise MissingWeightsError(f"there is no folder {base}; {_needed(method, parts)}")
    variants = [variant_name(name, "*") for name in patterns if name.endswith(WEIGHTS_SUFFIX)]
    downloaded = cached_folder(base, [*patterns, *variants])
    if downloaded and not _lacking(downloaded, patterns):
        return downloaded
    try:
        folder = download(base, patterns)
        if _lacking(folder, patterns):  # a repository that keeps its weights under other names only
            folder = download(base, [*patterns, *variants])
    except ServiceError as error:
        raise MissingWeightsError(
            f"the model {base} is not on this machine: {error}; {_needed(method, parts)}"
        ) from None
    if lacking := _lacking(folder, patterns):
        raise MissingWeightsError(f"{base} lacks {', '.join(lacking)}; {_needed(method, parts)}")
    return folder


def emoeditor_folder(base: str) -> Path:
    """The folder of a trained EmoEditor; MissingWeightsError names what is not there."""
    from moodarchive.diffusion.emotion import CONFIG_FILE, WEIGHTS_FILE

    parts = [f"{part}/{name}" for part in EMOEDITOR_PARTS for name in FILES[part]]
    return _trained_folder(base, "EmoEditor", [*parts, WEIGHTS_FILE, CONFIG_FILE], _EMOEDITOR)


def epem_folder(base: str) -> Path:
    """The folder of a trained PER, EPEM's picture half; MissingWeightsError names what is not there."""
    from moodarchive.diffusion.retaining import CONFIG_FILE, READER, VISION, WEIGHTS_FILE

    parts = [f"{part}/{name}" for part in EPEM_PARTS for name in FILES[part]]
    seeing = [f"{VISION}/{name}" for name in FILES["text_encoder"]]
    needed = [*parts, *seeing, WEIGHTS_FILE, CONFIG_FILE, f"{READER}/tokenizer_config.json"]
    return _trained_folder(base, "EPEM", needed, _EPEM)


def _trained_folder(base: str, name: str, needed: list[str], remedy: str) -> Path:
    if not base:
        raise MissingWeightsError(f"no {name} is named; {remedy}")
    folder = Path(base).expanduser()
    if not folder.is_dir():
        raise MissingWeightsError(f"there is no folder {base} with an {name}; {remedy}")
    if lacking := _lacking(folder, needed):
        raise MissingWeightsError(f"{folder} lacks {', '.join(lacking)}{_unread(folder, lacking)}; {remedy}")
    return folder


def caption_editor_folder(model: str) -> Path:
    """The folder of a trained caption editor, whose language model has blocks that can be edited."""
    from moodarchive.language_edit.caption_editor import CAPTIONER, CONFIG, WEIGHTS
    from moodarchive.language_edit.captioner import require_editable

    folder = Path(model).expanduser()
    if lacking := _lacking(folder, [CONFIG, WEIGHTS, f"{CAPTIONER}/config.json"]):
        raise MissingWeightsError(f"{model} is no caption editor (it lacks {', '.join(lacking)}); {_CAPTION_EDITOR}")
    require_editable(folder / CAPTIONER)
    return folder


def own_tokenizer(folder: Path) -> Path | None:
    """The folder, where its tokenizer lies beside the weights; None where it does not: CLIP's own is meant."""
    return None if _lacking(folder, FILES["tokenizer"]) else folder


def moodify_folder(model: str | None) -> Path:
    """The folder of a MoodifyCLIP that transformers reads: ``model`` itself, or hub/ or model/hub/ in it.

    Published weights may lie without their tokenizer (``own_tokenizer``).
    """
    if model is None:
        raise MissingWeightsError(f"no MoodifyCLIP is named; {_MOODIFY}")
    folder = Path(model).expanduser()
    if not folder.is_dir():
        raise MissingWeightsError(f"there is no folder {model} with a MoodifyCLIP; {_MOODIFY}")
    wanted = FILES["text_encoder"]
    for place in (folder, folder / "hub", folder / "model" / "hub"):
        if not _lacking(place, wanted):
            return place
    if (folder / "open_clip_config.json").is_file():
        raise MissingWeightsError(f"{folder} has no hub/ (an export of a ResNet, or one cut short); {_MOODIFY}")
    raise MissingWeightsError(f"{folder} is no exported MoodifyCLIP (it needs {', '.join(wanted)}); {_MOODIFY}")


_MOODIFY = (
    "needed is the folder that `moodarchive train` exports (ROOT/model; a ViT-L/14 takes 1.7 GB twice), or published "
    "weights in transformers' form. Remedy: train one from ViT-L-14, or use the diffusion model's "
    "own CLIP (text_encoder = clip)"
)


_EMOEDITOR = (
    "emoeditor needs the folder that `moodarchive train` exports with kind = emoeditor (OUTPUT/model); nobody has "
    "published one in this form. Remedy: train one, and give the folder as --base"
)


_EPEM = (
    "epem needs the folder that `moodarchive train` exports with kind = epem (OUTPUT/model); nobody has published one. "
    "Remedy: train one, and give the folder as --base"
)
_CAPTION_EDITOR = (
    "epem's --model is the folder that `moodarchive train` exports with kind = epem-captions. Remedy: train one, or "
    "leave --model out and give the edited caption as --prompt"
)


def _needed(method: str, parts: Sequence[str]) -> str:
    known = BASES[method]
    others = [f"'{part}/{name}'" for part in parts for name in FILES[part] if not name.endswith(".json")]
    include = " ".join([*(f"'{part}/*.json'" for part in parts), *others])
    return (
        f"{method} needs {', '.join(parts)} of a model like {known.repository} ({known.licence}; about "
        f"{sum(_GIGABYTES[part] for part in parts):.1f} GB). Remedy: where the hub can be reached, "
        f"`hf download {known.repository} --include {include} --local-dir FOLDER`, and give FOLDER as the base"
    )


def _lacking(folder: Path, names: Sequence[str]) -> list[str]:
    return [name for name in names if not _is_there(folder, name)]


def _is_there(folder: Path, name: str) -> bool:
    if (folder / name).is_file():
        return True
    if not name.endswith(WEIGHTS_SUFFIX):
        return False
    whole = folder / name
    return (folder / f"{name}{SHARDS_SUFFIX}").is_file() or weights_variant(whole.parent, whole.name) is not None


def _unread(folder: Path, lacking: Sequence[str]) -> str:
    """Names the weights that are there in a form that is not read, with the remedy; empty where there are none."""
    parts = {Path(name).parent for name in lacking if name.endswith(WEIGHTS_SUFFIX)}
    files = [file for part in sorted(parts) for file in sorted((folder / part).glob("*")) if file.suffix in _UNREAD]
    if not files:
        return ""
    names = ", ".join(str(file.relative_to(folder)) for file in files[:4])
    return (
        f" (there is {names}, which is not read: it may run any program. Remedy: the same model's .safetensors, "
        "or make them from a file that you trust with diffusers' save_pretrained(..., safe_serialization=True))"
    )
