"""Reads SentiCap (Mathews et al., AAAI 2016): positive and negative captions of COCO's val2014 pictures, in JSON."""

from pathlib import Path

from train.evaluation.scoring import LeftOut
from train.published.dataset import Captioned, Located, Pair, Publication
from train.published.listing import list_json

PUBLISHED = Publication(
    name="SentiCap",
    obtained="its authors (users.cecs.anu.edu.au/~u4534172/senticap.html) give out senticap_dataset.json, COCO "
    "(cocodataset.org) the pictures val2014.zip; the folder holds that file and val2014/",
)
SENTIMENTS = {0: "negative", 1: "positive"}


def read_senticap(folder: Path) -> Captioned:
    """Every sentence of every split, with its picture and its sentiment."""
    path = PUBLISHED.file(folder, "senticap_dataset.json", "data/senticap_dataset.json")
    under = PUBLISHED.pictures_under(folder, "val2014", "images")
    listing = list_json(PUBLISHED, path)
    images = listing.get("images") if isinstance(listing, dict) else None
    if not isinstance(images, list):
        raise PUBLISHED.error(f"{path} has no list of images")
    pairs, left_out = [], []
    for number, image in enumerate(images):
        try:
            picture = Located(under + PUBLISHED.inside(str(image["filename"]), path))
            for sentence in image["sentences"]:
                if caption := str(sentence["raw"]).strip():
                    pairs.append(Pair(picture, caption, SENTIMENTS[int(sentence["sentiment"])]))
                else:
                    left_out.append(LeftOut(picture=picture.path, reason="no_caption"))
        except (KeyError, TypeError, ValueError) as error:
            raise PUBLISHED.error(
                f"{path}, image {number} is not filename and sentences of raw and sentiment (0 or 1): {error!r}"
            ) from None
    if not pairs:
        raise PUBLISHED.error(f"{path} holds no sentence")
    return Captioned(name=PUBLISHED.name, folder=folder, pairs=pairs, left_out=left_out)
