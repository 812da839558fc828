"""Signed edits: read back and checked by the library that other programs check them with."""

import io
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from editor.content_credentials import ASSERTION, Credentials, require_credentials, sign_edit
from editor.edit import EditSettings
from editor.pictures import SourcePicture
from editor.planning.plan import Planner
from editor.provenance import EditRecord, encode_edit, read_record
from moodarchive.errors import EditError

c2pa = pytest.importorskip("c2pa", reason="c2pa-python is not installed")


def _record() -> EditRecord:
    return EditRecord(
        source_sha256="0" * 64,
        emotion="joy",
        method="moodifier",
        base="b",
        model="m",
        prompt="a girl <laughs> ö",
        prompt_by="given",
        region_by="none",
        mask_sha256="",
        seed=7,
        settings={"steps": 2, "guidance": 2.0},
        version="0.3.0",
    )


def _certificate(folder: Path, curve: Any = None) -> Credentials:
    """A leaf for documents under an authority of its own."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(text: str) -> x509.Name:
        return x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, text), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test")]
        )

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(curve or ec.SECP256R1())
    since = datetime.now() - timedelta(days=2)
    usage = {
        "digital_signature": True, "content_commitment": False, "key_encipherment": False, "data_encipherment": False,
        "key_agreement": False, "key_cert_sign": False, "crl_sign": False, "encipher_only": False,
        "decipher_only": False,
    }  # fmt: skip
    begun = x509.CertificateBuilder().not_valid_before(since).not_valid_after(since + timedelta(days=90))
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = (
        begun.subject_name(name("authority"))
        .issuer_name(name("authority"))
        .public_key(authority_key.public_key())
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{**usage, "key_cert_sign": True, "crl_sign": True}), critical=True)
        .add_extension(identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    leaf = (
        begun.subject_name(name("studio"))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "chain.pem").write_bytes(leaf.public_bytes(pem) + authority.public_bytes(pem))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return Credentials(certificate=folder / "chain.pem", key=folder / "key.pem")


def _manifest(signed: bytes) -> dict[str, Any]:
    with c2pa.Reader("image/png", io.BytesIO(signed)) as reader:
        store: dict[str, Any] = json.loads(reader.json())
    return store


def _edit() -> tuple[Image.Image, bytes]:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8))
    return image, encode_edit(image, _record(), ".png")


def test_a_signed_edit_is_valid_and_carries_the_record_and_the_same_pixels(tmp_path: Path) -> None:
    credentials = _certificate(tmp_path)
    require_credentials(credentials)
    image, data = _edit()
    signed = sign_edit(data, _record(), ".png", credentials)
    assert Image.open(io.BytesIO(signed)).tobytes() == image.tobytes()
    store = _manifest(signed)
    assert store["validation_state"] in ("Valid", "Trusted")
    manifest = store["manifests"][store["active_manifest"]]
    (record,) = [each["data"] for each in manifest["assertions"] if each["label"] == ASSERTION]
    assert record["prompt"] == "a girl <laughs> ö" and record["seed"] == 7
    assert "compositeWithTrainedAlgorithmicMedia" in json.dumps(manifest["assertions"])


def test_a_changed_pixel_is_noticed(tmp_path: Path) -> None:
    _, data = _edit()
    signed = bytearray(sign_edit(data, _record(), ".png", _certificate(tmp_path)))
    at = signed.index(b"IDAT") + 40
    signed[at] ^= 1
    store = _manifest(bytes(signed))
    assert store["validation_state"] == "Invalid"
    assert "dataHash.mismatch" in json.dumps(store)


def test_what_cannot_sign_is_told_before_an_edit_is_made(tmp_path: Path) -> None:
    good = _certificate(tmp_path)
    (tmp_path / "none.pem").write_text("no key")
    with pytest.raises(EditError, match=r"none.pem is no PEM file"):
        require_credentials(Credentials(certificate=good.certificate, key=tmp_path / "none.pem"))
    with pytest.raises(EditError, match=r"absent.pem cannot be read: No such file"):
        require_credentials(Credentials(certificate=tmp_path / "absent.pem", key=good.key))
    (tmp_path / "other").mkdir()
    other = _certificate(tmp_path / "other")
    with pytest.raises(EditError, match="cannot sign"):
        sign_edit(_edit()[1], _record(), ".png", Credentials(certificate=good.certificate, key=other.key))


def test_the_studio_hands_out_a_signed_copy_and_leaves_the_edit_as_it_is(tmp_path: Path) -> None:
    gradio = pytest.importorskip("gradio")
    from editor.job import Editor
    from editor.studio.handlers import Handlers
    from editor.studio.runs import Runs
    from editor.studio.work import Work

    work = Work(folder=tmp_path / "work")
    work.make()
    image, data = _edit()
    work.keep_source(SourcePicture(image=image, sha256="0" * 64))
    name = f"{'0' * 12}-joy-7-{'a' * 16}.png"
    (work.edits / name).write_bytes(data)
    editor = Editor(method="moodifier", base="/absent", model=None, settings=EditSettings(), planner=Planner())
    handlers = Handlers(work=work, runs=Runs(editor=editor), credentials=_certificate(tmp_path))
    *_, file = handlers.show_made([name], gradio.SelectData(None, {"index": 0, "value": None}))
    saved = Path(file["value"])
    assert saved.parent == work.signed and _manifest(saved.read_bytes())["validation_state"] in ("Valid", "Trusted")
    assert read_record(saved) == _record()  # whoever reads no C2PA finds the record where it always is
    assert (work.edits / name).read_bytes() == data
    *_, again = handlers.show_made(["../../etc/passwd"], gradio.SelectData(None, {"index": 0, "value": None}))
    assert "value" not in again
