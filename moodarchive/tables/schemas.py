"""The tables in which the stages meet: names, columns and what each column means."""

from dataclasses import dataclass

import pyarrow as pa

SCHEMA_VERSION = 3
"""Raised by one whenever a column's name, type or meaning changes; a root of another version is refused.

A column that only adds to the others does not raise it: see ``Table.later``."""
MIGRATED_VERSION = 2
"""``moodarchive migrate`` brings a root of this version to the present one."""


def explain_version(root: str, version: object) -> str:
    """What is wrong with a root, or with a file of it, that has another schema version, and the remedy."""
    remedy = "use the version of moodarchive that built it"
    if version == MIGRATED_VERSION:
        remedy = f"moodarchive migrate {root}"
    elif version == 1:
        remedy = (
            "build the archive anew; version 1 kept no digest of the stored pictures, and nothing can make up for it"
        )
    return f"schema version {version}, this program reads {SCHEMA_VERSION}; remedy: {remedy}"


@dataclass(frozen=True, kw_only=True)
class Table:
    """One folder of numbered Parquet parts, rows sorted by ``key`` where there is one.

    ``rows_per_group`` bounds a row group; the writer splits further where 64 MB would be exceeded. ``later`` are the
    columns that came within a schema version: parts that were written before lack them, and every reader gives null.
    """

    name: str
    written_by: str
    says: str
    schema: pa.Schema
    rows_per_group: int = 10_000
    later: tuple[str, ...] = ()


def _schema(*columns: tuple[str, pa.DataType, str]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, metadata={"doc": doc}) for name, kind, doc in columns])


_KEY = ("key", pa.string(), "16 hex digits, a digest of source and source_id; the WebDataset key")
_CELL = (
    ("emotion", pa.string(), "one of the 27 emotions"),
    ("context", pa.string(), "one of the four contexts"),
)
_OUTCOME = (
    (
        "status",
        pa.string(),
        "`ok`; `failed`, with the reason in `error`; `skipped`: an earlier table dropped the row; or `taken_down`: "
        "erased on request",
    ),
    ("error", pa.string(), "the failure's kind, a short stable name; null unless failed"),
)
_PROVENANCE = (
    ("url", pa.string(), "where the image file lies; null, with all that tells of the image, once it is taken down"),
    ("source", pa.string(), "the stock site's name in the settings"),
    ("source_id", pa.string(), "the site's own identifier of the image"),
    ("landing_url", pa.string(), "the page that shows the image to people"),
    ("title", pa.string(), "the image's title on the site"),
    ("alt_text", pa.string(), "the site's own description: the web alt-text"),
    ("creator", pa.string(), "who made the image, as the site names them"),
    ("creator_url", pa.string(), "the creator's page"),
    ("licence", pa.string(), "short name with version, such as `by 2.0` or `cc0 1.0`"),
    ("licence_url", pa.string(), "the licence's text"),
    ("width", pa.int32(), "pixels, as the site says; null when it does not"),
    ("height", pa.int32(), "pixels, as the site says; null when it does not"),
    ("mature", pa.bool_(), "the site's own mark for adult content"),
)
_CRAWL = (
    ("retrieved_on", pa.string(), "date of the search reply, from its Date header (YYYY-MM-DD)"),
    ("round", pa.int32(), "the crawl round that first met the image"),
)

