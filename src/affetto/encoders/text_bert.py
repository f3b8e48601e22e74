"""BERT on the words that were said: transcripts to token ids, to states, or to one average embedding a clip.

BERT (Devlin et al., 2018, arXiv:1810.04805) as the second paper uses it (Triantafyllopoulos et al., section 3):
"linguistic embeddings are computed by averaging the token-embeddings". The network is transformers' own (Apache-2.0);
any BERT in its format will do. The tokenizer's file travels with the weights as bytes, so that a checkpoint needs
nothing beside itself.

Differs from the paper, which does not say: [CLS] and [SEP] are part of the average (`special_tokens` leaves them out),
padding is not; transcripts end after 128 tokens; where nothing was said, the average is that of [CLS] and [SEP].
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from safetensors import safe_open
from tokenizers import Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer
from torch import Tensor, nn

from affetto.batch import Padded, pad
from affetto.config import JSON, Settings
from affetto.encoders import weights
from affetto.errors import CheckpointError
from affetto.hub import fetch
from affetto.pretrained import text_encoder

PAPER = "bert-base-uncased"
"""The weights that the second paper names; the sizes of `TextBertSettings` are theirs."""
_SIZES = {
    "vocabulary": "vocab_size",
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "inner": "intermediate_size",
    "positions": "max_position_embeddings",
    "eps": "layer_norm_eps",
}
"""From our settings to transformers' names."""
_MINILM = {"vocabulary": 30_522, "width": 384, "layers": 6, "heads": 12, "inner": 1536, "positions": 512, "eps": 1e-12}
"""Sizes of all-MiniLM-L6-v2, so that experiments with it can be read where its package is not installed."""


class TextBertSettings(Settings):
    """Which BERT, and what it reads."""

    name: Literal["text_bert"] = "text_bert"
    weights: str = PAPER
    """"bert-base-uncased", "minilm" (from the package of the extra `minilm`, offline), the folder or hub id of a BERT
    in transformers' format, or that of a checkpoint of the model `bert`, whose encoder was fine-tuned."""
    trainable: bool = False
    """Fine-tune the encoder; otherwise it is frozen and its embeddings are cached."""
    max_tokens: int = Field(default=128, ge=3)
    """Longest transcript, [CLS] and [SEP] included; what comes after is not read."""
    special_tokens: bool = True
    """Whether [CLS] and [SEP] are part of the average."""
    vocabulary: int = Field(default=30_522, ge=1)
    width: int = Field(default=768, ge=1)
    layers: int = Field(default=12, ge=1)
    heads: int = Field(default=12, ge=1)
    inner: int = Field(default=3072, ge=1)
    positions: int = Field(default=512, ge=1)
    eps: float = Field(default=1e-12, gt=0)
    """Of the layer norms."""

    @model_validator(mode="after")
    def _take_sizes(self) -> "TextBertSettings":
        """Sizes that were not given are those of the weights; a checkpoint gives all, so it needs no weights."""
        open_sizes = [ours for ours in _SIZES if ours not in self.model_fields_set]
        if self.weights != PAPER and open_sizes:
            sizes = _MINILM if self.weights == "minilm" else _read_sizes(self.weights)
            for ours in open_sizes:
                object.__setattr__(self, ours, sizes[ours])
        return self

    @model_validator(mode="after")
    def _check_sizes(self) -> "TextBertSettings":
        if self.width % self.heads:
            raise ValueError(f"heads must divide width, got {self.heads} heads on width {self.width}")
        if self.max_tokens > self.positions:
            raise ValueError(f"max_tokens is {self.max_tokens}, but this BERT has {self.positions} positions")
        return self


