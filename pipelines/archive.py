"""The whole run on one screen: emotions become a sealed archive, round by round."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from annotate.caption import caption_stage
from annotate.part_facts import require_described
from crawl.http.search_cache import forget_answers
from crawl.images.stage import download_stage
from crawl.phrases.descriptors import gather_phrases, make_queries, write_descriptors
from crawl.rounds.merge import merge_candidates
from crawl.rounds.rounds import Round, open_round, read_rounds
from crawl.rounds.search import refuse_anonymous, search_stage, web_client
from crawl.rounds.usage_reports import report_uses
from crawl.source import Query
from filter.cut import cut, is_cut_current
from filter.safety import safety_stage
from filter.score import score_stage
from moodarchive.archive.takedown import bound_by
from moodarchive.archive.writer_lock import only_writer
from moodarchive.errors import ConfigError, ServiceError, StorageError
from moodarchive.running.stage import Stage, mark_failed_rows
from moodarchive.settings import SettingScope
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import CAPTIONS
from pipelines.change.reseal import bring_marks_up_to_date
from pipelines.change.verbs import go_on
from pipelines.runner.cluster import Cluster, address_of
from pipelines.runner.execute import pending_parts, run_stages
from pipelines.runner.preflight import start_preflight
from pipelines.runner.progress import Progress
from pipelines.runner.settings_record import check_settings, require_archive_or_empty
from pipelines.runner.sources import affordable_queries, enabled_sources, make_rate_limits, private_names
from pipelines.servers.pool import ManagedServers
from pipelines.settings import ArchiveSettings, local_paths
from shards.pack import ShardSettings, pack_stage
from shards.seal import seal, unseal

STEPS = ("descriptors", "search", "merge", "download", "safety", "caption", "score", "cut", "pack", "seal")

RETRIED = (CAPTIONS.name,)
_LONGEST_WAIT_S = 60.0


@dataclass
class Archive:
    """One archive under a root, and what it takes to build it or go on with it."""

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
        run = self.settings.run
        self.cluster = Cluster(
            address=address_of(run.ray_address),
            cpus=run.cpus,
            give_up_after=run.give_up_after,
            look=lambda: start_preflight(self.store, local_paths(self.settings)),
            begin=make_rate_limits(self.store, self.settings).begin,
        )
        self.servers = self._servers()
        with only_writer(self.store), _without_drafts(self.store), self.cluster, self.servers:
            check_settings(self.store, self.settings.model_copy(update={"shards": with_private(self.settings)}))
            go_on(self.store)
            if retry:
                self._mark_failed_captions()
            for record in self._rounds():
                if not self._crawl(record, until):
                    return
            self.servers.stop()
            if _reaches(until, "cut"):
                self._finish(until)

    def _servers(self) -> ManagedServers:
        settings = self.settings
        if settings.servers.count and "servers" in settings.caption.model_fields_set:
            raise ConfigError(
                f"servers.count = {settings.servers.count} excludes caption.servers = {list(settings.caption.servers)}"
                "; remedy: leave out caption.servers, or set servers.count = 0 to ask servers of your own"
            )
        return ManagedServers(
            settings=settings.servers,
            caption=settings.caption,
            store=self.store,
            own_ray=not address_of(settings.run.ray_address),
        )

    def _mark_failed_captions(self) -> None:
        """Marks the parts whose failed rows are asked about again; a killed run's marks stay for the next."""
        failed = mark_failed_rows(self.store, CAPTIONS)
        self.progress.console.print(
            f"captions: {sum(failed.values()):,} failed rows of {len(failed):,} parts are asked about again",
            highlight=False,
        )

    def _rounds(self) -> Iterator[Round]:
        """The rounds there are, then new ones until every wanted query has been asked."""
        enabled_sources(self.settings.sources)  # a locked one is named before anything is asked of anybody
        yield from read_rounds(self.store)
        wanted = self._wanted_queries()
        most = max(1, self.settings.search.round_images // max((query.results for query in wanted), default=1))
        while rest := self._askable(wanted, rounds := read_rounds(self.store)):
            record = open_round(self.store, rounds, rest, self.settings.of_kind(SettingScope.GROWTH), most)
            if record is None:
                return
            yield record

    def _askable(self, wanted: list[Query], rounds: Sequence[Round]) -> list[Query]:
        """What no round has asked and the quotas allow today. ServiceError when they allow nothing of a first round."""
        asked = {query for earlier in rounds for query in earlier.queries}
        rest = affordable_queries(self.store, self.settings.sources, wanted, asked)
        if not rest and any(query not in asked for query in wanted):
            if not rounds:
                raise ServiceError("the sources' quotas are spent; remedy: run again tomorrow, see moodarchive sources")
            self.progress.console.print("the quotas of today are spent; run again tomorrow for the next round")
        return rest

    def _crawl(self, record: Round, until: str) -> bool:
        """One round from its phrases to its scores; False when ``until`` ends it earlier than the cut."""
        settings = self.settings
        write_descriptors(self.store, record.number, record.queries, settings.descriptors.digest(SettingScope.GROWTH))
        if _reaches(until, "search"):
            self._search(record)
        if not _reaches(until, "merge"):
            return False
        merged = merge_candidates(self.store, record, settings.merge)
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
        gone = sorted({query.source for query in record.queries} - sources.keys())
        if gone and pending_parts([stage], self.store, record.candidates_parts):
            raise ConfigError(
                f"round {record.number} still has questions to {', '.join(gone)}, no longer enabled; remedy: set "
                f"sources.{gone[0]}.enabled = true until the round is done"
            )
        self._run([stage], record.candidates_parts)

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
        pack = pack_stage(with_private(self.settings), self.store)
        if not _reaches(until, "pack"):
            return
        if pending_parts([pack], self.store, parts):
            unseal(self.store)
            self._run([pack], parts)
        self._report_uses(parts)
        if _reaches(until, "seal"):
            with self.progress.step("seal"):
                seal(self.store)

    def _report_uses(self, parts: Sequence[int]) -> None:
        # hours of waiting for a quota are no reason not to seal: what is left is reported by the next run
        rate_limits = replace(make_rate_limits(self.store, self.settings), longest_wait_s=_LONGEST_WAIT_S)
        web = web_client(self.settings.search, self.store, rate_limits)
        if left := report_uses(self.store, parts, enabled_sources(self.settings.sources), web):
            self.progress.console.print(f"{left}; run again for them", highlight=False, markup=False, soft_wrap=True)

    def _run(self, stages: Sequence[Stage], parts: Sequence[int]) -> None:
        with self.progress.stages(stages, parts):
            captions = [stage for stage in stages if stage.writes is CAPTIONS]
            if self.settings.servers.count and captions and pending_parts(captions, self.store, parts):
                self.cluster.start(stages)
                self.servers.start(stages)
            run_stages(stages, self.store, parts, self.cluster)

    def _wanted_queries(self) -> list[Query]:
        settings = self.settings.descriptors
        wanted = gather_phrases(self.store, settings)
        if settings.writer.model:
            dropped = ", ".join(f"{reason} {count:,}" for reason, count in sorted(wanted.dropped.items())) or "nothing"
            short = len(wanted.short(settings.phrases_per_cell))
            self.progress.console.print(
                f"descriptors: {wanted.written:,} phrases by {settings.writer.model} ({wanted.answers_asked:,} answers "
                f"asked for now; dropped: {dropped}); {short} of {len(wanted.phrases)} cells have fewer than "
                f"{settings.phrases_per_cell:,}",
                highlight=False,
                soft_wrap=True,
            )
        return [
            query
            for source in enabled_sources(self.settings.sources)
            for query in make_queries(wanted.phrases, source.name, source.settings.results_per_query)
        ]


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


def with_private(settings: ArchiveSettings) -> ShardSettings:
    """The shards' settings with every source whose images may not be passed on."""
    names = {*settings.shards.private_sources, *private_names(settings.sources)}
    return settings.shards.model_copy(update={"private_sources": tuple(sorted(names))})
