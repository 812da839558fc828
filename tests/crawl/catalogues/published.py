"""Small samples of catalogues, with the columns, types and writing of the published files."""

import csv
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ZERO = "https://creativecommons.org/publicdomain/zero/1.0/"
MARK = "https://creativecommons.org/publicdomain/mark/1.0/"
BY = "https://creativecommons.org/licenses/by/2.0/"


def write_pd12m(path: Path, rows: int = 4, first: int = 0, **more: Any) -> Path:
    """Spawning/PD12M, metadata/pd12m.000.parquet: the licence is an address in ``license``."""
    numbers = range(first, first + rows)
    columns = {
        "id": [f"{n:032x}" for n in numbers],
        "url": [f"https://pd12m.s3.us-west-2.amazonaws.com/image/{n:032x}.jpeg" for n in numbers],
        "caption": [f"A sunlit meadow with {n} flowers." for n in numbers],
        "width": pa.array([640 + n for n in numbers], pa.int64()),
        "height": pa.array([480] * rows, pa.int64()),
        "mime_type": ["image/jpeg"] * rows,
        "hash": [f"{n:032x}" for n in numbers],
        "license": [ZERO if n % 2 == 0 else MARK for n in numbers],
        "source": ["wikimedia"] * rows,
    }
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({**columns, **more}), path)
    return path


def write_commoncatalog(path: Path, pictures: list[bytes | None], *, group: int = 2, as_structure: bool = True) -> Path:
    """common-canvas/commoncatalog-cc-by: the JPEG lies in the row, as bytes or as an image of the hub's kind."""
    rows = len(pictures)
    jpg: pa.Array = pa.array(pictures, pa.binary())
    if as_structure:
        jpg = pa.StructArray.from_arrays([jpg, pa.nulls(rows, pa.string())], ["bytes", "path"])
    texts = {
        "blip2_caption": [f"a meadow with {n} sheep" for n in range(rows)],
        "caption": [f"meadow {n}" for n in range(rows)],
        "licensename": ["Attribution License"] * rows,
        "licenseurl": ["http://creativecommons.org/licenses/by/2.0/"] * rows,
    }
    sizes = {
        name: pa.array([512] * rows, pa.int32()) for name in ("width", "height", "original_width", "original_height")
    }
    table = pa.table({
        "jpg": jpg, **texts, **sizes,
        "photoid": pa.array([6_185_218_911 + n for n in range(rows)], pa.int64()),
        "uid": ["39089491@N00"] * rows,
        "unickname": ["Ana+Mar%C3%ADa"] * rows,
        "datetaken": pa.array([1_331_840_483_000_000] * rows, pa.timestamp("us")),
        "dateuploaded": pa.array([1_331_840_483] * rows, pa.int64()),
        "capturedevice": ["Canon+PowerShot"] * rows,
        "title": [f"Sheep+%26+flowers+{n}" for n in range(rows)],
        "usertags": ["sheep,green+meadow"] * rows,
        "machinetags": pa.nulls(rows, pa.string()),
        "longitude": pa.nulls(rows, pa.float64()), "latitude": pa.nulls(rows, pa.float64()),
        "accuracy": pa.nulls(rows, pa.int64()),
        "pageurl": [f"http://www.flickr.com/photos/39089491@N00/{6_185_218_911 + n}/" for n in range(rows)],
        "downloadurl": [f"http://farm8.staticflickr.com/7205/{n}_o.jpg" for n in range(rows)],
        "serverid": pa.array([7205] * rows, pa.int64()), "farmid": pa.array([8] * rows, pa.int64()),
        "secret": ["ab"] * rows, "secretoriginal": ["cd"] * rows, "ext": ["jpg"] * rows,
        "url": [f"http://farm8.staticflickr.com/7205/{n}_o.jpg" for n in range(rows)],
        "key": ["000000000"] * rows, "status": ["success"] * rows, "error_message": pa.nulls(rows, pa.string()),
        "exif": ["{}"] * rows, "sha256": [f"{n:064x}" for n in range(rows)],
        "description": [f"My+%3Cb%3Evacation%3C/b%3E+{n}" for n in range(rows)],
    })  # fmt: skip
    pq.write_table(table, path, row_group_size=group)
    return path


def vectors(rows: int, width: int = 8, seed: int = 0) -> np.ndarray:
    """Unit vectors, float32."""
    made = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def write_open_images(path: Path, rows: int = 3) -> Path:
    """Open Images V7, image_ids_and_rotation.csv."""
    heading = """ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,OriginalSize,
        OriginalMD5,Thumbnail300KURL,Rotation"""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(str.strip, heading.split(",")))
        for n in range(rows):
            writer.writerow([
                f"{n:016x}", "train", f"https://c1.staticflickr.com/5/4129/{n}_o.jpg",
                f"https://www.flickr.com/photos/brokentaco/{n}", "https://creativecommons.org/licenses/by/2.0/",
                "https://www.flickr.com/people/brokentaco/", "David", f'28 Nov 2010, "our" meadow {n}.', "211079",
                "0Sad+xMj2ttXM1U8meEJ0A==", "", "0.0",
            ])  # fmt: skip
    return path