class Tokens(nn.Module):
    """Transcripts to token ids (B, T, 1), as numbers like any other stream; [CLS] first, [SEP] last.

    Has nothing to train and no weights; its state is the tokenizer's file.

    Args:
        settings: of the encoder.
    """

    hears = "words"
    width = 1
    frame_rate = None

    def __init__(self, settings: TextBertSettings) -> None:
        super().__init__()
        self.settings = settings
        self.file = b""
        self.tokenizer: Tokenizer | None = None

    def read(self, file: bytes) -> None:
        """Take a tokenizer's file (tokenizer.json) for one's own."""
        self.file = file
        self.tokenizer = Tokenizer.from_str(file.decode()) if file else None
        if self.tokenizer is not None:
            self.tokenizer.enable_truncation(self.settings.max_tokens)
            self.tokenizer.no_padding()

    def get_extra_state(self) -> Tensor:
        """The tokenizer's file, (bytes,); what puts it into a model's state."""
        return torch.from_numpy(np.frombuffer(self.file, np.uint8).copy())

    def set_extra_state(self, state: Tensor) -> None:
        """Take it from a model's state."""
        self.read(state.cpu().to(torch.uint8).numpy().tobytes())

    @property
    def fingerprint(self) -> str:
        """What its output depends on, as text."""
        return f"tokens {self.settings.max_tokens} {hashlib.sha256(self.file).hexdigest()}"

    def forward(self, words: Sequence[str]) -> Padded:
        """Token ids of each transcript, float32 (which holds every id exactly)."""
        assert self.tokenizer is not None, "the tokenizer has not been read; load_pretrained or a checkpoint does that"
        encoded = self.tokenizer.encode_batch(list(words))
        return pad([torch.tensor(each.ids, dtype=torch.float32)[:, None] for each in encoded])


class TextBert(nn.Module):
    """Token ids (B, T, 1) to states (B, T, width).

    Args:
        settings: of the encoder.
        pooler: whether it has BERT's own layer on top of the state of [CLS].
    """

    def __init__(self, settings: TextBertSettings, *, pooler: bool = False) -> None:
        from transformers import BertConfig, BertModel

        super().__init__()
        self.width = settings.width
        sizes = {theirs: getattr(settings, ours) for ours, theirs in _SIZES.items()}
        self.bert = BertModel(BertConfig(**sizes, attn_implementation="sdpa"), add_pooling_layer=pooler)

    def forward(self, tokens: Padded) -> Padded:
        """States of all tokens, zero where padded."""
        outputs = self.bert(input_ids=tokens.values[:, :, 0].long(), attention_mask=tokens.mask.long())
        return tokens.with_values(outputs.last_hidden_state)

    def first(self, states: Padded) -> Tensor:
        """What the pooler makes of the state of [CLS], (B, width): a linear layer and tanh."""
        pooled: Tensor = self.bert.pooler(states.values)
        return pooled


