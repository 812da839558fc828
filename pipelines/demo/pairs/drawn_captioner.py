"""A BLIP-2 small enough to learn, on one core, to say what the drawings show."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from moodarchive.diffusion.vision import DEVIATION, MEAN
from moodarchive.emotions.taxonomy import MIKELS
from moodarchive.language_edit.captioner import Captioner, write_preparation
from moodarchive.language_edit.prompts import MARK, PLAIN, prompt_of
from pipelines.demo.pairs.captions import drawn_caption, drawn_request, drawn_words, mood_words, who_is_drawn
from pipelines.demo.pairs.drawing import KINDS, PAIRED_EMOTIONS, draw_paired
from pipelines.demo.pairs.generators import Generators
from pipelines.demo.pairs.moods import Mood

_PAD, _END, _IMAGE, _UNKNOWN = "<pad>", "</s>", "<image>", "<unk>"


@dataclass(frozen=True, kw_only=True)
class CaptionerShape:
    """The sizes of a small BLIP-2: 1.7 million weights as they stand here."""

    side: int = 64
    patch: int = 8
    vision_width: int = 96
    vision_layers: int = 3
    queries: int = 8
    query_width: int = 96
    query_layers: int = 2
    width: int = 128
    layers: int = 6
    positions: int = 256


@dataclass(frozen=True, kw_only=True)
class DrawnCaption:
    """A picture of a place in a mood, drawn when it is first looked at."""

    kind: str
    place: int
    mood: Mood
    size: int

    @property
    def emotion(self) -> str:
        return self.mood.emotion

    @cached_property
    def image(self) -> Image.Image:
        return draw_paired(self.kind, self.place, self.mood, self.size).image


def make_captioner(folder: Path, shape: CaptionerShape, seed: int = 0) -> None:
    """Writes one of random weights, whose words are those of the drawings' captions."""
    from moodarchive.models.torch_compat import import_torchvision_safely

    import_torchvision_safely()
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: number for number, word in enumerate((_PAD, _UNKNOWN, _END, _IMAGE, *drawn_words()))}
    tokenizer: Any = Tokenizer(models.WordLevel(words, unk_token=_UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast: Any = transformers.PreTrainedTokenizerFast
    config: Any = transformers.Blip2Config(
        vision_config={
            "hidden_size": shape.vision_width,
            "intermediate_size": 2 * shape.vision_width,
            "num_hidden_layers": shape.vision_layers,
            "num_attention_heads": 4,
            "image_size": shape.side,
            "patch_size": shape.patch,
        },
        qformer_config={
            "vocab_size": len(words),
            "hidden_size": shape.query_width,
            "intermediate_size": 2 * shape.query_width,
            "num_hidden_layers": shape.query_layers,
            "num_attention_heads": 4,
            "encoder_hidden_size": shape.vision_width,
            "cross_attention_frequency": 1,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        },
        text_config={
            "model_type": "opt",
            "vocab_size": len(words),
            "hidden_size": shape.width,
            "word_embed_proj_dim": shape.width,
            "ffn_dim": 4 * shape.width,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": 4,
            "max_position_embeddings": shape.positions,
            "dropout": 0.0,
            "pad_token_id": words[_PAD],
            "bos_token_id": words[_END],
            "eos_token_id": words[_END],
        },
        num_query_tokens=shape.queries,
        image_token_index=words[_IMAGE],
    )
    cls: Any = transformers.Blip2ForConditionalGeneration
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = cls(config)
        _begin_sight(model)
    model.save_pretrained(folder)
    fast(tokenizer_object=tokenizer, pad_token=_PAD, eos_token=_END, unk_token=_UNKNOWN).save_pretrained(folder)
    write_preparation(folder, side=shape.side, mean=MEAN, std=DEVIATION)


def _begin_sight(model: Any) -> None:
    """Weights from which a ViT and a Q-Former learn: transformers begins a BLIP-2's ViT at 1e-10."""
    for part in (model.vision_model, model.qformer):
        for name, weight in part.named_parameters():
            if "position_embedding" in name or "class_embedding" in name:
                nn.init.normal_(weight, std=0.5)
            elif weight.ndim > 1:
                nn.init.xavier_uniform_(weight)
    nn.init.normal_(model.query_tokens)


def draw_captioned(first_place: int, places: int, size: int, emotions: Sequence[str]) -> list[DrawnCaption]:
    """Every kind of each place in each of these moods."""
    drawn = []
    for place in range(first_place, first_place + places):
        for kind in KINDS:
            moods = Generators(f"captions/{kind}/{place}").of("moods")
            for emotion in emotions:
                mood = Mood(emotion, moods.randrange(1 << 30))
                drawn.append(DrawnCaption(kind=kind, place=place, mood=mood, size=size))
    return drawn


def teach_sight(
    captioner: Captioner,
    drawn: Sequence[DrawnCaption],
    *,
    steps: int,
    seed: int,
    batch: int = 48,
    rate: float = 1e-3,
    tell: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Teaches the ViT and the Q-Former which words are true of a picture, before a language model listens to them.

    A captioner of real size begins with a ViT that sees already. Of one that begins blind and learns by captions alone,
    who is drawn stays a guess. Two heads, which are thrown away, read all of the ViT's and of the Q-Former's outputs.
    """
    model = captioner.model.requires_grad_(True).train()
    facts = [_facts(one) for one in drawn]
    columns = {fact: number for number, fact in enumerate(sorted(set().union(*facts)))}
    truth = torch.zeros(len(drawn), len(columns))
    for row, held in enumerate(facts):
        truth[row, [columns[fact] for fact in held]] = 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width = model.config.qformer_config.hidden_size
        patches = model.vision_model.embeddings.num_positions * model.config.vision_config.hidden_size
        queries = model.query_tokens.numel()
        heads = nn.ModuleList(
            nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, len(columns)))
            for inputs in (patches, queries)
        )
    seen_by = (model.vision_model, model.qformer, heads)
    weights = [model.query_tokens, *(weight for part in seen_by for weight in part.parameters())]
    pixels = _pixels_of(captioner, drawn)

    def loss_of(rows: list[int], draw: random.Random) -> Tensor:
        patch_states = model.vision_model(pixel_values=_mirror(pixels[rows], draw)).last_hidden_state
        asked = model.query_tokens.expand(len(rows), -1, -1)
        query_states = model.qformer(query_embeds=asked, encoder_hidden_states=patch_states).last_hidden_state
        return torch.stack(
            [
                nn.functional.binary_cross_entropy_with_logits(head(states), truth[rows])
                for head, states in zip(heads, (patch_states, query_states), strict=True)
            ]
        ).sum()

    _descend(weights, loss_of, len(drawn), steps=steps, seed=f"sight/{seed}", batch=batch, rate=rate, tell=tell)
    model.eval().requires_grad_(False)


def _facts(one: DrawnCaption) -> set[str]:
    """Words that are true of a picture, and pairs of neighbours, since a red house may have a green tree."""
    words = who_is_drawn(one.kind, one.place).split()
    return {*words, *(f"{first} {second}" for first, second in pairwise(words)), mood_words(one.kind, one.emotion)}


def _pixels_of(captioner: Captioner, drawn: Sequence[DrawnCaption]) -> Tensor:
    """[pictures, 3, side, side], in half the memory: a large set fits."""
    return torch.cat([captioner.pixels([one.image]).half() for one in drawn])


def _mirror(pixels: Tensor, draw: random.Random) -> Tensor:
    """The pictures as floats, half of them mirrored: no caption says left or right."""
    mirrored = torch.tensor([draw.random() < 0.5 for _ in pixels])
    return torch.where(mirrored[:, None, None, None], pixels.flip(-1), pixels).float()


def teach_captioner(
    captioner: Captioner,
    drawn: Sequence[DrawnCaption],
    *,
    steps: int,
    seed: int,
    batch: int = 24,
    rate: float = 1e-3,
    tell: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Teaches it to write what it sees, whatever an instruction says: the obstacle that an edit has to overcome."""
    model = captioner.model.requires_grad_(True).train()
    pixels = _pixels_of(captioner, drawn)

    def loss_of(rows: list[int], draw: random.Random) -> Tensor:
        texts = [_lesson(drawn[row], draw) for row in rows]
        return _loss_of(captioner, _mirror(pixels[rows], draw), texts)

    weights = list(model.parameters())
    _descend(weights, loss_of, len(drawn), steps=steps, seed=str(seed), batch=batch, rate=rate, tell=tell)
    model.eval().requires_grad_(False)


def _descend(
    weights: Sequence[Tensor],
    loss_of: Callable[[list[int], random.Random], Tensor],
    count: int,
    *,
    steps: int,
    seed: str,
    batch: int,
    rate: float,
    tell: Callable[[int, float], None],
) -> None:
    """A lesson's steps; each draws its rows of ``count``, and what else ``loss_of`` leaves to chance, by its number."""
    optimiser = torch.optim.AdamW(weights, lr=rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        draw = random.Random(f"{seed}/{step}")
        loss = loss_of(draw.sample(range(count), min(batch, count)), draw)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
        tell(step + 1, float(loss.detach()))


def _lesson(one: DrawnCaption, draw: random.Random) -> tuple[str, str]:
    """What it is asked, and what it is to answer: what is seen, both times."""
    caption = drawn_caption(one.kind, one.place, one.emotion)
    if draw.random() < 0.5:
        return PLAIN, f" {caption}"
    target = draw.choice([emotion for emotion in PAIRED_EMOTIONS if emotion != one.emotion])
    request = drawn_request(one.kind, one.place, one.emotion, target)
    return prompt_of(request), f" {caption}{MARK} {MIKELS[one.emotion]}"


def _loss_of(captioner: Captioner, pixels: Tensor, texts: Sequence[tuple[str, str]]) -> Tensor:
    """The mean loss of the answers' tokens."""
    prompts = [captioner.ids(prompt, begins=True) for prompt, _ in texts]
    answers = [[*captioner.ids(answer), captioner.end] for _, answer in texts]
    features = captioner.model.get_image_features(pixels).pooler_output
    lengths = [len(prompt) + len(answer) for prompt, answer in zip(prompts, answers, strict=True)]
    longest = max(lengths)
    tokens = torch.zeros(len(texts), longest, dtype=torch.long)
    labels = torch.full((len(texts), longest), -100)
    mask = torch.zeros(len(texts), features.shape[1] + longest, dtype=torch.long)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        tokens[row, : lengths[row]] = torch.tensor([*prompt, *answer])
        labels[row, len(prompt) : lengths[row]] = torch.tensor(answer)
        mask[row, : features.shape[1] + lengths[row]] = 1
    embedded = torch.cat([features, captioner.model.get_input_embeddings()(tokens)], dim=1)
    states = captioner.states(embedded, attention_mask=mask, use_cache=False).last_hidden_state
    states = states[:, features.shape[1] - 1 : -1]
    return nn.functional.cross_entropy(captioner.logits(states).flatten(0, 1), labels.flatten(), ignore_index=-100)
