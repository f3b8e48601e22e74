"""Late fusion: the average of what trained models answer (the second paper, section 3: "by averaging").

Nothing is learned here. In a benchmark it is a row that names others (`average: [cnn14, bert]`) and averages the
answers of their cells; as a checkpoint it is their networks side by side, so that recognition needs one folder.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field, SerializeAsAny, field_validator
from torch import Tensor, nn

from affetto.models.base import ModelSettings, SpeechModel, Streams, register

_USUAL: Any = ({"name": "cnn"}, {"name": "bert"})
"""A voice and its words."""


class LateFusionSettings(ModelSettings):
    """Settings of the models whose answers are averaged."""

    name: Literal["late_fusion"] = "late_fusion"
    of: tuple[SerializeAsAny[ModelSettings], ...] = Field(default=_USUAL, min_length=2)
    """The models, each with its settings."""
    gives: Literal["probabilities", "dimensions"] = "probabilities"
    """What is averaged."""

    @field_validator("of", mode="before")
    @classmethod
    def _parse(cls, of: Sequence[Any]) -> tuple[ModelSettings, ...]:
        from affetto import models

        return tuple(
            each if isinstance(each, ModelSettings) else models.parse_settings(each, source="late_fusion: of")
            for each in of
        )

    @property
    def hears_words(self) -> bool:
        """Where one of the models does."""
        return any(each.hears_words for each in self.of)


@register(
    "late_fusion",
    paper="Multistage conditioning (Triantafyllopoulos et al., section 3: shallow fusion)",
    differs=("probabilities are averaged, or ratings; the paper says of its decisions only that they are aggregated",),
)
class LateFusion(SpeechModel):
    """The streams of several models to the logarithm of their mean probabilities, or the mean of their outputs, (B, K).

    The logarithm, since the task makes probabilities of logits by a softmax, which then gives the mean as it is.
    """

    Settings = LateFusionSettings

    def __init__(self, settings: LateFusionSettings, n_classes: int) -> None:
        from affetto import models

        networks = [models.get(each.name).create(each, n_classes) for each in settings.of]
        super().__init__(
            {f"{n}_{name}": stream for n, each in enumerate(networks) for name, stream in each.streams.items()}
        )
        self.settings = settings
        self.heard = [tuple(network.streams) for network in networks]
        for network in networks:
            network.streams = nn.ModuleDict()  # its ears are the fusion's now
        self.networks = nn.ModuleList(networks)

    def take(self, trained: Sequence[SpeechModel]) -> None:
        """Take the weights of trained models, in the order of `settings.of`."""
        state = {}
        for n, model in enumerate(trained):
            for name, tensor in model.state_dict().items():
                ear = name.startswith("streams.")
                state[f"streams.{n}_{name.removeprefix('streams.')}" if ear else f"networks.{n}.{name}"] = tensor
        self.load_state_dict(state)

    def forward(self, streams: Streams) -> Tensor:
        """Logits (B, K)."""
        outputs = torch.stack(
            [
                network({name: streams[f"{n}_{name}"] for name in names}).float()
                for n, (network, names) in enumerate(zip(self.networks, self.heard, strict=True))
            ]
        )  # (models, B, K)
        if self.settings.gives == "dimensions":
            return outputs.mean(dim=0)
        return outputs.log_softmax(dim=-1).logsumexp(dim=0) - torch.tensor(len(outputs)).log()
