"""Creates the HITs through MTurk's API: after the cost was confirmed, and never one twice."""

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from moodarchive.errors import MissingExtraError, ServiceError, StudyError
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from validate.study.design.items import Item
from validate.study.design.study import StudyDesign, salt
from validate.study.mturk.files import MTURK_FOLDER, make_input_row, render_question
from validate.study.mturk.terms import Terms, compute_cost

REGION = "us-east-1"
ADDRESS = {
    False: "https://mturk-requester-sandbox.us-east-1.amazonaws.com",
    True: "https://mturk-requester.us-east-1.amazonaws.com",
}
"""The sandbox (False), where nothing costs money, and the live site (True)."""


def mturk_client(*, live: bool) -> Any:
    """boto3's client; the keys come from the environment or boto3's own files."""
    try:
        import boto3
    except ModuleNotFoundError:
        raise MissingExtraError("boto3", "study") from None
    return boto3.client("mturk", region_name=REGION, endpoint_url=ADDRESS[live])


def require_confirmation(estimate: Decimal, confirmed: str) -> None:
    """StudyError unless the estimate was typed out."""
    if confirmed != str(estimate):
        raise StudyError(
            f"publishing costs {estimate} US dollars with fees; remedy: confirm it with --confirm-cost {estimate}"
        )


class Publisher:
    """One study's HITs on one of the two sites, each recorded as mturk/SITE/ITEM.json once it is there."""

    def __init__(self, store: Store, design: StudyDesign, terms: Terms, client: Any, *, live: bool) -> None:
        self._store, self._design, self._terms, self._client = store, design, terms, client
        self._live = live
        self._folder = f"{MTURK_FOLDER}/{'live' if live else 'sandbox'}"
        # names the study among all HITs of a requester, and gives nothing away
        self._mark = f"moodarchive:{digest(['hits', salt(store, design.kind).hex()])}"

    def open_items(self, items: Sequence[Item]) -> list[Item]:
        """Items without a HIT. What an earlier run created and could not record is found at MTurk and recorded now."""
        recorded = self.published()
        for annotation, hit in self._at_mturk():
            name = annotation.removeprefix(f"{self._mark}:")
            if name != annotation and name not in recorded:
                recorded[name] = self._record(name, hit)
        return [item for item in items if item.item not in recorded]

    def published(self) -> dict[str, str]:
        """Item → HIT id."""
        names = [name for name in self._store.names(self._folder) if name.endswith(".json")]
        records = (json.loads(self._store.read_bytes(f"{self._folder}/{name}")) for name in names)
        return {one["item"]: one["hit"] for one in records}

    def estimate(self, items: Sequence[Item]) -> Decimal:
        """Dollars for these items."""
        return compute_cost(self._terms, len(items), self._design.workers)

    def publish(self, items: Sequence[Item], pictures_url: str) -> int:
        """Creates a HIT for each item; returns how many. ServiceError when MTurk refuses; run again to go on."""
        rows = [make_input_row(self._design, item, pictures_url) for item in items]
        questions = [render_question(row) for row in rows]  # all of them first: nothing is created when one is too long
        if not questions:
            return 0
        hit_type = self._call("create_hit_type", **self._terms.hit_type(live=self._live))["HITTypeId"]
        for item, text in zip(items, questions, strict=True):
            answer = self._call(
                "create_hit_with_hit_type",
                HITTypeId=hit_type,
                MaxAssignments=self._design.workers,
                LifetimeInSeconds=self._terms.lifetime_s,
                Question=text,
                RequesterAnnotation=f"{self._mark}:{item.item}",
                UniqueRequestToken=f"{self._mark[-16:]}-{item.item}",
            )
            self._record(item.item, answer["HIT"]["HITId"])
        return len(questions)

    def _record(self, item: str, hit: str) -> str:
        text = json.dumps({"item": item, "hit": hit}, sort_keys=True) + "\n"
        self._store.write_bytes(f"{self._folder}/{item}.json", text.encode())
        return hit

    def _at_mturk(self) -> Iterator[tuple[str, str]]:
        token: dict[str, str] = {}
        while True:
            page = self._call("list_hits", MaxResults=100, **token)
            for hit in page.get("HITs", []):
                yield hit.get("RequesterAnnotation", ""), hit["HITId"]
            if not page.get("NextToken"):
                return
            token = {"NextToken": page["NextToken"]}

    def _call(self, name: str, **values: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self._client, name)(**values)
        except (BotoCoreError, ClientError) as error:
            raise ServiceError(f"MTurk refused {name}: {error}; remedy: run again, nothing is created twice") from None
