"""Fetches a part's pictures from hosts that accept it with img2dataset, in a process of its own; bytes as served.

img2dataset fetches by itself: it keeps no pace, follows redirects to anywhere, reads bodies of any length and knows
neither robots.txt nor tdm-reservation. What can be judged before (addresses, robots.txt) is; the rest is why each host
must be named in the settings.
"""

import asyncio
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from yarl import URL

from crawl.http.images import Fetcher
from crawl.politeness.robots import OPT_OUTS, product_token
from moodarchive.errors import RowError, ServiceError
from moodarchive.tables.parquet import read_table as read_parquet

PYTHON = "MOODARCHIVE_IMG2DATASET_PYTHON"
START_UP_S, RETRIES, SHARD_ROWS = 120.0, 1, 500
_KINDS = (
    (r"HTTP Error 30\d: .*infinite loop", "too_many_redirects"),
    (r"HTTP Error (429|503)\b", "throttled"),
    (r"disallowed by X-Robots-Tag", "opt_out"),
    (r"timed out", "deadline"),
    (r"Name or service|No address|name resolution", "unknown_host"),
    (r"SSL|CERTIFICATE", "tls_failed"),
    (r"IncompleteRead", "truncated"),
    (r"BadStatusLine|LineTooLong|got more than", "bad_answer"),
)
"""What img2dataset writes of a failure → its kind; anything else is ``unreachable``."""


def kind_of(message: str) -> str:
    """``HTTP Error 404: Not Found`` → ``http_404``."""
    for pattern, kind in _KINDS:
        if re.search(pattern, message):
            return kind
    status = re.search(r"HTTP Error (\d{3})", message)
    return f"http_{status[1]}" if status else "unreachable"


@dataclass(frozen=True)
class Bulk:
    """What img2dataset fetched: a file or a failure for each key that it was given."""

    files: Mapping[str, Path] = field(default_factory=dict)
    failures: Mapping[str, RowError] = field(default_factory=dict)

    def read(self, key: str, max_bytes: int) -> bytes | None:
        """The bytes; None for a key that was not fetched this way; RowError."""
        if key in self.failures:
            raise self.failures[key]
        if key not in self.files:
            return None
        size = self.files[key].stat().st_size
        if size > max_bytes:
            raise RowError("too_many_bytes", f"{key}: {size} bytes, limit {max_bytes}")
        return self.files[key].read_bytes()


@asynccontextmanager
async def fetch_in_bulk(urls: Mapping[str, str], fetcher: Fetcher, threads: int) -> AsyncIterator[Bulk]:
    """Fetches key → address; the files are there until the context ends. ServiceError when img2dataset cannot run."""
    if not urls:
        yield Bulk()
        return
    with tempfile.TemporaryDirectory(prefix="moodarchive-img2dataset-") as folder:
        allowed: dict[str, str] = {}
        failures: dict[str, RowError] = {}
        for key, url in urls.items():
            try:
                allowed[key] = _resolve_loopback(await fetcher.vet(url), fetcher.loopback_hosts)
            except RowError as error:
                failures[key] = error
        if allowed:
            rows = pa.table({"url": list(allowed.values()), "row": list(allowed)})
            await asyncio.to_thread(pq.write_table, rows, f"{folder}/urls.parquet")
            # a bound for hosts that answer a byte a second, which img2dataset would wait for without end
            limit_s = START_UP_S + (1 + RETRIES) * fetcher.limits.deadline_s * (1 + len(allowed) / threads)
            await _run(Path(folder), threads, fetcher, limit_s)
        files, failed = await asyncio.to_thread(_collect, Path(folder) / "out", list(allowed))
        yield Bulk(files, failures | failed)


def _resolve_loopback(url: URL, loopback_hosts: Mapping[str, str]) -> str:
    """img2dataset asks the system for addresses, which does not know the names that the settings open."""
    address = loopback_hosts.get(url.host or "")
    return str(url) if address is None else f"{url.scheme}://{address}{url.raw_path_qs}"


async def _run(folder: Path, threads: int, fetcher: Fetcher, limit_s: float) -> None:
    options = {
        "url_list": folder / "urls.parquet", "input_format": "parquet", "save_additional_columns": '["row"]',
        "output_folder": folder / "out", "output_format": "files", "disable_all_reencoding": True,
        "extract_exif": False, "compute_hash": None, "processes_count": 1, "thread_count": threads,
        "number_sample_per_shard": SHARD_ROWS, "timeout": max(1, round(fetcher.limits.deadline_s)),
        "retries": RETRIES, "user_agent_token": product_token(fetcher.user_agent),
        "disallowed_header_directives": json.dumps(OPT_OUTS), "enable_wandb": False,
    }  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            os.environ.get(PYTHON, sys.executable), "-m", "img2dataset.main",
            *(f"--{name}={value}" for name, value in options.items()),
            stdout=log, stderr=log, start_new_session=True, cwd=folder,
            env={
                **os.environ, "PYTHONSAFEPATH": "1", "TMPDIR": str(folder),
                "NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled",
            },
        )  # fmt: skip
        try:
            async with asyncio.timeout(limit_s):
                await process.wait()
        except TimeoutError:
            return  # what is finished counts; the rest ends in ``deadline``
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
    if process.returncode:
        last_line = (folder / "log").read_text(errors="replace").strip().splitlines()[-1:]
        raise ServiceError(
            f"img2dataset ended with {process.returncode}: {' '.join(last_line)}; remedy: pip install "
            f"'moodarchive[img2dataset]', or name another interpreter that has it in {PYTHON}"
        )


def _collect(out: Path, keys: list[str]) -> tuple[dict[str, Path], dict[str, RowError]]:
    files: dict[str, Path] = {}
    failures = {key: RowError("deadline", f"{key}: img2dataset did not come to it in time") for key in keys}
    for shard in sorted(out.glob("*.parquet")):
        for row in read_parquet(shard, columns=["row", "key", "status", "error_message"]).to_pylist():
            del failures[row["row"]]
            if row["status"] == "success":
                files[row["row"]] = out / shard.stem / f"{row['key']}.jpg"
            else:
                failures[row["row"]] = RowError(kind_of(row["error_message"]), f"{row['row']}: {row['error_message']}")
    return files, failures
