"""A plan from catalogues: what bounds it, what was measured, and the way that is named where sites fall short."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from moodarchive.errors import ConfigError, NotAnArchiveError
from moodarchive.storage.store import Store
from pipelines.inspect.measured_rates import measure_rates
from pipelines.inspect.plan import make_plan, read_assumptions, show_plan
from pipelines.settings import ArchiveSettings, read_settings
from tests.making import fates, write_fates

CONFIGS = Path(__file__).parents[3] / "configs"


def _shown(config: str, images: int) -> str:
    console = Console(file=io.StringIO(), width=300)
    show_plan(read_settings(str(CONFIGS / config)), images, read_assumptions([]), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_eight_million_images_take_at_most_two_weeks_and_the_plan_says_what_bounds_them() -> None:
    plan = make_plan(read_settings(str(CONFIGS / "eight-million.toml")), 8_000_000, read_assumptions([]))
    assert plan.days <= 14 and plan.phrases <= 1
    assert plan.bottleneck == "captions_per_gpu_s = 3 on 7 GPUs"
    assert plan.days == max(plan.days_of.values())
    assert {source.name for source in plan.sources} == {"pd12m", "commoncatalog"}
    assert all(source.images_at_most < 13_000_000 for source in plan.sources), "a list gives no more rows than it has"


def test_a_slower_captioner_is_what_the_plan_names() -> None:
    settings = read_settings(str(CONFIGS / "eight-million.toml"))
    slow = make_plan(settings, 8_000_000, read_assumptions(["captions_per_gpu_s=1"]))
    assert slow.days == pytest.approx(3 * 5.37, rel=0.05)
    fast = make_plan(settings, 8_000_000, read_assumptions(["captions_per_gpu_s=1000"]))
    assert fast.bottleneck.startswith("pictures_per_s")


def test_sites_that_cannot_give_so_many_lead_to_the_catalogues() -> None:
    text = _shown("one-gpu.toml", 8_000_000)
    assert "[sources.catalogues.NAME]" in text and "configs/eight-million.toml" in text
    assert "catalogues can" not in _shown("one-gpu.toml", 5_000)
    assert "catalogues can" not in _shown("eight-million.toml", 8_000_000)


def test_catalogues_that_are_used_up_leave_the_rest_to_the_sites() -> None:
    values = {"sources": {"catalogues": {"pd": {"preset": "pd12m", "files": ["x"], "results_per_query": 10}}}}
    both = make_plan(ArchiveSettings.model_validate(values), 100_000, read_assumptions([]))
    sites_alone = make_plan(ArchiveSettings(), 100_000, read_assumptions([]))
    given = next(source.images_at_most for source in both.sources if source.name == "pd")
    assert 0 < given < both.images_found
    assert both.days == pytest.approx(sites_alone.days * (1 - given / both.images_found), rel=0.01)
    values["sources"]["openverse"] = {"enabled": False}  # type: ignore[dict-item]
    assert make_plan(ArchiveSettings.model_validate(values), 100_000, read_assumptions([])).days == float("inf")


def test_the_pace_of_a_catalogue_is_that_of_the_hosts_that_consent() -> None:
    values = {"sources": {"catalogues": {"pd": {"preset": "pd12m", "files": ["x"]}}}}
    host = "pd12m.s3.us-west-2.amazonaws.com"
    plain = make_plan(ArchiveSettings.model_validate(values), 1000, read_assumptions([]))
    slower = ArchiveSettings.model_validate(values | {"download": {"host_limits": {host: "50/s"}}})
    by_name = {source.name: source.images_a_day for source in plain.sources}
    slow = {source.name: source.images_a_day for source in make_plan(slower, 1000, read_assumptions([])).sources}
    assert by_name["pd"] == 4 * slow["pd"] == 200 * 86_400


def test_what_a_root_measured_takes_the_place_of_assumptions(store: Store) -> None:
    with pytest.raises(NotAnArchiveError):
        measure_rates(store, ArchiveSettings())
    store.write_bytes("settings.json", b'{"schema_version": 3, "per_row": {}, "whole_table": {}}')
    with pytest.raises(ConfigError, match="no part of it is downloaded"):
        measure_rates(store, ArchiveSettings())
    chosen = fates(0, 20)
    write_fates(store, 0, chosen)
    rates = measure_rates(store, ArchiveSettings())
    ok = sum(fate.rows()["images"]["status"] == "ok" for fate in chosen)
    assert rates["download_share"] == pytest.approx(ok / 20)
    assert 0 < rates["kept_share"] <= 1 and rates["pictures_per_s"] > 0 and rates["captions_per_gpu_s"] > 0
    assume = read_assumptions(["kept_share=0.5"], rates)
    assert assume.kept_share == 0.5 and assume.download_share == rates["download_share"]
    console = Console(file=io.StringIO(), width=200)
    show_plan(ArchiveSettings(), 1000, assume, console, rates)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert f"download_share = {assume.download_share:g} (measured)" in text and "kept_share = 0.5\n" in text
