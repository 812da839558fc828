"""What the page needs to know of a kind of study."""

from typing import Any, Protocol


class Questionnaire(Protocol):
    """The questions of one study. Names of items are all that comes from outside; nothing else is ever served."""

    @property
    def kind(self) -> str:
        """``captions``, ``edits``, ``checks`` or ``ranking``: names the page's template and script."""
        ...

    @property
    def workers(self) -> int:
        """How many annotators answer each item."""
        ...

    def queue(self) -> list[str]:
        """Every item that is asked, in the order in which annotators meet them."""
        ...

    def for_everyone(self) -> frozenset[str]:
        """Items that every annotator answers (gold questions)."""
        ...

    def describe(self, item: str, viewer: str) -> dict[str, Any]:
        """What the browser is told of an item: texts, and names of pictures."""
        ...

    def read_answer(self, item: str, viewer: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """The answer as it is kept; None when the body is no sound answer."""
        ...

    def examples(self) -> list[dict[str, Any]]:
        """Worked examples for the training page."""
        ...

    def read_picture(self, name: str) -> bytes:
        """A JPEG by the name that ``describe`` gave; KeyError for every other name."""
        ...