class FrozenText(nn.Module):
    """Transcripts to the average of their tokens' embeddings, (B, 1, width): a BERT that is never trained.

    Args:
        settings: of the encoder.
    """

    hears = "words"
    frame_rate = None

    def __init__(self, settings: TextBertSettings) -> None:
        super().__init__()
        self.settings = settings
        self.tokens = Tokens(settings)
        self.encoder = TextBert(settings).requires_grad_(False)
        self.width = settings.width
        self.eval()

    @property
    def fingerprint(self) -> str:
        """What its output depends on, as text: settings, tokenizer and weights."""
        settings = self.settings.model_dump_json(exclude={"weights", "trainable"})
        return f"average {settings} {self.tokens.fingerprint} {weights.digest(self.encoder)}"

    def train(self, mode: bool = True) -> "FrozenText":
        """Stays in evaluation mode whatever the model around it does."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, words: Sequence[str]) -> Padded:
        """The embedding of each transcript; float32."""
        device = next(self.encoder.parameters()).device
        states = self.encoder(self.tokens(words).to(device))
        embeddings = average(states, special_tokens=self.settings.special_tokens).float()
        return Padded(embeddings[:, None], torch.ones_like(states.lengths))


def average(states: Padded, *, special_tokens: bool = True) -> Tensor:
    """Mean over each transcript's own tokens, (B, width).

    Args:
        states: of tokens, (B, T, width), [CLS] first and [SEP] last.
        special_tokens: whether these two count; where there is no other token, they always do.
    """
    if special_tokens:
        return states.mean()
    alone = states.lengths == 2
    positions = torch.arange(states.values.shape[1], device=states.lengths.device)
    words = (positions > 0) & (positions < states.lengths[:, None] - 1) | (states.mask & alone[:, None])  # (B, T)
    return (states.values * words[:, :, None]).sum(dim=1) / words.sum(dim=1, keepdim=True)


def load_weights(encoder: TextBert, source: str) -> None:
    """Fill an encoder from a BERT in transformers' format, or from the one in a checkpoint of ours.

    Raises:
        CheckpointError: if it is not to be had, or lacks one of the encoder's tensors or has one of another shape.
    """
    path = fetch(text_encoder(source), "model.safetensors")
    weights.fill(encoder.bert, path, _our_name, source=source, whole="BERT")


def load_tokenizer(tokens: Tokens, source: str) -> None:
    """Give a stream of tokens the tokenizer of a BERT in transformers' format, or of the one in a checkpoint of ours.

    Raises:
        CheckpointError: if it is not to be had.
    """
    folder = text_encoder(source)
    if _is_ours(source):
        tokens.set_extra_state(_tokenizer_in(fetch(folder, "model.safetensors")))
        return
    try:
        file = fetch(folder, "tokenizer.json").read_bytes()
    except CheckpointError:  # older ones have a list of word pieces alone
        vocabulary = str(fetch(folder, "vocab.txt"))
        settings = json.loads(fetch(folder, "tokenizer_config.json").read_text(encoding="utf-8"))
        lowercase = settings.get("do_lower_case", True)  # as transformers has it
        file = BertWordPieceTokenizer(vocabulary, lowercase=lowercase).to_str().encode()
    tokens.read(file)


def load_frozen(words: nn.Module) -> None:
    """Fill a frozen BERT and its tokenizer with those that its settings name.

    Raises:
        CheckpointError: as `load_weights` and `load_tokenizer` do.
    """
    assert isinstance(words, FrozenText)
    load_weights(words.encoder, words.settings.weights)
    load_tokenizer(words.tokens, words.settings.weights)


def _our_name(key: str) -> str:
    """A tensor's name in `BertModel`: without the model around it, and without TensorFlow's names of layer norms."""
    name = key.rpartition("encoder.bert.")[2].removeprefix("bert.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _tokenizer_in(path: Path) -> Tensor:
    """The tokenizer's file in a checkpoint of ours, (bytes,)."""
    with safe_open(path, framework="pt") as file:
        (key,) = [key for key in file.keys() if key.startswith("streams.words.") and "_extra_state" in key]  # noqa: SIM118
        state: Tensor = file.get_tensor(key)
        return state


def _config(source: str) -> JSON:
    config: JSON = json.loads(fetch(text_encoder(source), "config.json").read_text(encoding="utf-8"))
    return config


def _is_ours(source: str) -> bool:
    """Whether it is a checkpoint of ours, rather than a BERT in transformers' format."""
    try:
        return isinstance(_config(source).get("format"), int)
    except CheckpointError:  # a list of word pieces may lie alone
        return False


def _read_sizes(source: str) -> JSON:
    """The sizes of a BERT under our names.

    Raises:
        CheckpointError: if it is another network's.
    """
    if _is_ours(source):
        stated = weights.stated(source, "text_bert")
        return {ours: stated[ours] for ours in _SIZES}
    config = _config(source)
    plain = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute", "type_vocab_size": 2}
    for key, expected in plain.items():
        # What transformers does not write down is at its default, which these are, but for the type.
        if (got := config.get(key, None if key == "model_type" else expected)) != expected:
            raise CheckpointError(f"{source}: is no BERT that is known: its {key} is {got!r}, expected {expected!r}")
    if missing := [theirs for theirs in _SIZES.values() if theirs not in config and theirs != "layer_norm_eps"]:
        raise CheckpointError(f"{source}: is no BERT: its config.json has no {missing[0]}")
    config = {"layer_norm_eps": 1e-12, **config}
    return {ours: config[theirs] for ours, theirs in _SIZES.items()}
