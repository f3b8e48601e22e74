"""Whisper's encoder for clips of ever other lengths: all clips side by side, none of them padded.

Most of it is products that look at each state, or at three neighbouring frames, alone, so clips need not be padded to
be multiplied together; only in attention each clip is by itself. For a batch such as a server makes, clips of one to
five seconds, that saves a third of the work. What is computed is what `Whisper` and the layers of transformers compute.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from affetto.batch import Padded, pad

STEP = 32
"""What numbers of rows in products are filled up to a multiple of. For each number that it has not met oneDNN plans its
products anew, which takes half as long again, and it keeps the plans, which takes memory."""


class Packed(nn.Module):
    """The encoder, ready to compute.

    Args:
        encoder: a `Whisper`, whose layers are taken over: it cannot compute by itself any more.
        dtype: in which products and attention are computed; sums and norms are in float32.
    """

    def __init__(self, encoder: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        """In which products are computed."""
        self.outputs: tuple[int, ...] = tuple(sorted(encoder.outputs))
        self.convolutions = nn.ModuleList(_Convolution(each, dtype) for each in (encoder.conv1, encoder.conv2))
        self.positions = encoder.embed_positions
        self.layers = nn.ModuleList(_Layer(layer, dtype) for layer in encoder.layers)
        del encoder.conv1, encoder.conv2, encoder.layers

    @torch.no_grad()
    def forward(self, frames: Padded) -> Padded:
        """States of the chosen layers, as `Whisper.forward` gives them.

        Args:
            frames: of its front end, (B, T, front_end.width).
        """
        with torch.autocast(frames.values.device.type, enabled=False):
            clips: Sequence[Tensor] = frames.unbind()
            for convolve in self.convolutions:
                clips = convolve(clips)
            pieces = [piece for clip in clips for piece in torch.split(clip, self.positions.num_embeddings)]
            x = torch.cat([piece.float() + self.positions.weight[: len(piece)] for piece in pieces])  # (N, D)
            count, x = len(x), _filled(x)
            after = []
            for layer in self.layers:
                x = layer(x, [len(piece) for piece in pieces])
                after.append(x[:count])
        states = torch.cat([after[number - 1] for number in self.outputs], dim=-1)
        return pad(list(torch.split(states, [len(clip) for clip in clips])))


class _Convolution(nn.Module):
    """A convolution over three frames, and GELU: one product, whose rows are the frames beside their neighbours."""

    def __init__(self, convolution: nn.Conv1d, dtype: torch.dtype) -> None:
        super().__init__()
        assert convolution.kernel_size == (3,) and convolution.padding == (1,)
        [self.stride] = convolution.stride
        width, channels, _ = convolution.weight.shape
        device = convolution.weight.device
        self.product = nn.Linear(3 * channels, width, dtype=dtype, device=device).requires_grad_(False)
        with torch.no_grad():
            self.product.weight.copy_(convolution.weight.transpose(1, 2).reshape(width, -1))
            assert convolution.bias is not None
            self.product.bias.copy_(convolution.bias)

    def forward(self, clips: Sequence[Tensor]) -> Sequence[Tensor]:
        """Clips of frames (T, channels) to (ceil(T / stride), width) each."""
        edged = [F.pad(clip, (0, 0, 1, 1)) for clip in clips]
        step = self.stride
        rows = [torch.cat([clip[:-2:step], clip[1:-1:step], clip[2::step]], dim=1) for clip in edged]
        counts = [len(each) for each in rows]
        x = F.gelu(self.product(_filled(torch.cat(rows).to(self.product.weight.dtype))))
        return torch.split(x[: sum(counts)], counts)


def _filled(x: Tensor) -> Tensor:
    """Rows (N, ...) and zeros below, up to a multiple of `STEP`."""
    return F.pad(x, (0, 0, 0, -len(x) % STEP))


class _Layer(nn.Module):
    """One of them: the projections to queries, keys and values are one product."""

    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        super().__init__()
        attention = layer.self_attn
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        self.heads = attention.num_heads
        self.normal, self.last_normal = layer.self_attn_layer_norm, layer.final_layer_norm
        width, device = attention.embed_dim, attention.q_proj.weight.device
        self.project = nn.Linear(width, 3 * width, dtype=dtype, device=device).requires_grad_(False)
        with torch.no_grad():
            self.project.weight.copy_(torch.cat([each.weight for each in projections]))
            none = torch.zeros_like(attention.q_proj.bias)  # Whisper's keys have none
            self.project.bias.copy_(torch.cat([none if each.bias is None else each.bias for each in projections]))
        self.out, self.widen, self.narrow = (each.to(dtype) for each in (attention.out_proj, layer.fc1, layer.fc2))

    def forward(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """(N, D) to (N, D), float32."""
        dtype = self.out.weight.dtype
        projected = self.project(self.normal(x).to(dtype))  # (N, 3 * D)
        heard = torch.zeros_like(projected[:, : x.shape[1]])
        first = 0
        for length in lengths:
            clip = projected[first : first + length].view(length, 3, self.heads, -1)
            q, k, v = clip.permute(1, 2, 0, 3)[:, None]  # (1, heads, length, D / heads) each
            attended = F.scaled_dot_product_attention(q, k, v)
            heard[first : first + length] = attended[0].transpose(0, 1).reshape(length, -1)
            first += length
        x = x + self.out(heard)
        wide = F.gelu(self.widen(self.last_normal(x).to(dtype)))
        told: Tensor = x + self.narrow(wide)
        return told
