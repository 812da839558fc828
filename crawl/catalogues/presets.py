"""Presets: the published formats of catalogues, as their authors describe them, with terms, licences and hosts."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

from crawl.source import Policy

FIELDS = (
    "source_id", "url", "landing_url", "title", "alt_text", "creator", "creator_url", "licence", "licence_url",
    "width", "height", "mature", "searched", "bytes", "embedding",
)  # fmt: skip
"""What a list may hold; ``bytes`` is the picture itself, ``searched`` are words that count but are not shown."""


@dataclass(frozen=True)
class Format:
    """How the files are written where their endings do not tell."""

    kind: str | None = None
    """What a file is whose ending says nothing, one of crawl.catalogues.files.KINDS."""
    delimiter: str | None = None
    headings: tuple[tuple[str, ...], ...] = ()
    """Names of the columns of files without a heading; the one of the first line's length counts."""
    quoting: bool = True
    """False where a quotation mark is a letter like any other."""
    url_encoded: tuple[str, ...] = ()
    """Fields whose texts are percent-encoded, with + for a blank."""
    html: tuple[str, ...] = ()
    """Fields whose texts hold HTML: tags go, entities become letters."""


@dataclass(frozen=True)
class Companion:
    """A file beside the list with several rows an image, whose words count for the image."""

    pattern: str
    key: str
    value: str


@dataclass(frozen=True)
class Preset:
    """One published format."""

    name: str
    policy: Policy
    columns: Mapping[str, tuple[str, ...]]
    """Field → the names under which a list may hold it, in any case; the first that is there counts. ``a.b`` is a part
    of a structure."""
    required: tuple[str, ...] = ("picture",)
    """Fields without whose columns a file is not of this format; ``picture`` is ``url`` or ``bytes``."""
    templates: Mapping[str, str] = field(default_factory=dict)
    """Field → a text with columns in braces, for fields that no column holds; ``{a:number}`` takes numbers alone."""
    format: Format = Format()
    pattern: str = "*"
    """Which files of a folder are the list."""
    companion: Companion | None = None
    unique_ids: bool = True
    """Whether an id names one image in the whole catalogue; else an image's key is made of its id and its address."""
    default_licence: tuple[str | None, str | None] | None = None
    """Name and address of the licence of all rows, where the list has no column for it."""
    embedding: tuple[str | None, str, str] | None = None
    """Column (None: in files of their own), model and pretrained weights of the embeddings that come with the list."""
    rows: int = 0
    """How many rows the published list has; 0 where nobody can say."""
    hosts: Mapping[str, str] = field(default_factory=dict)
    """Hosts that offer the pictures in bulk, with the rate at which they may be asked."""

    @property
    def bytes_column(self) -> str | None:
        """The first name of the column that holds the pictures."""
        return next(iter(self.columns.get("bytes", ())), None)


_COMMON: Mapping[str, tuple[str, ...]] = {
    "source_id": ("source_id", "id", "key", "sample_id"),
    "url": ("url", "image_url", "imageurl", "image url"),
    "landing_url": ("landing_url", "page_url", "foreign_landing_url"),
    "title": ("title",),
    "alt_text": ("alt_text", "alt", "caption", "text", "description"),
    "creator": ("creator", "author", "photographer"),
    "creator_url": ("creator_url", "author_url", "photographer_url"),
    "licence": ("licence", "license"),
    "licence_url": ("licence_url", "license_url"),
    "width": ("width", "original_width"),
    "height": ("height", "original_height"),
    "mature": ("mature", "nsfw"),
    "searched": ("keywords", "tags"),
}
_READ_ON = date(2026, 11, 27)
_UNSPLASH = ("unsplash", "https://unsplash.com/license")
_YFCC_23 = (
    "photoid", "uid", "unickname", "datetaken", "dateuploaded", "capturedevice", "title", "description", "usertags",
    "machinetags", "longitude", "latitude", "accuracy", "pageurl", "downloadurl", "licensename", "licenseurl",
    "serverid", "farmid", "secret", "secretoriginal", "ext", "marker",
)  # fmt: skip
_YFCC_25 = ("line", "photoid", "hash", *_YFCC_23[1:])
_UNSPLASH_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "source_id": ("photo_id",),
    "url": ("photo_image_url",),
    "landing_url": ("photo_url",),
    "title": ("photo_description",),
    "alt_text": ("ai_description",),
    "creator_url": ("photographer_url",),
    "width": ("photo_width",),
    "height": ("photo_height",),
}
_UNSPLASH_TEMPLATES = {
    "creator": "{photographer_first_name} {photographer_last_name}",
    "creator_url": "https://unsplash.com/@{photographer_username}",
}


