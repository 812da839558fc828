"""The captioner's prompt, with one row's hints filled in."""

from dataclasses import dataclass
from importlib.resources import files

from moodarchive.chat.prompt import PromptFile
from moodarchive.emotions.taxonomy import EMOTIONS, words


@dataclass(frozen=True, kw_only=True)
class FilledPrompt:
    """What the model is told about one row: the system's turn, the user's, and the search phrase in it."""

    system: str
    user: str
    phrase: str

    @property
    def words(self) -> str:
        """All of it."""
        return f"{self.system}\n{self.user}"


class Prompt(PromptFile):
    """What the vision-language model is asked."""

    def fill(self, emotion: str, context: str, phrase: str) -> FilledPrompt:
        """The prompt for one row."""
        phrase = " ".join(phrase.split())
        user = self.user.format(emotion=words(emotion), context=words(context), phrase=phrase)
        return FilledPrompt(system=self.system, user=user, phrase=phrase)


def load_prompt(name_or_path: str) -> Prompt:
    """A prompt of annotate/prompts by its name, or a TOML file by its path; ConfigError says what is missing."""
    return Prompt.load(
        name_or_path,
        files("annotate") / "prompts",
        system={"emotions": ", ".join(EMOTIONS)},
        hints={"emotion", "context", "phrase"},
    )
