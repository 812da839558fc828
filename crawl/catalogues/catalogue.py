"""A catalogue as a source: its answers are made for all phrases at once, before the search reads them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from crawl.catalogues.answers import read_answer
from crawl.catalogues.files import ListFile, find_files, fingerprint
from crawl.catalogues.presets import PRESETS, Preset
from crawl.catalogues.settings import CatalogueSettings
from crawl.http.search_client import WebClient
from crawl.source import Found, Policy, Query
from moodarchive.errors import ConfigError
from moodarchive.storage.remote import explain_refusals, open_file_system
from moodarchive.storage.store import Store


@dataclass(frozen=True)
class Catalogue:
    """The adapter. ``answers`` is where its matched rows lie under the root: (the root's store, folder)."""

    name: str
    settings: CatalogueSettings
    answers: tuple[Store, str] | None = None

    @property
    def preset(self) -> Preset:
        """The list's form and terms."""
        return PRESETS[self.settings.preset]

    @property
    def policy(self) -> Policy:
        """The terms under which the list is offered; each row's licence holds besides."""
        return self.preset.policy

    @cached_property
    def files(self) -> tuple[ListFile, ...]:
        """The list's files in the order of their names. ConfigError when there are none."""
        preset = self.preset
        beside = preset.companion.pattern if preset.companion else ""
        return find_files(self.settings.files, preset.pattern, preset.format.kind, beside=beside)

    @cached_property
    def release(self) -> str:
        """A digest of the files' names and contents, wherever they lie: another release is asked anew."""
        return fingerprint(self.files)

    @cached_property
    def day(self) -> str:
        """The day (UTC) on which the newest of the files was written: nobody knows better when the list was made."""
        return max(map(_day_of, self.files))

    @property
    def embedding_model(self) -> tuple[str, str]:
        """Model and weights of the list's embeddings. ConfigError when neither settings nor preset name them."""
        own, published = self.settings, self.preset.embedding
        if own.embedding_model:
            return own.embedding_model, own.embedding_pretrained
        if published is None:
            raise ConfigError(
                f"{own.section}.{self.name}.match = {own.match!r} needs embeddings, and its preset has none; "
                "remedy: make them with moodarchive embed, and name the files and the model that made them"
            )
        return published[1], published[2]

    def search(self, query: Query, web: WebClient) -> Iterator[Found]:
        """The query's rows, the best first, as they were matched; nothing is asked of anybody."""
        assert self.answers, "a catalogue is matched before it is searched"
        return read_answer(*self.answers, query)


def _day_of(file: ListFile) -> str:
    fs, path = open_file_system(file.path)
    with explain_refusals(file.path, file.name):
        written: datetime = fs.modified(path)
    return written.astimezone(UTC).date().isoformat()


def require_same_release(catalogue: Catalogue, query: Query) -> None:
    """ConfigError when the files are not those with which the query's round was opened."""
    if query.release != catalogue.release:
        raise ConfigError(
            f"the files of {catalogue.settings.section}.{catalogue.name} are not those with which a round was opened "
            f"that is not done yet (release {query.release}, now {catalogue.release}); remedy: put the former back "
            "until that round is done; the new ones then make a round of their own"
        )
