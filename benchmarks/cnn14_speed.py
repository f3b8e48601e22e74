"""How much faster CNN14 is as we run it than plainly, in fp32 and PyTorch's own layout; writes cnn14_speed.json.

    OMP_NUM_THREADS=1 python benchmarks/cnn14_speed.py [--device cuda] [--clips 32] [--pairs 5] [--original FOLDER]

Full width, stretches of 2.5 s, SGD with Nesterov momentum. A plain step and one of ours (bf16 autocast, channels last,
the optimiser's passes over all tensors at once) take turns; each pair gives a ratio. So do answers in evaluation, under
weights whose logits are far apart, and with the largest difference in a logit. FOLDER is a checkout of
https://github.com/qiuqiangkong/audioset_tagging_cnn, whose own code then takes its turn, too. Results of several
devices stand side by side in the file. On a processor seconds are those of its work, whatever else runs beside it.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from affetto.batch import Padded
from affetto.encoders import cnn14
from affetto.encoders.cnn14 import Cnn14, Cnn14Settings
from affetto.layers import Classifier

FRAMES = 250
CLASSES = 4
FILE = Path(__file__).with_suffix(".json")


class Network(nn.Module):
    """CNN14 with classes, from log-mel frames on."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Cnn14(Cnn14Settings())
        self.classifier = Classifier(self.encoder.width, CLASSES)

    def forward(self, frames: Padded) -> Tensor:
        """Logits (B, K)."""
        logits: Tensor = self.classifier(self.encoder(frames))
        return logits


