"""BLIP-2's Q-Former with an instruction: queries that look at a picture for what is asked of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from moodarchive.errors import EditError


class Words(NamedTuple):
    """Instructions as the Q-Former reads them: ids and mask int64 [B, T], padded to a length that is always the same.

    The length is fixed so that a row's numbers do not hang on its companions.
    """

    ids: Tensor
    mask: Tensor


class InstructionReader:
    """The Q-Former's own tokenizer (BERT's)."""

    def __init__(self, folder: Path, length: int) -> None:
        from transformers import AutoTokenizer

        load: Any = AutoTokenizer.from_pretrained
        try:
            self._tokenizer: Any = load(folder, local_files_only=True)
        except Exception as error:  # transformers raises anything
            raise EditError(f"the Q-Former's tokenizer in {folder} cannot be read: {str(error)[:200]}") from error
        self.folder, self.length = folder, length

    def __len__(self) -> int:
        return len(self._tokenizer)

    def save(self, folder: Path) -> None:
        """The tokenizer's files."""
        self._tokenizer.save_pretrained(folder)

    def __call__(self, instructions: Sequence[str]) -> Words:
        """Cut and padded to the length."""
        rows = self._tokenizer(
            list(instructions), padding="max_length", truncation=True, max_length=self.length, return_tensors="pt"
        )
        return Words(rows["input_ids"], rows["attention_mask"])


class InstructedQFormer(nn.Module):
    """q = Q(v, x, l): learnt queries [queries, width] beside the instruction, which attend to the picture's states."""

    def __init__(self, config: Mapping[str, Any], queries: int) -> None:
        super().__init__()
        from transformers import Blip2QFormerConfig
        from transformers.models.blip_2.modeling_blip_2 import Blip2QFormerModel, Blip2TextEmbeddings

        # no dropout: all chance of a training step comes from its number
        fixed = {"use_qformer_text_input": True, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        shape = Blip2QFormerConfig(**{**config, **fixed})
        self.width = int(shape.hidden_size)
        self.query_tokens = nn.Parameter(torch.zeros(1, queries, self.width))
        nn.init.normal_(self.query_tokens, std=float(shape.initializer_range))
        embeddings: Any = Blip2TextEmbeddings
        self.embeddings = embeddings(shape)
        for table in (self.embeddings.word_embeddings, self.embeddings.position_embeddings):
            nn.init.normal_(table.weight, std=float(shape.initializer_range))
        self.qformer = Blip2QFormerModel(shape)

    def forward(self, words: Words, seen: Tensor) -> Tensor:
        """[B, queries, width] of instructions and picture states [B, patches + 1, encoder width]."""
        queries = self.query_tokens.expand(len(seen), -1, -1)
        count = queries.shape[1]
        device = seen.device
        embedded = self.embeddings(words.ids.to(device), query_embeds=queries)
        mask = torch.cat([torch.ones(len(seen), count, dtype=torch.int64), words.mask.cpu()], 1).to(device)
        states: Tensor = self.qformer(
            query_embeds=embedded, query_length=count, attention_mask=mask, encoder_hidden_states=seen
        ).last_hidden_state
        return states[:, :count]

    def start_from(self, weights: Mapping[str, Tensor]) -> list[str]:
        """Takes what a BLIP-2 has under its names; returns the parts that it lacks and that stay random.

        The captioner's checkpoint has no text half: ``embeddings`` and each layer's ``intermediate`` and ``output``.
        EditError where a weight has another shape.
        """
        own = self.state_dict()
        taken = {name: weights[name] for name in own if name in weights}
        for name, tensor in taken.items():
            if tensor.shape != own[name].shape:
                raise EditError(
                    f"the Q-Former's {name} is {list(tensor.shape)}, wanted is {list(own[name].shape)}; remedy: a "
                    "BLIP-2 whose Q-Former is of the settings' size"
                )
        self.load_state_dict({**own, **taken})
        return sorted({name.split(".")[0] if "embeddings" in name else "text layers" for name in own.keys() - taken})
