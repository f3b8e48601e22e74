"""Several clips of different lengths in one tensor, with the lengths that say what is real and what is padding.

Everything between the waveform and the logits travels as `Padded`. A module that takes one must give the same answer
for a clip alone and for the clip beside longer ones; the contract tests hold every model to that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from affetto.baseline import Baseline

FRAMES = 64
"""What the lengths of batches on CUDA are multiples of: cuDNN plans its convolutions anew for every length it meets."""


@dataclass(frozen=True)
class Padded:
    """Sequences padded at their end to a common length.

    Args:
        values: (B, T, ...); what stands beyond a sequence's length is zero and must not be looked at.
        lengths: (B,), int64, each at least 1 and at most T.
    """

    values: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        return self.values.shape[0]

    @property
    def is_full(self) -> bool:
        """Whether it is known that nothing is padded, so that masks can be left out.

        On a GPU it is not: to look, the processor would wait for all that the GPU still has to do.
        """
        return self.lengths.device.type == "cpu" and bool((self.lengths == self.values.shape[1]).all())

    @property
    def mask(self) -> Tensor:
        """True where a position is real, (B, T)."""
        positions = torch.arange(self.values.shape[1], device=self.lengths.device)
        return positions < self.lengths[:, None]

    def to(self, device: torch.device | str) -> "Padded":
        """The same on another device."""
        return Padded(self.values.to(device), self.lengths.to(device))

    def extended(self, multiple: int) -> "Padded":
        """The same, padded until its length is a multiple; sequences of a single step stay as they are."""
        return self if self.values.shape[1] == 1 else Padded(extend(self.values, multiple), self.lengths)

    def zeroed(self) -> "Padded":
        """The same with zeros wherever it is padded."""
        if self.is_full:
            return self
        return Padded(self.values.masked_fill(~expand(self.mask, self.values), 0.0), self.lengths)

    def with_values(self, values: Tensor) -> "Padded":
        """Other values (B, T, ...) on the same lengths, zeroed where padded."""
        return Padded(values, self.lengths).zeroed()

    def mean(self) -> Tensor:
        """Mean over each sequence's own length; (B, ...)."""
        return self.zeroed().values.sum(dim=1) / expand(self.lengths, self.values[:, 0])

    def max_and_mean(self) -> Tensor:
        """Maximum plus mean over each sequence's own length, as CNN14 pools; (B, D) of (B, T, D)."""
        return self.values.masked_fill(~self.mask[:, :, None], -torch.inf).amax(dim=1) + self.mean()

    def unbind(self) -> list[Tensor]:
        """The sequences at their own lengths, each (T_i, ...)."""
        return [row[:n] for row, n in zip(self.values, self.lengths.tolist(), strict=True)]


@dataclass(frozen=True)
class Batch:
    """What a model is trained on in one step.

    Args:
        streams: what the model listens to, by name; each (B, T, D).
        targets: category indices, (B,), int64; or ratings, (B, D).
        baselines: of each clip's speaker, where it has one.
    """

    streams: Mapping[str, Padded]
    targets: Tensor
    baselines: tuple[Baseline | None, ...] = ()

    def to(self, device: torch.device | str) -> "Batch":
        """The same on another device; on CUDA padded to a multiple of `FRAMES`."""
        streams = {name: stream.to(device) for name, stream in self.streams.items()}
        if torch.device(device).type == "cuda":
            streams = {name: each.extended(FRAMES) for name, each in streams.items()}
        return Batch(streams, self.targets.to(device), self.baselines)


def pad(sequences: Sequence[Tensor]) -> Padded:
    """Sequences (T_i, ...) as one padded tensor (B, max T_i, ...)."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    if lengths.max() == lengths.min():
        return Padded(torch.stack(list(sequences)), lengths)
    return Padded(torch.nn.utils.rnn.pad_sequence(list(sequences), batch_first=True), lengths)


def join(first: Padded, second: Padded) -> Padded:
    """Each clip's two sequences (B, T, D) and (B, S, D) one after the other, (B, T + S at most, D)."""
    pairs = zip(first.unbind(), second.unbind(), strict=True)
    joined = pad([torch.cat(pair) for pair in pairs])
    return Padded(joined.values, first.lengths + second.lengths)


def stretch(steps: Padded, like: Padded, every: float) -> Padded:
    """Coarse steps (B, T, D), each repeated for the positions of `like`, (B, S, ...), that it covers; (B, S, D).

    Args:
        steps: the first covers positions from 0 on, and so on; the last one all that are left.
        like: whose lengths the result has.
        every: positions that a step covers; it need not be whole.
    """
    positions = torch.arange(like.values.shape[1], device=like.lengths.device)
    index = positions.div(every, rounding_mode="floor").long()[None].minimum(steps.lengths[:, None] - 1)  # (B, S)
    repeated = steps.values.gather(1, expand(index, steps.values).expand(*index.shape, *steps.values.shape[2:]))
    return Padded(repeated, like.lengths).zeroed()


def by_length(lengths: Sequence[int], size: int, *, budget: int | None = None) -> list[list[int]]:
    """Batches of items of similar length, longest first, so that little is spent on padding.

    Args:
        lengths: of each item, in any unit.
        size: items a batch at most.
        budget: padded units a batch at most (a single longer item still makes a batch).

    Returns:
        Indices into `lengths`, each exactly once.

    Example:
        >>> by_length([3, 9, 4, 8], size=2)
        [[1, 3], [2, 0]]
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        full = not batches or len(batches[-1]) == size
        if full or (budget is not None and (len(batches[-1]) + 1) * lengths[batches[-1][0]] > budget):
            batches.append([])
        batches[-1].append(index)
    return batches


def expand(mask: Tensor, like: Tensor) -> Tensor:
    """`mask` with trailing axes of one, so that it broadcasts over `like`."""
    return mask.reshape(mask.shape + (1,) * (like.dim() - mask.dim()))


def ceil_divide(lengths: Tensor, stride: int) -> Tensor:
    """Positions left of sequences after pooling by `stride`, a last partial window counted."""
    return torch.div(lengths + stride - 1, stride, rounding_mode="floor")


def extend(values: Tensor, multiple: int, fill: float = 0.0) -> Tensor:
    """Values (B, T, ...) with T padded by `fill` up to a multiple."""
    missing = -values.shape[1] % multiple
    if missing == 0:
        return values
    return F.pad(values, (0, 0) * (values.dim() - 2) + (0, missing), value=fill)