def yfcc100m_lines(rows: int, *, columns: int = 25) -> str:
    """yfcc100m_dataset: no heading, tabs, percent-encoded texts; the later release has 25 columns, the first 23."""
    lines = []
    for n in range(rows):
        values = [
            str(n), str(6_185_218_911 + n), "4e2f7a26a1dfbf165a7e30bdabf7e72a", "39019111@N00", "guckxzs",
            "2012-02-16 09:56:37.0", "1331840483", "Canon+PowerShot+ELPH+310+HS", f"A+%22sunlit%22+meadow+{n}",
            "My+vacation+%3Ca+href%3D%22x%22%3Ehere%3C%2Fa%3E+%26amp%3B+there", "canon,green+meadow", "",
            "-81.804885", "24.550558", "12", f"http://www.flickr.com/photos/39089491@N00/{6_985_418_911 + n}/",
            f"http://farm8.staticflickr.com/7205/{6_985_418_911 + n}_df7747990d.jpg", "Attribution-ShareAlike License",
            "http://creativecommons.org/licenses/by-sa/2.0/", "7205", "8", "df7747990d", "692d7e0a7f", "jpg", "0",
        ]  # fmt: skip
        lines.append("\t".join(values if columns == 25 else [values[1], *values[3:]]))
    return "\n".join(lines) + "\n"


def write_unsplash(folder: Path, rows: int = 3) -> Path:
    """photos.tsv000 and keywords.tsv000 of the Unsplash dataset."""
    heading = """photo_id photo_url photo_image_url photo_submitted_at photo_featured photo_width photo_height
        photo_aspect_ratio photo_description photographer_username photographer_first_name photographer_last_name
        exif_camera_make stats_views ai_description ai_primary_landmark_name blur_hash"""
    with (folder / "photos.tsv000").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(heading.split())
        for n in range(rows):
            writer.writerow([
                f"XMyPniM9LF{n}", f"https://unsplash.com/photos/XMyPniM9LF{n}",
                f"https://images.unsplash.com/uploads/{n}/meadow.jpg", "2014-09-29 00:08:38", "t", "4272", "2848",
                "1.5", ("Woman exploring\ta forest", "", 'The "late" light')[n % 3], "michellespencer77", "Michelle",
                ("Spencer", "")[n % 2], "NIKON", "2375421", f"woman in meadow {n}", "", "L56bVcRRIWMh",
            ])  # fmt: skip
    keywords = [(n, word) for n in range(rows) for word in ("tree", "meadow")]
    (folder / "keywords.tsv000").write_text(
        "photo_id\tkeyword\tai_service_1_confidence\tai_service_2_confidence\tsuggested_by_user\n"
        + "".join(f"XMyPniM9LF{n}\t{word}\t22.3\t\tf\n" for n, word in keywords)
        + "elsewhere\tdesert\t1\t\tf\n"
    )
    return folder


def write_commons_tar(path: Path, pictures: list[bytes]) -> Path:
    """Files of Wikimedia Commons as WebDataset: the page's number, the picture, and what the API says of it."""
    with tarfile.open(path, "w") as tar:
        for n, picture in enumerate(pictures):
            said = {
                "title": f"File:Meadow {n}.jpg", "width": 640, "height": 480,
                "extmetadata": {
                    "ObjectName": {"value": f"Meadow {n}"},
                    "ImageDescription": {"value": "<p>A <b>sunlit</b> meadow</p>"},
                    "Artist": {"value": '<a href="//commons.wikimedia.org/wiki/User:Ana">Ana</a>'},
                    "LicenseShortName": {"value": "CC BY-SA 4.0"},
                    "LicenseUrl": {"value": "https://creativecommons.org/licenses/by-sa/4.0"},
                    "Categories": {"value": "Meadows|Sunlight"},
                },
            }  # fmt: skip
            for name, content in ((f"{35678 + n}.jpg", picture), (f"{35678 + n}.json", json.dumps(said).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def write_links(path: Path, rows: int = 3) -> Path:
    """kakaobrain/coyo-700m."""
    pq.write_table(
        pa.table({
            "id": pa.array([841_814_333_321 + n for n in range(rows)], pa.int64()),
            "url": [f"https://blog.example/{n}.jpg" for n in range(rows)],
            "text": [f"A dog in a meadow {n}" for n in range(rows)],
            "width": pa.array([1000] * rows, pa.int64()), "height": pa.array([988] * rows, pa.int64()),
            "image_phash": ["c9b6a7d8469c1959"] * rows, "text_length": pa.array([59] * rows, pa.int32()),
            "word_count": pa.array([11] * rows, pa.int32()), "num_faces": pa.array([0] * rows, pa.int32()),
            "clip_similarity_vitb32": [0.43] * rows, "clip_similarity_vitl14": [0.35] * rows,
            "nsfw_score_opennsfw2": [0.0003, 0.93, 0.1][:rows], "nsfw_score_gantman": [0.03] * rows,
            "watermark_score": [0.1] * rows, "aesthetic_score_laion_v2": [5.4] * rows,
        }),
        path,
    )  # fmt: skip
    return path
