"""What is locked is not asked and says how to unlock it; the table and the plan tell what a settings file means."""

import io
import re
from dataclasses import asdict
from datetime import date
from pathlib import Path

import pytest
from aiohttp import web
from rich.console import Console

from crawl.source import is_locked, is_private
from filter.early_repeats import RepeatSettings
from moodarchive.errors import ConfigError, SourceLockedError
from moodarchive.storage.store import Store
from pipelines.archive import ArchiveRun
from pipelines.inspect.plan import Assumptions, make_plan, read_assumptions, show_plan
from pipelines.inspect.sources_table import show_sources
from pipelines.runner.progress import Progress
from pipelines.runner.sources import affordable_queries, all_sources, shard_settings
from pipelines.settings import ArchiveSettings, read_settings
from shards.pack import ShardSettings
from tests.making import HOST, serving

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
AGENT = "MoodArchive-test/0.1 (mailto:someone@a.example)"
NETWORKED = (
    "unsplash", "pexels", "pixabay", "envato", "burst", "stocksnap", "foodiesfeed", "freenaturestock",
)  # fmt: skip
LOCKED = (*NETWORKED, "unsplash_dataset", "urls")


def _settings(**sources: dict[str, object]) -> ArchiveSettings:
    return ArchiveSettings.model_validate({"search": {"user_agent": AGENT}, "sources": sources})


