"""BERT on the transcript, and one linear layer (the second paper's text baseline, sections 3 and 4.2).

Frozen, the average of the token embeddings is computed once a clip and cached, and the linear layer alone learns.
Fine-tuned, all of BERT learns; the paper's recipe is `optimizer: adamw_uncorrected`, a learning rate of 2e-5, warm-up,
and a stop as soon as dev gets worse (`patience: 1`).
"""

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from affetto.batch import Padded
from affetto.encoders.text_bert import (
    FrozenText,
    TextBert,
    TextBertSettings,
    Tokens,
    average,
    load_frozen,
    load_tokenizer,
    load_weights,
)
from affetto.layers import Classifier
from affetto.models.base import ModelSettings, SpeechModel, Streams, register


class BertSettings(ModelSettings):
    """Settings of the text baseline."""

    name: Literal["bert"] = "bert"
    encoder: TextBertSettings = TextBertSettings()
    pooling: Literal["mean", "first"] = "mean"
    """What stands for a transcript: the mean of its tokens' states; or the state of [CLS] through BERT's own pooler, as
    BERT is mostly fine-tuned, which takes a trainable encoder."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Before the linear layer, as in BERT's own fine-tuning."""

    @property
    def hears_words(self) -> bool:
        """It hears nothing else."""
        return True

    @model_validator(mode="after")
    def _check_pooling(self) -> Self:
        if self.pooling == "first" and not self.encoder.trainable:
            raise ValueError("pooling first takes encoder.trainable true; frozen embeddings are averages")
        return self


@register(
    "bert",
    paper="Multistage conditioning (Triantafyllopoulos et al., sections 3 and 4.2: BERT)",
    differs=(
        "the linear layer takes the average of all tokens (`pooling: mean`), as the fusion models do; the paper does "
        "not say, and `pooling: first`, as in BertForSequenceClassification, is the likelier",
        "transcripts end after 128 tokens and dropout before the linear layer is 0.1; the paper's numbers are lost",
    ),
)
class Bert(SpeechModel):
    """Embeddings of transcripts (B, 1, D), or where BERT is trained their token ids (B, T, 1), to logits (B, K)."""

    Settings = BertSettings

    def __init__(self, settings: BertSettings, n_classes: int) -> None:
        trainable = settings.encoder.trainable
        super().__init__({"words": Tokens(settings.encoder) if trainable else FrozenText(settings.encoder)})
        self.settings = settings
        self.encoder = TextBert(settings.encoder, pooler=settings.pooling == "first") if trainable else None
        self.dropout = nn.Dropout(settings.dropout)
        self.classifier = Classifier(settings.encoder.width, n_classes)

    def load_pretrained(self) -> None:
        """Fill encoder and tokenizer with those that the settings name."""
        source, stream = self.settings.encoder.weights, self.streams["words"]
        if isinstance(stream, FrozenText):
            load_frozen(stream)
        else:
            assert isinstance(stream, Tokens)
            assert self.encoder is not None
            load_weights(self.encoder, source)
            load_tokenizer(stream, source)

    def forward(self, streams: Streams) -> Tensor:
        """Logits (B, K)."""
        logits: Tensor = self.classifier(self.dropout(self._embed(streams["words"])))
        return logits

    def _embed(self, words: Padded) -> Tensor:
        """One vector a transcript, (B, D)."""
        if self.encoder is None:
            return words.values[:, 0]
        states = self.encoder(words)
        if self.settings.pooling == "first":
            return self.encoder.first(states)
        return average(states, special_tokens=self.settings.encoder.special_tokens)
