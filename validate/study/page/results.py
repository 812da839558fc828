"""The page's answers as rows to import."""

from collections.abc import Iterator
from pathlib import Path

from moodarchive.errors import StudyError
from validate.study.answers.importing import RawAnswer
from validate.study.page.ledger import KeptAnswer, Ledger


def read_answers(ledger: Path) -> list[KeptAnswer]:
    """Everything the page has stored; StudyError when it was never served."""
    if not ledger.exists():
        raise StudyError(f"{ledger} does not exist: nobody has answered on the page; remedy: moodarchive study serve")
    book = Ledger(ledger)
    try:
        return book.answers()
    finally:
        book.close()


def read_page_rows(ledger: Path) -> Iterator[RawAnswer]:
    """The page's caption answers."""
    for kept in read_answers(ledger):
        answer = kept.answer
        yield RawAnswer(
            where=f"{kept.annotator}, item {kept.item}",
            item=kept.item,
            worker=kept.annotator,
            assignment=f"{kept.annotator}:{kept.item}",
            left=answer.get("left"),
            choice=answer.get("choice"),
            accurate=answer.get("accurate"),
            reason=answer.get("reason"),
            comment=answer.get("comment"),
            began=kept.began,
            submitted=kept.submitted,
        )