class Plain(Network):
    """The same, block by block as a textbook has it."""

    def __init__(self) -> None:
        super().__init__()
        self.to(memory_format=torch.contiguous_format)

    def forward(self, frames: Padded) -> Tensor:
        """Logits (B, K)."""
        encoder = self.encoder
        maps = encoder.bn0(frames.values.transpose(1, 2)[..., None]).transpose(1, 3)
        for number, block in enumerate(encoder.blocks, start=1):
            maps = F.relu(block.bn1(block.conv1(maps)))
            maps = F.relu(block.bn2(block.conv2(maps)))
            maps = F.avg_pool2d(maps, 2) if number < cnn14.BLOCKS else maps
            maps = encoder.dropout(maps)
        steps = maps.mean(dim=3)
        pooled = steps.amax(dim=2) + steps.mean(dim=2)
        logits: Tensor = self.classifier(encoder.dense_dropout(F.relu(encoder.fc1(encoder.dense_dropout(pooled)))))
        return logits


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--original", type=Path)
    options = parser.parse_args(argv)
    device = torch.device(options.device)
    torch.manual_seed(0)
    values = 20 * torch.randn(options.clips, FRAMES, cnn14.MELS, device=device) - 40  # decibels
    frames = Padded(values, torch.full((options.clips,), FRAMES, device=device))
    plain, ours = Plain().to(device), Network().to(device)
    spread(plain)
    ours.load_state_dict(plain.state_dict())
    network = None if options.original is None else original(options.original, plain).to(device)

    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "processor",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "clips": options.clips,
        "inference": inference(plain.eval(), ours.eval(), None if network is None else network.eval(), frames, options),
    }
    targets = torch.arange(options.clips, device=device) % CLASSES
    plain_step = trainer(plain.train(), plain, frames, targets, foreach=False)
    our_step = trainer(ours.train(), ours, frames, targets, foreach=True)
    result["training"] = pairs({"plain": plain_step, "ours": our_step}, options.pairs)
    kept = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    FILE.write_text(json.dumps({**kept, device.type: result}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


def inference(
    plain: nn.Module, ours: nn.Module, original: nn.Module | None, frames: Padded, options: argparse.Namespace
) -> dict[str, Any]:
    """Times of answers to the same frames, and how far ours are from the plain ones."""
    ways: dict[str, Callable[[], Tensor]] = {"plain": lambda: plain(frames), "ours": lambda: bf16(ours, frames)}
    if original is not None:
        ways["original"] = lambda: original(frames.values)
    with torch.inference_mode():
        truth, answers = ways["plain"](), ways["ours"]()
        times = pairs(ways, options.pairs)
        if original is not None:
            times["original_from_plain"] = float((ways["original"]() - truth).abs().max())
    return {
        **times,
        "logits_deviation": round(float(truth.std()), 3),
        "largest_difference": round(float((answers - truth).abs().max()), 5),
    }


def bf16(network: nn.Module, frames: Padded) -> Tensor:
    """Answers under autocast."""
    with torch.autocast(frames.values.device.type, dtype=torch.bfloat16):
        logits: Tensor = network(frames)
    return logits


def trainer(
    network: nn.Module, module: Network, frames: Padded, targets: Tensor, *, foreach: bool
) -> Callable[[], Tensor]:
    """A function that does one step."""
    optimizer = torch.optim.SGD(module.parameters(), lr=0.001, momentum=0.9, nesterov=True, foreach=foreach)

    def step() -> Tensor:
        with nullcontext() if isinstance(module, Plain) else torch.autocast(targets.device.type, dtype=torch.bfloat16):
            logits = network(frames)
        loss = F.cross_entropy(logits, targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return step


def pairs(ways: dict[str, Callable[[], Tensor]], count: int) -> dict[str, Any]:
    """Median seconds of each way, taking turns, and how many times as long each takes as ours."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(count + 1):
        for name, way in ways.items():
            clock = time.perf_counter if torch.cuda.is_available() else time.process_time
            started = clock()
            way().sum().item()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:  # the first is a warm-up
                seconds[name].append(clock() - started)
    times = {name: round(statistics.median(values), 5) for name, values in seconds.items()}
    ratios = {}
    for name in ways.keys() - {"ours"}:
        each = [slow / fast for slow, fast in zip(seconds[name], seconds["ours"], strict=True)]
        ratios[name] = {"median": round(statistics.median(each), 2), "pairs": [round(ratio, 2) for ratio in each]}
    return {"seconds": times, "times_as_long_as_ours": ratios}


@torch.no_grad()
def spread(network: Network) -> None:
    """Weights under which maps keep their size from block to block, and logits are about 2 apart."""
    for name, tensor in network.state_dict().items():
        if tensor.dim() > 1:
            nn.init.normal_(tensor, std=(2 / tensor[0].numel()) ** 0.5)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5).mul_(400.0 if "bn0" in name else 1.0)
        elif tensor.is_floating_point():
            tensor.normal_(std=0.2).add_(
                1.0 if name.endswith("weight") else -40.0 if name.endswith("bn0.running_mean") else 0.0
            )


def original(folder: Path, plain: Plain) -> nn.Module:
    """The original's network with the same weights, from its bn0 on."""
    sys.path.insert(0, str(folder / "pytorch"))
    # Its front end is not timed, and so not needed.
    for name in ("torchlibrosa", "torchlibrosa.stft", "torchlibrosa.augmentation"):
        sys.modules.setdefault(name, ModuleType(name))
    stft, augmentation = sys.modules["torchlibrosa.stft"], sys.modules["torchlibrosa.augmentation"]
    for module, layer in ((stft, "Spectrogram"), (stft, "LogmelFilterBank"), (augmentation, "SpecAugmentation")):
        setattr(module, layer, lambda **_: nn.Identity())
    from models import Cnn14_16k

    network = Cnn14_16k(16_000, 512, 160, 64, 50, 8_000, CLASSES)
    weights = {name.replace("classifier.", "fc_audioset."): tensor for name, tensor in plain.state_dict().items()}
    for number in range(cnn14.BLOCKS):
        weights = {
            name.replace(f"encoder.blocks.{number}.", f"conv_block{number + 1}."): tensor
            for name, tensor in weights.items()
        }
    network.load_state_dict({name.removeprefix("encoder."): tensor for name, tensor in weights.items()})
    logits: list[Tensor] = []
    network.fc_audioset.register_forward_hook(lambda _module, _inputs, output: logits.append(output))

    class Logits(nn.Module):
        """Its logits, which it returns through a sigmoid."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, values: Tensor) -> Tensor:
            self.network(values[:, None])
            return logits.pop()

    return Logits()


if __name__ == "__main__":
    main()
