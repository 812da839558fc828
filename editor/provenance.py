"""Every edited picture says how it was made: a record in the file, as PNG text and XMP, and nothing of the source's."""

import hashlib
import io
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self
from xml.sax.saxutils import escape, unescape

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from editor.edit import Mask
from editor.weights_digest import weights_sha256
from moodarchive.errors import EditError, StorageFullError
from moodarchive.storage.local_files import sync_folder
from moodarchive.tables.keys import canonical_json

TEXT_KEY = "MoodArchive-Edit"
STATEMENT = "Edited by a generative model"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_NAMESPACE = "urn:moodarchive:edit:1#"
_ENTITIES = {'"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, kw_only=True)
class EditRecord:
    """How a picture was edited; equal edits have equal records: no time, no machine, no file name."""

    source_sha256: str
    emotion: str
    method: str
    base: str
    model: str
    """The text tower's folder by its last name, with the digest of its weights."""
    prompt: str
    prompt_by: str
    region_by: str
    mask_sha256: str
    """Of the mask's bytes at the picture's size; empty where all of the picture could change."""
    seed: int
    settings: dict[str, Any]
    version: str
    statement: str = STATEMENT
    digital_source_type: str = SOURCE_TYPE

    @classmethod
    def parse(cls, text: str) -> Self:
        """From its JSON; ValueError or TypeError when it is none."""
        return cls(**json.loads(text))


def mask_digest(mask: Mask | None) -> str:
    """Of 8 bits a pixel, with the size."""
    if mask is None:
        return ""
    height, width = mask.shape
    return hashlib.sha256(f"{width}x{height}\0".encode() + (mask * 255).round().astype("uint8").tobytes()).hexdigest()


def folder_name(folder: str) -> str:
    """A folder's last name with 16 hex digits of its weights, or a hub id as it is: a path may name a person."""
    path = Path(folder)
    if not path.is_dir():
        return folder
    taken = hashlib.sha256()
    for weights in sorted(path.rglob("*.safetensors")):
        taken.update(f"{weights.relative_to(path)}\0{weights_sha256(weights)}\n".encode())
    return f"{path.resolve().name} sha256:{taken.hexdigest()[:16]}"


def encode_edit(image: Image.Image, record: EditRecord, suffix: str) -> bytes:
    """The file's bytes, equal for equal pictures and records; EditError for a kind that cannot hold the record."""
    kind = SUFFIXES.get(suffix.lower())
    if kind is None:
        raise EditError(f"an edit is written as {', '.join(SUFFIXES)}, not as {suffix or 'a file without an ending'!r}")
    held, xmp = io.BytesIO(), _xmp(record)
    plain = image.copy()
    plain.info.clear()
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("Software", f"MoodArchive {record.version}")
        text.add_itxt("Description", STATEMENT)
        text.add_itxt(TEXT_KEY, canonical_json(asdict(record)))
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        plain.save(held, kind, pnginfo=text)
    else:
        plain.save(held, kind, quality=95, xmp=xmp)
    return held.getvalue()


def write_edit(path: Path, image: Image.Image, record: EditRecord) -> None:
    """Puts the whole file in place at once, or leaves what was there.

    EditError when something stands there that is no edit of ours: a photo is never written over.
    """
    require_edit_or_nothing(path)
    data = encode_edit(image, record, path.suffix)
    aside = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(aside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
        sync_folder(str(path.parent))
    except OSError as error:
        raise StorageFullError(f"{path} cannot be written: {error.strerror}; remedy: another -o") from None
    finally:
        aside.unlink(missing_ok=True)


def require_edit_or_nothing(path: Path) -> None:
    """EditError unless nothing stands at the path, or an edit of ours; or when its kind cannot hold a record."""
    if path.suffix.lower() not in SUFFIXES:
        raise EditError(f"-o {path}: an edit is written as {', '.join(SUFFIXES)}")
    if path.exists() and read_record(path) is None:
        raise EditError(f"-o {path} exists and is no edit of ours; remedy: another name, or remove it")


def read_record(path: Path) -> EditRecord | None:
    """The record that a file holds; None where it holds none."""
    try:
        with Image.open(path, formats=("PNG", "JPEG", "WEBP")) as image:
            text = image.info.get(TEXT_KEY)
            if text is None:
                xmp = image.info.get("xmp", b"")
                match = re.search(r'ma:record="([^"]*)"', xmp.decode(errors="replace") if xmp else "")
                text = _unquote(match[1]) if match else None
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    try:
        return None if text is None else EditRecord.parse(text)
    except (ValueError, TypeError):
        return None


def _xmp(record: EditRecord) -> bytes:
    quoted = _quote(canonical_json(asdict(record)))
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:ma="{_NAMESPACE}"
 xmp:CreatorTool={_quote(f"MoodArchive {record.version}")}
 Iptc4xmpExt:DigitalSourceType={_quote(record.digital_source_type)} ma:record={quoted}>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{STATEMENT}</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>""".encode()


def _quote(text: str) -> str:
    return '"' + escape(_UNWRITABLE.sub("\ufffd", text), _ENTITIES) + '"'


def _unquote(text: str) -> str:
    return unescape(text, {entity: letter for letter, entity in _ENTITIES.items()})
