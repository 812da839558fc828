"""Catalogues in the settings: named sections, each a source of its own, with errors that name the key."""

import pytest

from crawl.phrases.descriptors import DescriptorSettings, make_queries, read_lexicon_phrases
from crawl.rounds.rounds import open_round
from crawl.rounds.search import SearchSettings, search_stage
from crawl.source import how_to_unlock, is_locked
from moodarchive.errors import ConfigError, SourceLockedError
from moodarchive.settings import SettingScope, load
from moodarchive.storage.store import Store
from pipelines.runner.sources import all_sources, enabled_sources, host_limits, make_rate_limits
from pipelines.settings import ArchiveSettings

TWO = """
[sources.catalogues.pd]
preset = "pd12m"
files = ["lists/*.parquet"]
[sources.catalogues.mine]
files = ["mine.csv"]
permission = "I drew them"
"""


def test_each_catalogue_is_a_source_under_its_own_name() -> None:
    sources = {source.name: source for source in all_sources(load(ArchiveSettings, TWO, "a.toml").sources)}
    assert sources["pd"].policy.terms_url != sources["mine"].policy.terms_url
    assert not is_locked(sources["pd"]) and not is_locked(sources["mine"])


def test_a_locked_catalogue_says_which_lines_unlock_it() -> None:
    text = '[sources.catalogues.old]\npreset = "open-images"\nfiles = ["x.csv"]\n'
    settings = load(ArchiveSettings, text, "a.toml")
    source = next(source for source in all_sources(settings.sources) if source.name == "old")
    assert is_locked(source) and "[sources.catalogues.old]" in how_to_unlock(source)
    with pytest.raises(SourceLockedError, match="old is locked"):
        enabled_sources(settings.sources)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[sources.catalogues.pd]\npreset = "pd13m"\nfiles = ["x"]', "no such preset; legal: pd12m"),
        ('[sources.catalogues.pd]\nfile = ["x"]', "unknown setting 'sources.catalogues.pd.file'; did you mean 'files'"),
        ("[sources.catalogues.pd]\n", "names its files"),
        ('[sources.catalogues.urls]\nfiles = ["x"]', "'urls' cannot be a catalogue's name"),
        ('[sources.catalogues."../x"]\nfiles = ["x"]', "cannot be a catalogue's name"),
        ('[sources.catalogues.pd]\nfiles = ["x"]\nlicences = ["gpl"]', "'gpl' is no licence"),
        ('[sources.catalogues.pd]\nfiles = ["x"]\nmatch = "smell"', "sources.catalogues.pd.match = 'smell'"),
        ('[download.host_limits]\n"a.example" = "fast"', "is no limit"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_legal(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(ArchiveSettings, text, "a.toml")
    assert message in str(caught.value)


def test_scopes_reach_into_named_sections() -> None:
    settings = load(ArchiveSettings, TWO, "a.toml")
    growth = settings.of_kind(SettingScope.GROWTH)["sources"]["catalogues"]
    assert growth["pd"]["preset"] == "pd12m" and growth["mine"]["permission"] == "I drew them"
    assert "files" not in growth["pd"], "where the files lie may change"
    assert "catalogues" not in ArchiveSettings().of_kind(SettingScope.GROWTH)["sources"]


def test_only_hosts_that_consent_are_asked_at_another_pace(store: Store) -> None:
    settings = load(ArchiveSettings, TWO + '[download.host_limits]\n"Bulk.Example." = "300/s"\n', "a.toml")
    assert host_limits(settings) == {"pd12m.s3.us-west-2.amazonaws.com": "200/s", "bulk.example": "300/s"}
    limits = make_rate_limits(store, settings)
    assert limits.host_limits["bulk.example"].requests == 300
    assert limits.host_limit.requests == 20
    off = load(ArchiveSettings, TWO.replace('files = ["lists', 'enabled = false\nfiles = ["lists'), "a.toml")
    assert host_limits(off) == {}


def test_another_release_is_another_question_and_a_site_has_none(store: Store) -> None:
    phrases = read_lexicon_phrases(DescriptorSettings(emotions=("joy",), contexts=("object_classes",)))
    first = make_queries(phrases, "pd", 10, "aaaa")
    record = open_round(store, [], first, {}, most=1)
    assert record and record.queries == tuple(first), "a catalogue gives all of its queries to one round"
    assert open_round(store, [record], first, {}, most=1) is None
    newer = open_round(store, [record], make_queries(phrases, "pd", 10, "bbbb"), {}, most=1)
    assert newer and len(newer.queries) == len(first)
    of_site = open_round(store, [record, newer], make_queries(phrases, "openverse", 10), {}, most=3)
    assert of_site and len(of_site.queries) == 3
    digests = {search_stage(SearchSettings(), {}, store, one).settings for one in (record, newer)}
    assert len(digests) == 2
