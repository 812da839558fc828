"""A folder of one's own pictures is named by the CSV beside it, as spreadsheets write it."""

from pathlib import Path

import pytest

from moodarchive.errors import ConfigError
from pipelines.demo.stock_site.catalogue import photo_catalogue
from tests.making import encoded, textured


@pytest.mark.parametrize(
    "text",
    [
        "file,title,licence\na.jpg,Red square,cc0 1.0\n",
        "\ufefffile,title,licence\r\na.jpg,Red square,cc0 1.0\r\n",
        "file;title;licence\na.jpg;Red square;cc0 1.0\n",
        "sep=;\r\nFile;Title;Licence\r\na.jpg;Red square;cc0 1.0\r\n",
    ],
    ids=["plain", "mark and CRLF", "semicolons", "spreadsheet"],
)
def test_titles_and_licences_are_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(textured()))
    (tmp_path / "photos.csv").write_bytes(text.encode())
    (picture,) = photo_catalogue(str(tmp_path))
    assert (picture.title, picture.licence) == ("Red square", "cc0 1.0")


def test_a_list_without_the_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(textured()))
    (tmp_path / "photos.csv").write_text("name,title\na.jpg,Red square\n")
    with pytest.raises(ConfigError, match="no column 'file'"):
        photo_catalogue(str(tmp_path))