def _shown(settings: ArchiveSettings, root: str = "") -> str:
    console = Console(file=io.StringIO(), width=400)
    show_sources(settings, root, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_every_source_but_openverse_is_locked_by_default() -> None:
    sources = all_sources(ArchiveSettings().sources)
    assert len(sources) == 11
    assert [source.name for source in sources if not is_locked(source)] == ["openverse"]
    assert [source.name for source in sources if source.settings.enabled] == ["openverse"]


def test_a_run_names_every_locked_source_with_its_remedy_and_asks_none(tmp_path: Path) -> None:
    async def anything(_: web.Request) -> web.Response:
        return web.json_response({})

    with serving({"/": anything}) as site:
        base = {name: {"enabled": True, "base_url": f"http://{HOST}"} for name in NETWORKED}
        settings = ArchiveSettings.model_validate(
            {
                "search": {"user_agent": AGENT, "loopback_hosts": site.hosts},
                "sources": {**base, "unsplash_dataset": {"enabled": True}, "urls": {"enabled": True}},
            }
        )
        store = Store(str(tmp_path / "root"))
        with pytest.raises(SourceLockedError) as caught:
            ArchiveRun(store, settings, Progress(store, Console(file=io.StringIO()))).run()
        assert site.requests == []
    message = str(caught.value)
    for source in all_sources(settings.sources):
        if source.name in LOCKED:
            assert f"[sources.{source.name}]\n    enabled = true\n    permission = " in message
            assert source.policy.terms_url in message and source.policy.says in message


def test_the_lines_of_the_remedy_unlock(tmp_path: Path) -> None:
    settings = _settings(pexels={"enabled": True, "permission": "mail of licensing@pexels.example, 2026-10-02"})
    assert "pexels" not in [s.name for s in all_sources(settings.sources) if is_locked(s)]


def test_an_unlocked_source_without_its_key_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PEXELS_API_KEY", raising=False)
    settings = _settings(pexels={"enabled": True, "permission": "yes"})
    store = Store(str(tmp_path / "root"))
    with pytest.raises(ConfigError, match="PEXELS_API_KEY"):
        ArchiveRun(store, settings, Progress(store, Console(file=io.StringIO()))).run()


def test_images_that_may_not_be_passed_on_are_private_unless_the_permission_says_so() -> None:
    private = shard_settings(_settings()).private_sources
    assert {"unsplash", "unsplash_dataset", "pexels", "pixabay", "envato"} <= set(private)
    assert "openverse" not in private and "stocksnap" not in private
    unrecorded = _settings(pexels={"redistribution": True})
    assert "pexels" in shard_settings(unrecorded).private_sources
    allowed = _settings(pexels={"redistribution": True, "permission": "mail of pexels.example, 2026-10-02"})
    assert "pexels" not in shard_settings(allowed).private_sources
    assert is_private(next(s for s in all_sources(allowed.sources) if s.name == "unsplash"))


def test_the_table_shows_states_and_keys_but_no_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEXELS_API_KEY", "hush-hush-1")
    monkeypatch.delenv("PIXABAY_API_KEY", raising=False)
    table = _shown(_settings(pixabay={"enabled": True, "permission": "yes"}))
    rows = {line.split()[0]: line for line in table.splitlines() if " is locked: " not in line and line.strip()}
    assert "searched" in rows["openverse"]
    assert "locked" in rows["pexels"] and "PEXELS_API_KEY present" in rows["pexels"]
    assert "enabled but without key" in rows["pixabay"] and "PIXABAY_API_KEY missing" in rows["pixabay"]
    assert "20,000 of 20,000/month" in rows["pexels"]
    assert "hush" not in table
    assert table.count('permission = "who') == 9


def test_terms_were_read_on_a_date_or_the_table_says_that_they_were_not() -> None:
    for source in all_sources(ArchiveSettings().sources):
        assert source.policy.says and source.policy.terms_url
        assert source.policy.terms_reviewed_on is None or source.policy.terms_reviewed_on <= date(2026, 11, 30)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_plans_and_lists_its_sources(config: Path) -> None:
    settings = read_settings(str(config))
    console = Console(file=io.StringIO(), width=200)
    show_plan(settings, 10_000, Assumptions(), console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    enabled = [source.name for source in all_sources(settings.sources) if source.settings.enabled]
    assert "bounded by: " in text and "captions_per_gpu_s = 3" in text
    assert enabled and all(name in text and name in _shown(settings) for name in enabled)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_plan_of_eight_million_prints_every_assumption_and_each_can_be_replaced(config: Path) -> None:
    settings = read_settings(str(config))

    def planned(*pairs: str) -> str:
        console = Console(file=io.StringIO(), width=200)
        show_plan(settings, 8_000_000, read_assumptions(list(pairs)), console)
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    plain = planned()
    assert "1,512 of the lexicon" in plain or "1,296 of the lexicon" in plain
    for name, value in asdict(Assumptions()).items():
        assert f"\n  {name} = {value:g}\n" in plain
        replaced = planned(f"{name}={value / 2}")
        assert f"\n  {name} = {value / 2:g}\n" in replaced
        figures, others = (text.partition("assumed (")[0] for text in (plain, replaced))
        # two may have nothing to say: where no model writes phrases, and where no site's hosts serve the pictures
        assert figures != others or name in ("new_phrase_share", "image_hosts")


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_the_lines_that_a_config_offers_as_comments_are_valid_too(config: Path, tmp_path: Path) -> None:
    offered: dict[str, list[str]] = {}
    heading = ""
    for line in config.read_text().splitlines():
        if section := re.match(r"(?:# )?(\[[\w.]+\])", line):
            heading = section[1]
        elif re.match(r"# \w+ = ", line):
            offered.setdefault(heading, []).append(line.removeprefix("# "))
    assert offered
    settings = tmp_path / "offered.toml"
    settings.write_text("\n".join("\n".join((heading, *lines)) for heading, lines in offered.items()))
    read_settings(str(settings))


def test_a_plan_adds_up() -> None:
    settings = _settings(openverse={"limits": ["86400/day"], "results_per_query": 20})
    assume = read_assumptions(
        ["new_share=0.5", "download_share=1", "safe_share=1", "kept_share=0.5", "captions_per_gpu_s=1"]
    )
    plan = make_plan(settings, 3600, assume)
    assert plan.images_found == 7200
    assert plan.days_of["openverse"] == pytest.approx(7200 / (86_400 * 20 * 0.5))
    assert plan.days == pytest.approx(2 / 24) and plan.bottleneck == "captions_per_gpu_s = 1 on 1 GPUs"
    assert plan.gpu_hours_captions == pytest.approx(2.0)
    assert plan.parts == 4
    assert plan.phrases < 1
    larger = make_plan(settings, 8_000_000, assume)
    assert larger.phrases > 1 and larger.days_of["openverse"] == pytest.approx(16_000_000 / (86_400 * 20 * 0.5))


def test_a_plan_says_what_finding_repeats_first_saves() -> None:
    assume = read_assumptions(
        ["download_share=1", "safe_share=1", "kept_share=0.5", "captions_per_gpu_s=1", "repeat_share=0.25"]
    )
    late, early = (
        make_plan(_settings().model_copy(update={"repeats": RepeatSettings(before_captions=value)}), 3600, assume)
        for value in (False, True)
    )
    assert (late.gpu_hours_captions, late.gpu_hours_repeats) == pytest.approx((2.0, 0.5))
    assert (early.gpu_hours_captions, early.gpu_hours_repeats) == pytest.approx((1.5, 0.5))
    assert early.money < late.money and early.gpu_hours_scores == late.gpu_hours_scores


def test_a_plan_without_sources_says_so() -> None:
    with pytest.raises(ConfigError, match="no source"):
        make_plan(_settings(openverse={"enabled": False}), 10, Assumptions())


@pytest.mark.parametrize("pair", ["nothing=1", "new_share=x", "new_share=0", "new_share"])
def test_a_bad_assumption_is_named(pair: str) -> None:
    with pytest.raises(ConfigError, match="legal names"):
        read_assumptions([pair])


def test_a_round_takes_no_more_queries_than_the_days_quota_answers(store: Store) -> None:
    from crawl.phrases.descriptors import make_queries, read_lexicon_phrases

    settings = _settings(openverse={"limits": ["2/s", "50/day"], "results_per_query": 100})
    queries = make_queries(read_lexicon_phrases(settings.descriptors), "openverse", 100)
    assert affordable_queries(store, settings.sources, queries, set()) == queries[:10]
    assert affordable_queries(store, settings.sources, queries, set(queries[:4])) == queries[4:14]


def test_a_source_that_was_disabled_in_the_middle_of_a_round_is_named(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    queries = {"emotions": ["joy"], "contexts": ["natural_scenery"], "phrases_per_cell": 1}

    def run(sources: dict[str, object], until: str) -> None:
        values = {"search": {"user_agent": AGENT}, "sources": sources, "descriptors": queries}
        settings = ArchiveSettings.model_validate(values)
        ArchiveRun(store, settings, Progress(store, Console(file=io.StringIO()))).run(until)

    run({}, "descriptors")
    with pytest.raises(ConfigError, match=r"sources\.openverse\.enabled = true"):
        run({"openverse": {"enabled": False}, "stocksnap": {"enabled": True, "permission": "yes"}}, "search")


def test_a_permission_covers_unclear_licences_only_when_it_is_recorded_for_the_source() -> None:
    mail = {"permission": "mail of pexels.example, 2026-10-02"}
    assert shard_settings(_settings()).permitted_sources == ()
    assert shard_settings(_settings(pexels=mail)).permitted_sources == ()
    assert shard_settings(_settings(pexels={"redistribution": True})).permitted_sources == ()
    assert shard_settings(_settings(pexels={**mail, "redistribution": True})).permitted_sources == ("pexels",)
    claimed = _settings()
    claimed = claimed.model_copy(update={"shards": ShardSettings(permitted_sources=("pexels",))})
    with pytest.raises(ConfigError, match="no permission is recorded; remedy: set permission and redistribution"):
        shard_settings(claimed)
