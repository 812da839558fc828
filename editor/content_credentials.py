"""Signs an edit's file by C2PA, so that its origin can be checked and a change of the file is noticed."""

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from editor.provenance import SUFFIXES, EditRecord
from moodarchive.errors import EditError, MissingExtraError

_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
ASSERTION = "org.moodarchive.edit"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """A person's own signing certificate (PEM, with its chain, the signer's first) and its private key (PEM)."""

    certificate: Path
    key: Path


def sign_edit(data: bytes, record: EditRecord, suffix: str, credentials: Credentials) -> bytes:
    """The file with a C2PA manifest: what made it, that a trained model had a part, and the edit's record.

    Two signatures of equal files differ, because each manifest has a name and a time of its own. EditError when the
    certificate or key cannot be used.
    """
    c2pa = _library()
    kind = f"image/{SUFFIXES[suffix.lower()].lower()}"
    manifest = {
        "claim_generator_info": [{"name": "MoodArchive", "version": record.version}],
        "title": f"edit towards {record.emotion}",
        "format": kind,
        "assertions": [
            {
                "label": "c2pa.actions",
                "data": {
                    "actions": [
                        {
                            "action": "c2pa.created",
                            "digitalSourceType": record.digital_source_type,
                            "softwareAgent": {"name": "MoodArchive", "version": record.version},
                            "description": record.statement,
                        }
                    ]
                },
            },
            {"label": ASSERTION, "data": json.loads(json.dumps(asdict(record)))},
        ],
    }
    signed = io.BytesIO()
    try:
        info = c2pa.C2paSignerInfo(_algorithm(credentials), _pem(credentials.certificate), _pem(credentials.key), None)
        with c2pa.Builder(json.dumps(manifest)) as builder:
            builder.sign(c2pa.Signer.from_info(info), kind, io.BytesIO(data), signed)
    except c2pa.C2paError as error:
        raise EditError(
            f"{credentials.certificate} and {credentials.key} cannot sign: {str(error)[:200]}; remedy: a certificate "
            "for documents or e-mail that a certificate authority issued, with its chain, and its key"
        ) from None
    return signed.getvalue()


def require_credentials(credentials: Credentials) -> None:
    """EditError or MissingExtraError now, and not when the first edit is saved."""
    _library()
    _pem(credentials.certificate)
    _algorithm(credentials)


def _library() -> Any:
    try:
        import c2pa
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "c2pa", "c2pa") from None
    return c2pa


def _pem(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EditError(f"{path} cannot be read: {error.strerror}") from None
    if b"-----BEGIN " not in data:
        raise EditError(f"{path} is no PEM file; remedy: openssl turns other forms into PEM")
    return data


def _algorithm(credentials: Credentials) -> bytes:
    """The signature that goes with the key's kind, by C2PA's name."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_pem(credentials.key), password=None)
    except (ValueError, TypeError) as error:
        raise EditError(f"{credentials.key} is no private key without a password: {error}") from None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _ALGORITHMS:
        return _ALGORITHMS[key.curve.name].encode()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return b"Ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return b"PS256"
    raise EditError(
        f"{credentials.key} is of a kind that C2PA does not sign with; legal: EC P-256 to 521, Ed25519, RSA"
    )
