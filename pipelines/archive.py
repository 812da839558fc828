"""The whole run on one screen: emotions become a sealed archive, round by round."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from annotate.caption import caption_stage
from crawl.deal import deal
from crawl.descriptors import wanted_phrases, wanted_queries, write_descriptors
from crawl.download import download_stage
from crawl.openverse import Openverse
from crawl.query import Query
from crawl.rounds import Round, open_round, read_rounds
from crawl.search import search_stage
from crawl.source import Source
from filter.cut import cut, is_cut_current
from filter.safety import safety_stage
from filter.score import score_stage
from moodarchive.errors import ConfigError
from moodarchive.settings import Kind
from moodarchive.stage import Stage
from moodarchive.store import Store
from moodarchive.writer_lock import only_writer
from pipelines.execute import Cluster, pending_parts, run_stages
from pipelines.guard import guard, refuse_foreign
from pipelines.progress import Progress
from pipelines.settings import ArchiveSettings
from shards.pack import pack_stage
from shards.seal import seal, unseal

STEPS = ("descriptors", "search", "deal", "download", "safety", "caption", "score", "cut", "pack", "seal")


@dataclass
class Archive:
    """One archive under a root, and what it takes to build it or go on with it."""

    store: Store
    settings: ArchiveSettings
    progress: Progress
    cluster: Cluster = field(init=False)

    def run(self, until: str = "seal") -> None:
        """Completes the open round and every further one that the settings ask for, then cuts, packs and seals.

        What is done is found in the store and left alone; ``until`` names the last step. Errors name part and log.
        """
        if until not in STEPS:
            raise ConfigError(f"--until {until}: no such step; legal: {', '.join(STEPS)}")
        refuse_foreign(self.store)
        run = self.settings.run
        self.cluster = Cluster(address=run.ray_address, cpus=run.cpus, give_up_after=run.give_up_after)
        with only_writer(self.store), self.cluster:
            self.store.remove_drafts()
            guard(self.store, self.settings)
            for record in self._rounds():
                if not self._crawl(record, until):
                    return
            if _reaches(until, "cut"):
                self._finish(until)

    def _rounds(self) -> Iterator[Round]:
        """The rounds there are, then new ones until every wanted query has been asked."""
        wanted = self._wanted_queries()
        rounds = read_rounds(self.store)
        yield from rounds
        most = max(1, self.settings.search.round_images // max((query.results for query in wanted), default=1))
        while record := open_round(
            self.store, read_rounds(self.store), wanted, self.settings.of_kind(Kind.GROWTH), most
        ):
            yield record

    def _crawl(self, record: Round, until: str) -> bool:
        """One round from its phrases to its scores; False when ``until`` ends it earlier than the cut."""
        settings = self.settings
        write_descriptors(self.store, record.number, record.queries, settings.descriptors.digest(Kind.GROWTH))
        if _reaches(until, "search"):
            self._run([search_stage(settings.search, self._sources(), self.store, record)], record.candidates_parts)
        if not _reaches(until, "deal"):
            return False
        dealt = deal(self.store, record, settings.deal)
        stages = [stage for stage in self._image_stages() if _reaches(until, stage.name)]
        self._run(stages, dealt.image_parts)
        return _reaches(until, "score")

    def _image_stages(self) -> tuple[Stage, ...]:
        settings = self.settings
        return (
            download_stage(settings.download, settings.search.user_agent, settings.search.loopback_hosts),
            safety_stage(settings.safety),
            caption_stage(settings.caption),
            score_stage(settings.score),
        )

    def _finish(self, until: str) -> None:
        """The steps that see the whole archive; the seal is broken before anything under it changes."""
        parts = [part for record in read_rounds(self.store) for part in record.image_parts]
        if not is_cut_current(self.store, self.settings.cut, parts):
            unseal(self.store)
            with self.progress.step("cut"):
                cut(self.store, self.settings.cut, parts)
        pack = pack_stage(self.settings.shards)
        if not _reaches(until, "pack"):
            return
        if pending_parts([pack], self.store, parts):
            unseal(self.store)
            self._run([pack], parts)
        if _reaches(until, "seal"):
            with self.progress.step("seal"):
                seal(self.store)

    def _run(self, stages: Sequence[Stage], parts: Sequence[int]) -> None:
        with self.progress.stages(stages, parts):
            run_stages(stages, self.store, parts, self.cluster)

    def _sources(self) -> Mapping[str, Source]:
        chosen = self.settings.sources
        sources: list[Source] = [Openverse(chosen.openverse)] if chosen.openverse.enabled else []
        if not sources:
            raise ConfigError("no source is enabled; remedy: set sources.openverse.enabled = true")
        return {source.name: source for source in sources}

    def _wanted_queries(self) -> list[Query]:
        phrases = wanted_phrases(self.settings.descriptors)
        results = {"openverse": self.settings.sources.openverse.results_per_query}
        return [query for name in self._sources() for query in wanted_queries(phrases, name, results[name])]


def _reaches(until: str, step: str) -> bool:
    return STEPS.index(step) <= STEPS.index(until)
