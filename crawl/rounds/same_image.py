"""Which candidates are one image: those that share a key, or an address in its normal form, if by way of others.

Makes the table ``same_image`` (id, image, known) in DuckDB: id is a candidate's key as a number, image the key of the
row that stands for it. That is the smallest key of those that are one, or, when an earlier round has one of them
(``known``), the smallest of the earlier ones.
"""

import duckdb

# Numbers instead of texts: ten million keys and addresses fit into memory. An md5 of 128 bits takes an address's place.
# A row without an address was taken down: it stays an image of its own.
_ADDRESSED = """
CREATE TABLE addressed AS
SELECT ('0x' || key)::UBIGINT AS id, md5_number(coalesce(normalised(url), key)) AS address, bool_or(known) AS known
FROM (SELECT key, url, false AS known FROM candidates UNION ALL SELECT key, url, true FROM items)
GROUP BY ALL
"""
# Only what shares an address, or has several, can be more than one image's row; it is a small part of all.
_SHARED = """
CREATE TABLE shared AS
SELECT id, address, id AS label FROM addressed
WHERE address IN (SELECT address FROM addressed GROUP BY address HAVING count(*) > 1)
"""
_SPREAD = """
CREATE OR REPLACE TABLE spread AS
WITH of_address AS (SELECT address, min(label) AS label FROM shared GROUP BY address),
of_id AS (SELECT s.id, min(a.label) AS label FROM shared s JOIN of_address a USING (address) GROUP BY s.id)
SELECT s.id, s.address, o.label, o.label <> s.label AS changed FROM shared s JOIN of_id o USING (id)
"""
_SAME = """
CREATE TABLE same_image AS
WITH labelled AS (
    SELECT id, coalesce(min(s.label), id) AS label, bool_or(known) AS known
    FROM addressed LEFT JOIN (SELECT DISTINCT id, label FROM shared) s USING (id) GROUP BY id),
standing AS (SELECT label, min(id) FILTER (known) AS earlier FROM labelled GROUP BY label)
SELECT l.id, coalesce(s.earlier, l.label) AS image, s.earlier IS NOT NULL AS known
FROM labelled l JOIN standing s USING (label)
"""


def find_same_images(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes ``same_image`` from the views ``candidates`` and ``items`` (key, url)."""
    connection.execute(_ADDRESSED)
    connection.execute(_SHARED)
    while True:  # the smallest key spreads from neighbour to neighbour; two or three turns in practice
        connection.execute(_SPREAD)
        changed = connection.execute("SELECT count(*) FROM spread WHERE changed").fetchall()[0][0]
        connection.execute("CREATE OR REPLACE TABLE shared AS SELECT id, address, label FROM spread")
        if not changed:
            break
    connection.execute("DROP TABLE spread")
    connection.execute(_SAME)
    connection.execute("DROP TABLE addressed; DROP TABLE shared")
