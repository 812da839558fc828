"""Opens a root for browsing and serves its page, on this machine alone unless another address is named."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from moodarchive.errors import MissingExtraError, UsageError
from moodarchive.running.local_page import listen
from moodarchive.storage.store import Store
from pipelines.browse.cache import cache_home, note_home, read_state, root_folder
from pipelines.browse.encoder import Encoder
from pipelines.browse.index import VECTORS_FOLDER, WORDS, Index, ensure_index
from pipelines.browse.marks import MarksFile, marks_path
from pipelines.browse.pictures import Pictures, Thumbnails
from pipelines.browse.questions import Questions
from pipelines.browse.vectors import VectorsIndex, exists_in
from pipelines.browse.words import WordsIndex
from pipelines.runner.settings_record import require_recorded_settings

try:
    import uvicorn

    from pipelines.browse.app import Browse, make_app
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "starlette", "browse") from None

_MEGABYTE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class BrowseOptions:
    """Where the page listens, where marks and cache lie (empty: their usual places), and megabytes of thumbnails."""

    host: str = "127.0.0.1"
    port: int = 0
    marks: str = ""
    cache: str = ""
    thumbnails_mb: int = 512


@contextmanager
def open_browse(store: Store, options: BrowseOptions, tell: Callable[[str], None]) -> Iterator[Browse]:
    """The root's index, made first where its tables have changed, and its marks."""
    require_recorded_settings(store)
    home = Path(options.cache) if options.cache else cache_home()
    if store.is_local and home.resolve().is_relative_to(Path(store.path("")).resolve()):
        raise UsageError(f"the cache {home} lies in the root; remedy: --cache with a folder outside of it")
    note_home(store, home)
    folder = root_folder(store, home) / read_state(store)
    ensure_index(store, folder, tell)
    index = Index(folder)
    marks = MarksFile(marks_path(store, options.marks))
    vectors = VectorsIndex(folder / VECTORS_FOLDER) if exists_in(folder / VECTORS_FOLDER) else None
    try:
        pictures = Pictures(store, index)
        browse = Browse(
            store=store,
            index=index,
            questions=Questions(index, WordsIndex(folder / WORDS), vectors),
            pictures=pictures,
            thumbnails=Thumbnails(pictures, folder / "thumbnails", options.thumbnails_mb * _MEGABYTE),
            marks=marks,
            encoder=Encoder(store),
        )
        browse.begin()
        yield browse
    finally:
        marks.close()
        index.close()
        if vectors is not None:
            vectors.close()


def serve_browse(store: Store, options: BrowseOptions, tell: Callable[[str], None]) -> None:
    """Serves until it is stopped; tells the address last. UsageError when the port is taken."""
    with open_browse(store, options, tell) as browse, listen(options.host, options.port, UsageError) as listening:
        token = "" if _is_loopback(options.host) else secrets.token_urlsafe(24)
        hosts = ["*"] if options.host in ("0.0.0.0", "::") else ["127.0.0.1", "localhost", options.host]  # noqa: S104
        tell(f"marks are kept in {marks_path(store, options.marks)}")
        tell(f"http://{options.host}:{listening.getsockname()[1]}/{f'{token}/' if token else ''}")
        app = make_app(browse, hosts=hosts, token=token)
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, workers=1)
        uvicorn.Server(config).run(sockets=[listening])


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
