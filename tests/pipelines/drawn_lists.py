"""Two lists of drawn pictures with the true columns of PD12M and CommonCatalog, and a run from them alone."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from moodarchive.emotions.taxonomy import CONTEXTS, Cell
from pipelines.demo.bundled import CLIP
from pipelines.demo.captioner.server import MODEL
from pipelines.demo.scenes.scene import draw_scene
from pipelines.demo.serving import run_server
from pipelines.demo.stock_site.catalogue import StockPicture, drawn_catalogue
from pipelines.demo.stock_site.server import HOST

EMOTIONS = ("joy", "anger", "sadness")
DEEDS = {"cc0": "publicdomain/zero/1.0", "pdm": "publicdomain/mark/1.0"}


@dataclass(frozen=True, kw_only=True)
class DrawnRow:
    """One picture of the list that holds its pictures: what it shows, and what its words say."""

    number: int
    drawn: Cell
    titled: Cell


def drawn_rows(count: int, first: int = 0) -> list[DrawnRow]:
    """So many, cells in turn; every eighth is titled as another emotion."""
    cells = [Cell(emotion, context) for emotion in EMOTIONS for context in CONTEXTS]
    rows = []
    for number in range(first, first + count):
        drawn = cells[number % len(cells)]
        wrong = cells[(number + 4) % len(cells)]
        rows.append(DrawnRow(number=number, drawn=drawn, titled=wrong if number % 8 == 7 else drawn))
    return rows


def write_public_domain(path: Path, pictures: Sequence[StockPicture]) -> None:
    """A list as PD12M's: addresses of the stock site."""
    rows = []
    for picture in pictures:
        assert picture.titled
        words = draw_scene(*picture.titled, seed=picture.seed, size=(64, 48))
        family = "pdm" if picture.licence == "pdm" else "cc0"
        rows.append(
            {
                "id": picture.id,
                "url": f"http://{HOST}/photos/{picture.id}.jpg",
                "caption": f"{words.title}. {words.alt_text}",
                "width": 640,
                "height": 480,
                "mime_type": "image/jpeg",
                "hash": picture.id.replace("-", ""),
                "license": f"https://creativecommons.org/{DEEDS[family]}/",
                "source": "drawn",
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def write_common(path: Path, rows: Sequence[DrawnRow], group: int = 10) -> None:
    """A list as CommonCatalog's: the pictures lie in the rows."""
    listed = []
    for row in rows:
        words = draw_scene(*row.titled, seed=9_000_000 + row.number, size=(64, 48))
        picture = draw_scene(*row.drawn, seed=9_000_000 + row.number).image
        share_alike = row.number % 3 == 0
        listed.append(
            {
                "jpg": _jpeg(picture),
                "blip2_caption": words.alt_text,
                "caption": words.alt_text,
                "licensename": "Attribution-ShareAlike License" if share_alike else "Attribution License",
                "licenseurl": f"http://creativecommons.org/licenses/{'by-sa' if share_alike else 'by'}/2.0/",
                "width": 640,
                "height": 480,
                "original_width": 640,
                "original_height": 480,
                "photoid": 700_000 + row.number,
                "uid": f"{row.number % 5}@N00",
                "unickname": f"drawer+{row.number % 5}",
                "datetaken": "2010-01-01 00:00:00.0",
                "dateuploaded": "1262304000",
                "capturedevice": None,
                "title": words.title.replace(" ", "+"),
                "usertags": "",
                "machinetags": None,
                "longitude": None,
                "latitude": None,
                "accuracy": None,
                "pageurl": f"http://www.flickr.com/photos/{row.number % 5}@N00/{700_000 + row.number}/",
                "downloadurl": f"http://farm1.staticflickr.com/1/{700_000 + row.number}.jpg",
                "serverid": 1,
                "farmid": 1,
                "secret": "s",
                "secretoriginal": "o",
                "ext": "jpg",
                "url": f"http://farm1.staticflickr.com/1/{700_000 + row.number}.jpg",
                "key": f"{row.number:09d}",
                "status": "success",
                "error_message": None,
                "exif": "{}",
                "sha256": f"{row.number:064x}",
                "description": None,
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(listed), path, row_group_size=group)


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


@contextmanager
def serve_drawn(images: int) -> Iterator[tuple[str, str]]:
    """The stock site and the caption server of the demo: their addresses."""
    with (
        run_server("pipelines.demo.stock_site.server", ["--images", str(images), "--seed", "0", "--ahead"]) as site,
        run_server("pipelines.demo.captioner.server", []) as captions,
    ):
        yield site, captions


def healthy_pictures(images: int) -> list[StockPicture]:
    """The site's pictures without a planted fault, but for wrong titles."""
    return [picture for picture in drawn_catalogue(images, 0) if picture.fault in ("", "wrong_title")]


def write_settings(folder: Path, site: str, captions: str, lists: Path) -> str:
    """A settings file that names both lists and no site."""
    path = folder / "catalogues.toml"
    path.write_text(f"""
[run]
ray_address = "local"
[descriptors]
emotions = {list(EMOTIONS)!r}
phrases_per_cell = 14
[search]
user_agent = "MoodArchive-test/0.1 (loopback only; a@b.example)"
loopback_hosts = {{ "{HOST}" = "{site.removeprefix("http://")}" }}
[sources.openverse]
enabled = false
[sources.catalogues.pd]
preset = "pd12m"
files = ["{lists}/pd12m/*.parquet"]
results_per_query = 50
[sources.catalogues.common]
preset = "commoncatalog"
files = ["{lists}/commoncatalog"]
results_per_query = 50
[merge]
rows_per_part = 20
[download]
host_limit = "500/s"
[caption]
model = "{MODEL}"
servers = ["{captions}"]
in_flight = 8
[score]
model = "{CLIP}"
pretrained = ""
[cut]
heldout = 0.1
validation = 0.05
""")
    return str(path)
