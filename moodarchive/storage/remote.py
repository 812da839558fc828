"""Object stores: how their file systems are opened, and what their refusals mean to a person."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from moodarchive.errors import ConfigError, MissingExtraError, MoodArchiveError, StorageError, StorageFullError

READ_AHEAD = 4 << 20
"""Bytes: tables are read by columns, so that more would be fetched in vain."""
UPLOAD_PIECE = 50 << 20
"""Bytes: a smaller file is one request, a larger one a multipart upload of such pieces."""
CONNECTIONS = 32
_PACKAGES = {"gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "abfss": "adlfs", "az": "adlfs", "hf": "huggingface_hub"}
_LIBRARIES = ("botocore", "aiobotocore", "aiohttp", "google", "gcsfs", "azure", "adlfs")
_FULL = ("StorageFull", "QuotaExceeded", "Insufficient Storage", "InsufficientStorage")


def open_file_system(root: str) -> tuple[Any, str]:
    """The fsspec file system of a root, and the root's path in it. UsageError or MissingExtraError when there is none.

    Listings are not cached: other processes and machines write below the root.
    """
    scheme = urlsplit(root).scheme if "://" in root else "file"
    if scheme != "file" and "@" in urlsplit(root).netloc:
        raise ConfigError(
            f"the root {scheme}://… holds credentials, which would end up in logs; remedy: set them in the environment"
        )
    options: dict[str, Any] = {}
    if scheme not in ("file", "memory"):
        options = {"use_listings_cache": False}
    if scheme in ("s3", "s3a"):
        # several connections a file would need its size first: one more request for each small one
        options |= {"default_block_size": READ_AHEAD, "max_concurrency": 1}
        options |= {"config_kwargs": {"max_pool_connections": CONNECTIONS}}
    try:
        fs, base = fsspec.core.url_to_fs(root, **options)
    except ImportError as error:
        if scheme in ("s3", "s3a"):
            raise MissingExtraError("s3fs", "s3") from error
        raise ConfigError(
            f"{root}: {scheme}:// needs another package; remedy: pip install {_PACKAGES.get(scheme, scheme)}"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{root}: {error}; remedy: name a folder, s3://bucket/folder or gs://bucket/folder") from None
    except OSError as error:
        raise ConfigError(f"{root}: {scheme}:// cannot be used here: {str(error).splitlines()[0]}") from None
    return fs, base.rstrip("/")


@contextmanager
def explain_refusals(root: str, where: str) -> Iterator[None]:
    """Turns the store's refusals into StorageErrors with a remedy; a missing or existing file stays what it is."""
    try:
        yield
    except (FileNotFoundError, FileExistsError, NotADirectoryError, MoodArchiveError):
        raise
    except Exception as error:
        library = type(error).__module__.split(".", 1)[0]
        if not isinstance(error, OSError) and library not in _LIBRARIES:
            raise
        message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if any(word in f"{message} {error.__cause__}" for word in _FULL):
            raise StorageFullError(
                f"no space left under {root} while writing {where}: {message}; remedy: free some space and run again, "
                "finished parts are safe"
            ) from error
        raise StorageError(f"{root}: {where or 'the root'}: {message}; remedy: {_remedy(error)}") from error


def _remedy(error: Exception) -> str:
    name = type(error).__name__
    if isinstance(error, PermissionError):
        return "check the credentials and what they allow (list, read, write, delete under the root)"
    if "Credential" in name:
        return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, on every machine of the run"
    if "Endpoint" in name or "Connect" in name or "SSL" in name:
        return (
            "check the network, and AWS_ENDPOINT_URL where the store is not Amazon's; run again, what is done is safe"
        )
    return "run again when the store answers, finished parts are safe"


def check_reachable(root: str, fs: Any, base: str) -> None:
    """StorageError unless the root's bucket is there and may be listed; local folders need no check."""
    if isinstance(fs, LocalFileSystem):
        return
    with explain_refusals(root, ""):
        try:
            fs.ls(base, detail=False)
        except FileNotFoundError:
            bucket = base.split("/", 1)[0]
            if fs.exists(bucket):  # the root is empty: nothing was written yet
                return
            raise StorageError(
                f"{root}: there is no bucket {bucket!r}, or it may not be seen; remedy: check its name, or create it"
            ) from None


def create_remotely(root: str, fs: Any, path: str, data: bytes) -> bool:
    """Creates the object unless it exists; False when it does. StorageError when the store does not know such a thing.

    S3 calls it a conditional write (If-None-Match). A store that ignores the condition would say yes to everyone:
    whoever creates the object therefore asks once more.
    """
    if not _create_once(root, fs, path, data):
        return False
    if _create_once(root, fs, path, data):
        raise StorageError(
            f"{root}: this store ignores conditional writes (If-None-Match), so that two runs could write at once; "
            "remedy: use a store that honours them, or a newer version of it"
        )
    return True


def _create_once(root: str, fs: Any, path: str, data: bytes) -> bool:
    try:
        with explain_refusals(root, path):
            fs.pipe_file(path, data, mode="create")
    except FileExistsError:
        return False
    except FileNotFoundError:
        check_reachable(root, fs, path.rsplit("/", 1)[0])
        raise
    except TypeError as error:
        raise StorageError(f"{root}: this file system cannot create a file conditionally") from error
    return True


def abort_uploads(fs: Any, base: str) -> None:
    """Ends the multipart uploads that killed writers began under the path: invisible, but stored and paid for."""
    if not hasattr(fs, "abort_mpu"):
        return
    bucket, _, prefix = base.partition("/")
    more = True
    while more:
        page = fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=f"{prefix}/" if prefix else "")
        for upload in page.get("Uploads", []):
            with suppress(FileNotFoundError):  # it ended meanwhile
                fs.abort_mpu(bucket, upload["Key"], upload["UploadId"])
        more = page.get("IsTruncated", False)