def _policy(
    terms_url: str, says: str, *, redistribute: bool, locked: bool, ml: bool = False, read: bool = True
) -> Policy:
    return Policy(
        mode="dataset",
        terms_url=terms_url,
        terms_reviewed_on=_READ_ON if read else None,
        ml_allowed=ml or not locked,
        redistribute_allowed=redistribute,
        says=says,
        locked=locked,
    )


_UNSPLASH_FULL = Preset(
    name="unsplash-full",
    rows=7_400_000,
    policy=_policy(
        "https://github.com/unsplash/datasets/blob/master/TERMS.md",
        "non-commercial machine learning once you accept the dataset's terms; neither the pictures nor comparisons "
        "of the dataset may be published",
        redistribute=False,
        locked=True,
        ml=True,
    ),
    columns=_UNSPLASH_COLUMNS,
    required=("source_id", "url", "landing_url", "alt_text"),
    templates=_UNSPLASH_TEMPLATES,
    format=Format(kind="tsv", delimiter="\t"),
    pattern="photos.tsv*",
    companion=Companion("keywords.tsv*", "photo_id", "keyword"),
    default_licence=_UNSPLASH,
)
_ALL = (
    Preset(
        name="pd12m",
        rows=12_400_094,
        policy=_policy(
            "https://huggingface.co/datasets/Spawning/PD12M",
            "public domain and CC0 pictures in a bucket of their own; the list is offered under CDLA-Permissive-2.0",
            redistribute=True,
            locked=False,
        ),
        columns={
            "source_id": ("id",),
            "url": ("url",),
            "alt_text": ("caption",),
            "licence_url": ("license",),
            "width": ("width",),
            "height": ("height",),
        },
        required=("source_id", "url", "alt_text", "licence_url"),
        embedding=(None, "ViT-L-14", "openai"),
        hosts={"pd12m.s3.us-west-2.amazonaws.com": "200/s"},
    ),
    Preset(
        name="commoncatalog",
        rows=82_400_000,
        policy=_policy(
            "https://huggingface.co/collections/common-canvas/commoncatalog",
            "Creative Commons photographs of Flickr, offered with the pictures in the rows; each row names its licence",
            redistribute=True,
            locked=False,
        ),
        columns={
            "bytes": ("jpg",),
            "source_id": ("photoid",),
            "url": ("downloadurl", "url"),
            "landing_url": ("pageurl",),
            "title": ("title",),
            "alt_text": ("blip2_caption", "caption", "description"),
            "creator": ("unickname",),
            "licence": ("licensename",),
            "licence_url": ("licenseurl",),
            "width": ("width",),
            "height": ("height",),
            "searched": ("usertags",),
        },
        required=("bytes", "source_id", "alt_text", "licence_url"),
        templates={"creator_url": "https://www.flickr.com/people/{uid}/"},
        format=Format(url_encoded=("title", "creator", "searched")),
    ),
    Preset(
        name="open-images",
        rows=9_178_275,
        policy=_policy(
            "https://storage.googleapis.com/openimages/web/factsfigures_v7.html",
            "the list is CC BY 4.0 and the pictures are listed as CC BY 2.0, but they lie at Flickr, whose terms count",
            redistribute=True,
            locked=True,
        ),
        columns={
            "source_id": ("imageid",),
            "url": ("originalurl",),
            "landing_url": ("originallandingurl",),
            "title": ("title",),
            "creator": ("author",),
            "creator_url": ("authorprofileurl",),
            "licence_url": ("license",),
        },
        required=("source_id", "url", "landing_url", "licence_url"),
        format=Format(kind="csv", delimiter=","),
    ),
    Preset(
        name="yfcc100m",
        rows=99_171_688,
        policy=_policy(
            "https://multimediacommons.wordpress.com/yfcc100m-core-dataset/",
            "the list is given on request, under an agreement; the pictures lie at Flickr, whose terms count",
            redistribute=True,
            locked=True,
        ),
        columns={
            "source_id": ("photoid",),
            "url": ("downloadurl",),
            "landing_url": ("pageurl",),
            "title": ("title",),
            "alt_text": ("description",),
            "creator": ("unickname",),
            "licence": ("licensename",),
            "licence_url": ("licenseurl",),
            "searched": ("usertags",),
        },
        required=("source_id", "url", "licence_url"),
        templates={"creator_url": "https://www.flickr.com/people/{uid}/"},
        format=Format(
            kind="tsv",
            delimiter="\t",
            headings=(_YFCC_23, _YFCC_25),
            quoting=False,
            url_encoded=("title", "alt_text", "creator", "searched"),
            html=("alt_text",),
        ),
        pattern="yfcc100m_dataset*",
    ),
    _UNSPLASH_FULL,
    replace(
        _UNSPLASH_FULL,
        name="unsplash-lite",
        rows=25_000,
        policy=_policy(
            "https://github.com/unsplash/datasets/blob/master/TERMS.md",
            "machine learning, commercial too, once you accept the dataset's terms; the pictures may not be passed on",
            redistribute=False,
            locked=True,
            ml=True,
        ),
    ),
    Preset(
        name="wikimedia-commons",
        rows=1_000_000,
        policy=_policy(
            "https://commons.wikimedia.org/wiki/Commons:Reusing_content_outside_Wikimedia",
            "each file has a licence of its own; whether an extract's host offers it in bulk is not settled here",
            redistribute=True,
            locked=True,
            read=False,
        ),
        columns={
            "bytes": ("jpg", "jpeg", "png", "webp", "gif", "tif", "tiff"),
            "source_id": ("__key__", "pageid", "img_id", "id"),
            "url": ("url", "image_url", "imageurl", "json.url"),
            "landing_url": ("descriptionurl", "page_url", "landing_url", "json.descriptionurl"),
            "title": ("extmetadata.objectname.value", "title", "name", "json.title", "json.name"),
            "alt_text": (
                "extmetadata.imagedescription.value", "description", "caption", "caption_attribution_description",
                "text", "json.description",
            ),
            "creator": ("extmetadata.artist.value", "artist", "author", "json.author"),
            "creator_url": ("author_url", "creator_url"),
            "licence": ("extmetadata.licenseshortname.value", "license", "licence", "json.license"),
            "licence_url": ("extmetadata.licenseurl.value", "license_url", "licence_url", "json.license_url"),
            "width": ("width", "original_width", "json.width"),
            "height": ("height", "original_height", "json.height"),
            "searched": ("extmetadata.categories.value", "categories", "tags", "json.categories"),
        },
        required=("picture", "licence"),
        templates={"landing_url": "https://commons.wikimedia.org/?curid={__key__:number}"},
        format=Format(kind="tar", html=("title", "alt_text", "creator")),
    ),
    Preset(
        name="links",
        rows=747_000_000,
        policy=_policy(
            "https://github.com/kakaobrain/coyo-dataset",
            "addresses found on the web with the words beside them; nobody states the pictures' licences",
            redistribute=False,
            locked=True,
        ),
        columns={
            "source_id": ("id", "sample_id", "key"),
            "url": ("url", "image_url"),
            "alt_text": ("text", "caption", "alt", "alt_text"),
            "licence": ("license", "licence"),
            "width": ("width", "original_width"),
            "height": ("height", "original_height"),
            "mature": ("nsfw", "punsafe", "nsfw_score_opennsfw2"),
        },
        required=("url", "alt_text"),
        unique_ids=False,
    ),
    Preset(
        name="own",
        policy=_policy(
            "your own list",
            "nobody but you knows the terms of your own lists",
            redistribute=False,
            locked=True,
            read=False,
        ),
        columns=_COMMON,
        unique_ids=False,
    ),
)  # fmt: skip
PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in _ALL}
