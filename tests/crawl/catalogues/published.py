"""Small samples of catalogues, with the columns, types and writing of the published files."""

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
