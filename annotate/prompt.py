"""The captioner's prompt, with one row's hints filled in."""

from importlib.resources import files

from moodarchive.prompt import PromptFile
from moodarchive.taxonomy import EMOTIONS, words


class Prompt(PromptFile):
    """What the vision-language model is asked."""

    def asks(self, emotion: str, context: str, phrase: str) -> str:
        """The user's turn for one row."""
        return self.user.format(emotion=words(emotion), context=words(context), phrase=" ".join(phrase.split()))


def load_prompt(name_or_path: str) -> Prompt:
    """A prompt of annotate/prompts by its name, or a TOML file by its path; ConfigError says what is missing."""
    return Prompt.load(
        name_or_path,
        files("annotate") / "prompts",
        system={"emotions": ", ".join(EMOTIONS)},
        hints={"emotion", "context", "phrase"},
    )