DESCRIPTORS = Table(
    name="descriptors",
    written_by="crawl.phrases.descriptors",
    says="What is searched for: one row a phrase; part N holds the phrases that round N adds.",
    schema=_schema(
        *_CELL,
        ("phrase", pa.string(), "a concrete, photographable search phrase"),
        (
            "origin",
            pa.string(),
            "`lexicon`, or the model, the prompt (name, version, digest) and the seed that wrote it",
        ),
    ),
)
CANDIDATES = Table(
    name="candidates",
    written_by="crawl.rounds.search",
    says="What the sites answered: one row an image and query, about a hundred queries of one source a part.",
    schema=_schema(
        _KEY,
        *_PROVENANCE,
        *_CELL,
        ("phrase", pa.string(), "the query"),
        ("rank", pa.int32(), "position in the query's answer, from 0"),
        *_CRAWL,
    ),
)
_QUERIES = pa.list_(
    pa.struct([("emotion", pa.string()), ("context", pa.string()), ("phrase", pa.string()), ("rank", pa.int32())])
)
ITEMS = Table(
    name="items",
    written_by="crawl.rounds.merge",
    says="One row an image, its queries merged and its part fixed for good.",
    schema=_schema(
        _KEY,
        *_PROVENANCE,
        (
            "queries",
            _QUERIES,
            "every query of the round that found the image, best rank first",
        ),
        *_CRAWL,
    ),
)
REDISCOVERED = Table(
    name="rediscovered",
    written_by="crawl.rounds.merge",
    says="The queries of a later round that found an image of an earlier one; part N holds those of round N.",
    schema=_schema(
        _KEY,
        ("queries", _QUERIES, "every query of the round that found the image, best rank first"),
        ("round", pa.int32(), "the crawl round that found it anew"),
    ),
)
IMAGES = Table(
    name="images",
    written_by="crawl.download",
    says="The pictures at the archive's size: small plain JPEGs as they came, everything else encoded anew.",
    rows_per_group=100,
    schema=_schema(
        _KEY,
        ("bytes", pa.binary(), "a JPEG of three components, no metadata; null unless ok, and once pruned"),
        ("sha256", pa.string(), "of the bytes that the site served"),
        ("stored_sha256", pa.string(), "of `bytes`, taken as they were made; stays when they are pruned"),
        ("phash", pa.uint64(), "64-bit perceptual hash (DCT) of the picture"),
        ("width", pa.int32(), "pixels of `bytes`"),
        ("height", pa.int32(), "pixels of `bytes`"),
        ("original_width", pa.int32(), "pixels as served"),
        ("original_height", pa.int32(), "pixels as served"),
        ("original_bytes", pa.int64(), "length as served"),
        ("original_type", pa.string(), "format found by looking into the file: JPEG, PNG, WEBP, …"),
        *_OUTCOME,
    ),
)
SAFETY = Table(
    name="safety",
    written_by="filter.safety",
    says="Which pictures are not safe for work; unsafe ones reach no later stage, doubtful ones no public shard.",
    schema=_schema(
        _KEY,
        ("nsfw", pa.float32(), "probability of not safe for work, 0 to 1; the highest, where two models judge"),
        ("verdict", pa.string(), "`safe`, `doubtful` or `unsafe`; null unless status is ok"),
        *_OUTCOME,
    ),
)
REPEATS = Table(
    name="repeats",
    written_by="filter.early_repeats",
    says="Which safe pictures repeat another and are never captioned; only with `repeats.before_captions`.",
    schema=_schema(
        _KEY,
        ("reason", pa.string(), "`repeat` or `near_heldout`, as selection/ will say; null when it repeats no survivor"),
        ("of", pa.string(), "the key of the survivor that it looks like; null without a reason"),
    ),
)
CAPTIONS = Table(
    name="captions",
    written_by="annotate.caption",
    says="Five sentences for each picture that is not unsafe: summary, three stimuli, assessment.",
    later=("nudity", "gore"),
    schema=_schema(
        _KEY,
        ("summary", pa.string(), "sentence 1: the whole scene"),
        ("stimuli", pa.list_(pa.string()), "sentences 2 to 4: three visual triggers"),
        ("assessment", pa.string(), "sentence 5: the overall emotion"),
        ("emotions", pa.list_(pa.string()), "one to three of the 27 that the model itself sees"),
        ("nudity", pa.bool_(), "the model's own yes or no: bare breasts, buttocks or genitals; null: not answered"),
        ("gore", pa.bool_(), "the same: open wounds, much blood, a dead or maimed body; null: not answered"),
        ("model", pa.string(), "the model's name, as its server gives it"),
        ("prompt_hash", pa.string(), "digest of the prompt file"),
        ("seed", pa.int64(), "sampling seed of the accepted (or last) answer"),
        ("attempts", pa.int32(), "answers asked for; answers lost to the network do not count"),
        ("prompt_tokens", pa.int64(), "tokens in, all attempts together"),
        ("completion_tokens", pa.int64(), "tokens out, all attempts together"),
        *_OUTCOME,
    ),
)
SCORES = Table(
    name="scores",
    written_by="filter.score",
    says="How well each picture fits the emotion it was searched for, and every other.",
    schema=_schema(
        _KEY,
        ("score", pa.float32(), "largest cosine between the picture and the phrases of its emotion, rounded to 1e-5"),
        ("phrase", pa.string(), "the phrase that gave it"),
        ("emotion", pa.string(), "the best-scoring emotion of those that the image's first round searched"),
        ("context", pa.string(), "the context in which that emotion was searched (best rank)"),
        (
            "emotion_scores",
            pa.list_(pa.float32()),
            "the same for each of the 27 emotions, in the taxonomy's order: what a later round may search is scored",
        ),
        ("emotion_phrases", pa.list_(pa.string()), "the phrases that gave these"),
        *_OUTCOME,
    ),
)
VECTORS = Table(
    name="vectors",
    written_by="filter.score",
    says="Each scored picture's embedding by the model that scored it; only with `score.keep_vectors`.",
    rows_per_group=1_000,
    schema=_schema(
        _KEY,
        ("vector", pa.list_(pa.float16()), "of length 1, rounded to 16 bits; null unless scored, and once taken down"),
    ),
)
SELECTION = Table(
    name="selection",
    written_by="filter.cut",
    says="The verdict on every image ever merged.",
    later=("verdict",),
    schema=_schema(
        _KEY,
        ("kept", pa.bool_(), "true: the image is in the shards"),
        ("reason", pa.string(), "why not; null when kept"),
        ("emotion", pa.string(), "the emotion under which it is judged: of all that found it, the best-scoring"),
        ("context", pa.string(), "the context in which that emotion found it"),
        ("split", pa.string(), "`train`, `validation` or `heldout`, by content hash; null without content"),
        ("round", pa.int32(), "the crawl round that first met the image"),
        (
            "verdict",
            pa.string(),
            "`safe`, `doubtful` or `unsafe`: that of safety/, but `doubtful` in place of `safe` where captions/ says "
            "yes to nudity or gore; null where there is none, and once taken down",
        ),
    ),
)
SHARD_INDEX = Table(
    name="shards",
    written_by="shards.pack",
    says="Beside every tar: where each sample lies in it (shards/SET/NNNNN.parquet).",
    schema=_schema(
        _KEY,
        ("offset", pa.int64(), "of the sample's first tar header"),
        ("size", pa.int64(), "bytes up to the next sample's first header"),
        ("jpg_offset", pa.int64(), "of the picture's bytes"),
        ("jpg_size", pa.int64(), "length of the picture"),
        ("json_offset", pa.int64(), "of the metadata's bytes"),
        ("json_size", pa.int64(), "length of the metadata"),
        ("txt_offset", pa.int64(), "of the caption's bytes"),
        ("txt_size", pa.int64(), "length of the caption"),
        ("sha256", pa.string(), "of the SHA-256 (32 bytes each) of jpg, json and txt, one after the other"),
    ),
)
HUMAN_VERDICTS = Table(
    name="human_verdicts",
    written_by="validate.study",
    says="What people say of captions: one row an image that a study or a person has judged; nobody is named.",
    later=("by",),
    schema=_schema(
        ("key", pa.string(), "16 hex digits, as in every table"),
        ("accepted", pa.bool_(), "true: preferred to the web's alt-text, and all five sentences accurate"),
        ("probability", pa.float64(), "that it is accepted, by Dawid and Skene's model"),
        ("by_majority", pa.bool_(), "the same question by the majority of each question's votes"),
        ("answers", pa.int32(), "people who answered"),
        ("wanted", pa.int32(), "people who were to answer; with fewer than half of them `accepted` is null"),
        ("generated", pa.int32(), "votes for the generated caption"),
        ("original", pa.int32(), "votes for the alt-text"),
        ("neither", pa.int32(), "votes for neither"),
        ("wrong", pa.list_(pa.string()), "components that are not accurate"),
        ("reasons", pa.list_(pa.string()), "reasons that were given, the most frequent first"),
        ("caption_hash", pa.string(), "names the caption that was judged; a verdict holds for no other"),
        ("simulated", pa.bool_(), "true: a program answered, as a rehearsal"),
        ("by", pa.string(), "`browse`: one person's mark on the page of `moodarchive browse`; null: a study"),
    ),
)
"""Written after the seal, and not covered by it."""

