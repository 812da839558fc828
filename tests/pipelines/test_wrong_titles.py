"""The cut finds pictures whose title is wrong."""

import json
from pathlib import Path

import duckdb
import pytest

from moodarchive.tables.keys import image_key
from pipelines.demo.stock_site.catalogue import drawn_catalogue
from tests.pipelines.running import moodarchive

IMAGES = 2_000


@pytest.mark.torture
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_four_fifths_of_the_wrong_titles_fall_in_the_fifth_that_is_cut(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    done = moodarchive("demo", "--root", str(root), "--images", str(IMAGES), "--no-train", timeout=1700)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = [picture for picture in drawn_catalogue(IMAGES, 0) if picture.fault == "wrong_title"]
    keys = {image_key("openverse", picture.id) for picture in wrong}
    with duckdb.connect() as connection:
        cut = connection.execute(f"SELECT key FROM '{root}/selection/*.parquet' WHERE reason = 'low_score'").fetchall()
        judged = connection.execute(f"SELECT count(*) FROM '{root}/scores/*.parquet' WHERE status = 'ok'").fetchall()
    found = len(keys & {row[0] for row in cut})
    print(json.dumps({"wrong": len(keys), "found": found, "cut": len(cut), "judged": judged[0][0]}))
    assert len(keys) == IMAGES // 10
    manifest = json.loads((root / "manifest.json").read_text())
    assert manifest["counts"]["items"]["rows"] == IMAGES
    assert len(cut) <= 0.2 * judged[0][0]
    assert found >= 0.8 * len(keys)
