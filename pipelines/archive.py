"""The whole run on one screen: emotions become a sealed archive, round by round."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from annotate.caption import caption_stage
from annotate.part_facts import require_described
from crawl.catalogues.answers import forget_matches
from crawl.download import download_stage
from crawl.http.search_cache import forget_answers
from crawl.phrases.descriptors import write_descriptors
from crawl.rounds.merge import merge_candidates
from crawl.rounds.rounds import Round, read_rounds
from crawl.rounds.search import refuse_anonymous, search_stage
from filter.cut import cut, is_cut_current
from filter.safety import safety_stage
from filter.score import score_stage
from moodarchive.archive.takedown import bound_by
from moodarchive.archive.writer_lock import only_writer
from moodarchive.errors import ConfigError, StorageError
from moodarchive.running.stage import Stage, mark_failed_rows
from moodarchive.settings import SettingScope
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import CAPTIONS
from pipelines.change.reseal import bring_marks_up_to_date
from pipelines.change.verbs import go_on
from pipelines.runner.catalogues import match_catalogues
from pipelines.runner.cluster import Cluster, make_cluster
from pipelines.runner.execute import pending_parts, run_stages
from pipelines.runner.progress import Progress
from pipelines.runner.rounds import open_rounds, require_lists
from pipelines.runner.settings_record import RECORD_PATH, check_settings, require_archive_or_empty
from pipelines.runner.sources import (
    enabled_sources,
    make_catalogues,
    make_rate_limits,
    report_image_uses,
    shard_settings,
)
from pipelines.servers.pool import ManagedServers, make_servers
from pipelines.settings import ArchiveSettings
from shards.pack import pack_stage
from shards.seal import seal, unseal

STEPS = ("descriptors", "search", "merge", "download", "safety", "caption", "score", "cut", "pack", "seal")

RETRIED = (CAPTIONS.name,)


@dataclass
class ArchiveRun:
    """Builds the archive under a root, or goes on with it."""

    store: Store
    settings: ArchiveSettings
    progress: Progress
    cluster: Cluster = field(init=False)
    servers: ManagedServers = field(init=False)

    def run(self, until: str = "seal", retry: str = "") -> None:
        """Completes the open round and every further one that the settings ask for, then cuts, packs and seals.

        What is done is found in the store and left alone; ``until`` names the last step, ``retry`` the table whose
        failed rows are tried again. Errors name part and log.
        """
        if until not in STEPS:
            raise ConfigError(f"--until {until}: no such step; legal: {', '.join(STEPS)}")
        if retry not in ("", *RETRIED):
            raise ConfigError(f"--retry {retry}: its rows cannot be tried again; legal: {', '.join(RETRIED)}")
        require_archive_or_empty(self.store)
        self.cluster = make_cluster(self.store, self.settings)
        self.servers = make_servers(self.store, self.settings.servers, self.settings.caption, self.cluster.address)
        if not self.store.exists(RECORD_PATH):
            self._refuse_hopeless_start(until)
        with only_writer(self.store), _without_drafts(self.store), self.cluster, self.servers:
            check_settings(self.store, self.settings.model_copy(update={"shards": shard_settings(self.settings)}))
            go_on(self.store)
            if retry:
                self._mark_failed_captions()
            for record in open_rounds(self.store, self.settings, self.progress.console):
                if not self._crawl(record, until):
                    return
            self.servers.stop()
            if _reaches(until, "cut"):
                self._finish(until)

    def _refuse_hopeless_start(self, until: str) -> None:
        """What a new archive's first round would lack is named before its root is made and before anybody is asked.

        An archive that was begun may be past the step that needs it.
        """
        require_lists(self.settings)
        if self.settings.servers.count and self.servers.own_ray and _reaches(until, "caption"):
            self.servers.check_python()

    def _mark_failed_captions(self) -> None:
        """Marks the parts whose failed rows are asked about again; a killed run's marks stay for the next."""
        failed = mark_failed_rows(self.store, CAPTIONS)
        self.progress.console.print(
            f"captions: {sum(failed.values()):,} failed rows of {len(failed):,} parts are asked about again",
            highlight=False,
        )

    def _crawl(self, record: Round, until: str) -> bool:
        """One round from its phrases to its scores; False when ``until`` ends it earlier than the cut."""
        settings = self.settings
        write_descriptors(self.store, record.number, record.queries, settings.descriptors.digest(SettingScope.GROWTH))
        if _reaches(until, "search"):
            self._search(record)
        if not _reaches(until, "merge"):
            return False
        merged = merge_candidates(self.store, record, settings.merge)
        forget_matches(self.store)  # its rows are candidates by now
        if bound_by(self.store):
            forget_answers(self.store)  # resumed searches need them no longer, and they name what was taken down
        stages = [stage for stage in self._image_stages() if _reaches(until, stage.name)]
        if settings.repeats.before_captions:
            judging = [stage for stage in stages if _reaches("safety", stage.name)]
            self._run(judging, merged.image_parts)
            if _reaches(until, "caption"):
                bring_marks_up_to_date(self.store, settings.cut, merged.number)
            stages = stages[len(judging) :]
        self._run(stages, merged.image_parts)
        return _reaches(until, "score")

    def _search(self, record: Round) -> None:
        settings = self.settings
        refuse_anonymous(settings.search.user_agent)
        sources = {source.name: source for source in enabled_sources(settings.sources)}
        rate_limits = make_rate_limits(self.store, settings)
        stage = search_stage(settings.search, sources, self.store, record, rate_limits)
        pending = pending_parts([stage], self.store, record.candidates_parts)
        gone = sorted({query.source for query in record.queries} - sources.keys())
        if gone and pending:
            raise ConfigError(
                f"round {record.number} still has questions to {', '.join(gone)}, no longer enabled; remedy: set "
                f"sources.{gone[0]}.enabled = true until the round is done"
            )
        sources = match_catalogues(
            self.store, record, sources=sources, pending=pending, cluster=self.cluster, progress=self.progress
        )
        self._run([search_stage(settings.search, sources, self.store, record, rate_limits)], record.candidates_parts)

    def _image_stages(self) -> tuple[Stage, ...]:
        settings = self.settings
        return (
            download_stage(
                settings.download,
                settings.search.user_agent,
                settings.search.loopback_hosts,
                make_rate_limits(self.store, settings),
                settings.sources.urls.folder,
                store=self.store,
                catalogues=make_catalogues(settings.sources),
            ),
            safety_stage(settings.safety),
            caption_stage(
                settings.caption,
                self.servers.live if settings.servers.count else None,
                after_repeats=settings.repeats.before_captions,
            ),
            score_stage(settings.score),
        )

    def _finish(self, until: str) -> None:
        """The steps that see the whole archive; the seal is broken before anything under it changes."""
        require_described(finished_parts(self.store, CAPTIONS).values())
        records = read_rounds(self.store)
        parts, rounds = [part for record in records for part in record.image_parts], [one.number for one in records]
        if not is_cut_current(self.store, self.settings.cut, parts, rounds):
            unseal(self.store)
            with self.progress.step("cut"):
                cut(self.store, self.settings.cut, parts, rounds)
        pack = pack_stage(shard_settings(self.settings), self.store)
        if not _reaches(until, "pack"):
            return
        if pending_parts([pack], self.store, parts):
            unseal(self.store)
            self._run([pack], parts)
        if left := report_image_uses(self.store, self.settings, parts):
            self.progress.console.print(left, highlight=False, markup=False, soft_wrap=True)
        if _reaches(until, "seal"):
            with self.progress.step("seal"):
                seal(self.store)

    def _run(self, stages: Sequence[Stage], parts: Sequence[int]) -> None:
        with self.progress.stages(stages, parts):
            captions = [stage for stage in stages if stage.writes is CAPTIONS]
            if self.settings.servers.count and captions and pending_parts(captions, self.store, parts):
                self.cluster.start(stages)
                self.servers.start(stages)
            run_stages(stages, self.store, parts, self.cluster)


@contextmanager
def _without_drafts(store: Store) -> Iterator[None]:
    """Removes what killed runs left half written, and then what workers left that crashed or were stopped."""
    store.remove_drafts()
    try:
        yield
    finally:
        with suppress(StorageError, OSError):  # how the block ended matters more; the next run tries again
            store.remove_drafts()


def _reaches(until: str, step: str) -> bool:
    return STEPS.index(step) <= STEPS.index(until)