_EIGHT = pa.list_(pa.float64())
PAIR_REQUESTS = Table(
    name="requests",
    written_by="pipelines.editing.sets.emopair.requests",
    says="The pairs that an EmoPair set, a root of its own, is to hold: what each is of, how its pictures are had.",
    schema=_schema(
        ("key", pa.string(), "16 hex digits, a digest of the paths, the target and the instruction"),
        ("number", pa.int64(), "position in the set; the authors' JSON keeps this order"),
        ("subset", pa.string(), "`EPAS` (pairs that exist), `EPGS` (edits that are made) or `drawn`"),
        ("img_src_path", pa.string(), "the source's path in the authors' form"),
        ("img_tgt_path", pa.string(), "the target's path in the authors' form"),
        ("prompt", pa.string(), "the instruction that leads from source to target"),
        ("class_source", pa.string(), "one of Mikels' eight, where it is known beforehand"),
        ("class_target", pa.string(), "one of Mikels' eight, where it is known beforehand"),
        ("source_softmax", _EIGHT, "the source's distribution over the eight, where it is known beforehand"),
        ("group", pa.string(), "pairs of one group fall into one split"),
        ("recipe", pa.string(), "JSON: how the two pictures are had"),
        ("source", pa.string(), "who offers the source picture"),
        ("title", pa.string(), "its title"),
        ("creator", pa.string(), "who made it"),
        ("creator_url", pa.string(), "their page"),
        ("licence", pa.string(), "its licence"),
        ("licence_url", pa.string(), "the licence's text"),
        ("landing_url", pa.string(), "the page that shows it"),
        ("permitted", pa.bool_(), "a recorded permission covers passing it on"),
    ),
)
PAIR_PICTURES = Table(
    name="pictures",
    written_by="pipelines.editing.sets.emopair.stages",
    says="The two pictures of each pair of an EmoPair set.",
    rows_per_group=100,
    schema=_schema(
        ("key", pa.string(), "as in requests/"),
        ("source_bytes", pa.binary(), "the source, encoded anew; null unless ok"),
        ("target_bytes", pa.binary(), "the target, encoded anew; null unless ok"),
        ("source_sha256", pa.string(), "of `source_bytes`"),
        ("target_sha256", pa.string(), "of `target_bytes`"),
        *_OUTCOME,
    ),
)
PAIRS = Table(
    name="pairs",
    written_by="pipelines.editing.sets.emopair.stages",
    says="EmoPair: one row a pair, as the authors' JSON has it, with what was measured and why it is left out.",
    schema=_schema(
        ("key", pa.string(), "as in requests/"),
        ("number", pa.int64(), "position in the set"),
        ("class_source", pa.string(), "one of Mikels' eight; null where nobody says"),
        ("class_target", pa.string(), "one of Mikels' eight; null where nobody says"),
        ("prompt", pa.string(), "the instruction"),
        ("img_src_path", pa.string(), "the source's path in the authors' form"),
        ("img_tgt_path", pa.string(), "the target's path in the authors' form"),
        ("source_softmax", _EIGHT, "the source's distribution over the eight, in alphabetical order"),
        ("target_softmax", _EIGHT, "the target's; null without a predictor"),
        ("subset", pa.string(), "`EPAS`, `EPGS` or `drawn`"),
        ("split", pa.string(), "`train`, `validation` or `heldout`, by the digest of the group; null without pictures"),
        ("source_sha256", pa.string(), "of the stored source"),
        ("target_sha256", pa.string(), "of the stored target"),
        ("clip_image", pa.float64(), "cosine between the two pictures; null unless it was measured"),
        ("clip_text", pa.float64(), "cosine between the target and the instruction; null unless it was measured"),
        ("kept", pa.bool_(), "true: the pair is in the shards"),
        ("reason", pa.string(), "why not; null when kept"),
    ),
)
PAIR_MEMBERS = ("source", "target", "json", "txt")
PAIR_INDEX = Table(
    name="shards",
    written_by="pipelines.editing.sets.emopair.stages",
    says="Beside every tar of an EmoPair set: where each pair lies in it (shards/SET/NNNNN.parquet).",
    schema=_schema(
        ("key", pa.string(), "as in requests/"),
        ("offset", pa.int64(), "of the sample's first tar header"),
        ("size", pa.int64(), "bytes up to the next sample's first header"),
        *(
            column
            for member in PAIR_MEMBERS
            for column in (
                (f"{member}_offset", pa.int64(), f"of the {member}'s bytes"),
                (f"{member}_size", pa.int64(), f"length of the {member}"),
            )
        ),
        ("sha256", pa.string(), "of the SHA-256 (32 bytes each) of source, target, json and txt, one after the other"),
    ),
)
PAIR_TABLES: tuple[Table, ...] = (PAIR_REQUESTS, PAIR_PICTURES, PAIRS, PAIR_INDEX)
"""Of an EmoPair set, in the order of its flow."""

