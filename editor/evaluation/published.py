"""The papers' own figures: Moodifier's tables 4 and 5 (arXiv 2507.14024), and EmoEditor's two (arXiv 2403.08255)."""

from dataclasses import dataclass

SIX = ("structure", "psnr", "lpips", "mse", "ssim", "clip")
PEOPLE = ("look best", "show the emotion best", "are best overall")
"""Table 4's last columns: hit rates in per cent; ``moodarchive study --kind edits`` asks for ours."""


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """A method's line; ``figures`` as printed, in the table's columns; ``method`` is its name in pairs.csv."""

    title: str
    method: str
    figures: tuple[float, ...]
    people: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PublishedTable:
    """A table of a paper; ``columns`` name ours."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]

    def shown(self, row: PublishedRow) -> tuple[str, ...]:
        """A line's figures with the digits that the paper prints in each column."""
        digits = [
            max(len(str(each.figures[i]).partition(".")[2]) for each in self.rows) for i in range(len(self.columns))
        ]
        return tuple(f"{figure:.{most}f}" for figure, most in zip(row.figures, digits, strict=True))


def _row(title: str, method: str, *figures: float, people: tuple[float, ...] = ()) -> PublishedRow:
    return PublishedRow(title=title, method=method, figures=figures, people=people)


TABLE_4 = PublishedTable(
    name="table 4",
    title="Moodifier, table 4: methods with emotion-based descriptive prompts",
    columns=SIX,
    rows=(
        _row("ControlNet", "controlnet", 21.9, 22.01, 102.3, 104.8, 80.3, 12.80, people=(28.9, 24.7, 26.8)),
        _row("Instruct-Pix2Pix", "instruct-pix2pix", 22.0, 23.17, 112.6, 100.2, 81.0, 13.27, people=(38.5, 35.8, 34.3)),
        _row(
            "Instruct-Diffusion",
            "instruct-diffusion",
            34.5,
            18.55,
            175.8,
            227.6,
            74.2,
            13.24,
            people=(19.3, 20.5, 19.8),
        ),
        _row("MasaCtrl", "masactrl", 18.4, 21.52, 144.2, 76.2, 79.4, 12.80, people=(27.4, 26.3, 24.9)),
        _row("Plug-and-Play", "plug-and-play", 13.9, 22.02, 123.5, 72.3, 80.5, 12.85, people=(36.2, 33.5, 34.8)),
        _row("Edit Friendly", "edit-friendly", 15.1, 21.39, 130.7, 104.9, 78.9, 13.47, people=(28.6, 26.9, 27.5)),
        _row("StyleDiffusion", "stylediffusion", 20.4, 17.42, 159.7, 219.0, 70.9, 13.42, people=(22.7, 23.4, 21.3)),
        _row("Null-text Inversion", "null-text", 16.3, 23.04, 152.1, 81.9, 80.0, 13.76, people=(32.5, 37.2, 36.0)),
        _row("Direct Inversion", "direct-inversion", 18.5, 23.34, 134.2, 78.6, 81.1, 13.76, people=(30.8, 33.7, 31.6)),
        _row("Inversion-Free Editing", "infedit", 14.6, 24.11, 96.8, 80.1, 82.9, 14.23, people=(45.6, 47.9, 43.7)),
        _row("Moodifier", "moodifier", 17.4, 22.19, 94.9, 127.3, 82.2, 16.13, people=(66.7, 73.3, 80.0)),
    ),
)
# the ticks of "detail prompts" and "mask" are read from the paper's text: prompts change more, masks keep more
TABLE_5 = PublishedTable(
    name="table 5",
    title="Moodifier, table 5: its parts, without faces",
    columns=SIX,
    rows=(
        _row("CLIP, neither", "clip", 23.33, 18.81, 150.2, 155.1, 61.40, 15.03),
        _row("CLIP, prompts", "clip+prompts", 22.30, 19.01, 146.2, 152.3, 69.32, 15.80),
        _row("CLIP, masks", "clip+masks", 18.61, 20.82, 120.3, 134.4, 81.50, 15.15),
        _row("CLIP, prompts and masks", "clip+prompts+masks", 18.32, 20.58, 116.1, 132.9, 82.23, 15.64),
        _row("MoodifyCLIP, prompts", "moodify+prompts", 21.90, 19.91, 148.7, 147.6, 65.61, 16.07),
        _row("MoodifyCLIP, prompts and masks", "moodify+prompts+masks", 18.54, 21.55, 102.2, 131.2, 81.63, 16.03),
    ),
)
ESMI = PublishedTable(
    name="ESMI",
    title="EmoEditor: ESMI of edits across valences, by Grad-CAM",
    columns=("esmi_across",),
    rows=(
        _row("Color Transfer", "colour-transfer", 28.33),
        _row("Neural Style Transfer", "style-transfer", 47.48),
        _row("CLIP-Styler", "clip-styler", 34.33),
        _row("ControlNet", "controlnet", 32.94),
        _row("SDEdit", "sdedit", 35.91),
        _row("InstructPix2Pix", "instruct-pix2pix", 27.37),
        _row("AIF", "aif", 29.71),
        _row("EmoEdit", "emoedit", 32.94),
        _row("LMS", "lms", 35.40),
        _row("EmoEditor", "emoeditor", 51.56),
    ),
)
ESMI_BY_PEOPLE = PublishedTable(
    name="ESMI, people",
    title="EmoEditor: ESMI of edits across valences, by the regions that people marked",
    columns=("esmi_people",),
    rows=(
        _row("Color Transfer", "colour-transfer", 26.68),
        _row("Neural Style Transfer", "style-transfer", 46.00),
        _row("CLIP-Styler", "clip-styler", 32.77),
        _row("ControlNet", "controlnet", 31.53),
        _row("SDEdit", "sdedit", 34.27),
        _row("InstructPix2Pix", "instruct-pix2pix", 25.72),
        _row("AIF", "aif", 28.31),
        _row("EmoEdit", "emoedit", 37.53),
        _row("LMS", "lms", 33.76),
        _row("EmoEditor", "emoeditor", 49.99),
    ),
)
EMOEDITOR_ABLATION = PublishedTable(
    name="ESMI, ablation",
    title="EmoEditor: its parts, ESMI by Grad-CAM",
    columns=("esmi_across",),
    rows=(
        _row("text", "emoeditor text", 5.85),
        _row("text, IEI", "emoeditor text+iei", 50.24),
        _row("e_oh, L_emb", "emoeditor onehot", 7.36),
        _row("e_dir, L_emb", "emoeditor direction", 8.51),
        _row("e_dir, IEI", "emoeditor direction+iei-alignment", 47.36),
        _row("e_dir, IEI, L_emb", "emoeditor direction+iei", 51.56),
    ),
)
PUBLISHED = (TABLE_4, TABLE_5, ESMI, ESMI_BY_PEOPLE, EMOEDITOR_ABLATION)