_WHOSE = (
    ("source", pa.string(), "who offers the picture"),
    ("title", pa.string(), "its title"),
    ("creator", pa.string(), "who made it"),
    ("creator_url", pa.string(), "their page"),
    ("licence", pa.string(), "its licence"),
    ("licence_url", pa.string(), "the licence's text"),
    ("landing_url", pa.string(), "the page that shows it"),
)
LAVC_REQUESTS = Table(
    name="requests",
    written_by="pipelines.editing.sets.lavc.requests",
    says="The pictures that an L-AVC set, a root of its own, is made of, and what is known of each beforehand.",
    schema=_schema(
        ("key", pa.string(), "16 hex digits; of an archive's picture its key there"),
        ("number", pa.int64(), "position in the set"),
        ("element", pa.string(), "what likely carries the emotion; the model says better where it is asked"),
        ("elements", pa.list_(pa.string()), "what the model may answer; null where nothing is asked"),
        ("emotion", pa.string(), "one of Mikels' eight; null where nobody says"),
        ("target", pa.string(), "the emotion to edit to, drawn by the seed; null where the model chooses"),
        ("group", pa.string(), "pictures of one group fall into one split"),
        ("recipe", pa.string(), "JSON: how the picture is had"),
        *_WHOSE,
    ),
)
LAVC_TEXTS = Table(
    name="texts",
    written_by="pipelines.editing.sets.lavc.writing",
    says="What an L-AVC record says in words: written by the served model, or exact of a drawing.",
    schema=_schema(
        ("key", pa.string(), "as in requests/"),
        ("element", pa.string(), "what of the picture carries its emotion"),
        ("caption", pa.string(), "what the picture shows"),
        ("emotion", pa.string(), "one of Mikels' eight: what it evokes"),
        ("edited_span", pa.string(), "the words of the caption that carry the emotion"),
        ("instruction", pa.string(), "what asks for the change"),
        ("edited_caption", pa.string(), "what the edited picture shall show"),
        ("edited_emotion", pa.string(), "one of Mikels' eight: what it shall evoke"),
        ("model", pa.string(), "who wrote it, as the server names itself; null of a drawing"),
        ("prompt_hash", pa.string(), "digest of the prompt"),
        ("seed", pa.int64(), "the accepted attempt's sampling seed"),
        ("attempts", pa.int32(), "answers asked for"),
        ("prompt_tokens", pa.int32(), "read, over all attempts"),
        ("completion_tokens", pa.int32(), "written, over all attempts"),
        *_OUTCOME,
    ),
)
LAVC_RECORDS = Table(
    name="records",
    written_by="pipelines.editing.sets.lavc.editing",
    says="L-AVC's records; a part's sidecar covers the pictures of its kept ones (original/, edited/), too.",
    schema=_schema(
        ("key", pa.string(), "as in requests/"),
        ("number", pa.int64(), "position in the set"),
        ("id", pa.string(), "the element and the number; names the pictures"),
        ("element", pa.string(), "what of the picture carries its emotion"),
        ("image", pa.string(), "the picture's path"),
        ("caption", pa.string(), "what it shows"),
        ("emotion", pa.string(), "one of Mikels' eight"),
        ("instruction", pa.string(), "what asks for the change"),
        ("edited_caption", pa.string(), "what the edited picture shows"),
        ("edited_emotion", pa.string(), "one of Mikels' eight"),
        ("edited_image", pa.string(), "the edited picture's path; null unless kept"),
        ("split", pa.string(), "`train` or `test`, by the digest of element and group"),
        ("edited_span", pa.string(), "the words of the caption that carry the emotion"),
        ("status", pa.string(), "`kept` or `rejected`"),
        ("reason", pa.string(), "why it is rejected; null when kept"),
        ("checked_by", pa.string(), "`drawn` of exact drawings; null while nobody has checked it"),
        *_WHOSE,
        ("image_sha256", pa.string(), "of the stored picture; null unless kept"),
        ("edited_sha256", pa.string(), "of the stored edited picture; null unless kept"),
        ("tries", pa.int32(), "edits that were made until one passed the filter; null of a drawing"),
        ("clip_image", pa.float64(), "cosine between picture and last edit; null unless it was measured"),
        ("clip_text", pa.float64(), "cosine between last edit and edited caption; null unless it was measured"),
        ("probability", pa.float64(), "of the target's class in the last edit; null without a predictor"),
    ),
)
LAVC_TABLES: tuple[Table, ...] = (LAVC_REQUESTS, LAVC_TEXTS, LAVC_RECORDS)
"""Of an L-AVC set, in the order of its flow."""

TABLES: tuple[Table, ...] = (
    DESCRIPTORS,
    CANDIDATES,
    ITEMS,
    REDISCOVERED,
    IMAGES,
    SAFETY,
    REPEATS,
    CAPTIONS,
    SCORES,
    VECTORS,
    SELECTION,
    SHARD_INDEX,
)
"""In the order of the flow."""
OPTIONAL = (REPEATS, VECTORS)
"""The tables that an archive has only where its settings ask for them; without parts they are not spoken of."""


def empty_row(table: Table, **values: object) -> dict[str, object]:
    """A row of ``table`` with the given values and null elsewhere; KeyError-free by assertion."""
    assert not set(values) - set(table.schema.names), set(values) - set(table.schema.names)
    return {name: values.get(name) for name in table.schema.names}


def as_batch(table: Table, rows: list[dict[str, object]]) -> pa.RecordBatch:
    """Rows as one record batch of the table's schema."""
    return pa.RecordBatch.from_pylist(rows, schema=table.schema)
