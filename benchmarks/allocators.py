"""What a step of training takes under three allocators, in time and in memory; writes allocators.json.

    python benchmarks/allocators.py [--steps 81] [--rounds 2]

A step of the first paper's fusion on 16 clips of 1.2 to 3.2 s, each batch another length, one core, fp32: with glibc as
it is, with glibc told to keep what it has, and with jemalloc told the same (`cells.workers` gives the latter two to its
processes). They take turns, each in a fresh process; seconds are those of the processor's work, whatever else runs.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from ctypes.util import find_library
from pathlib import Path

from affetto.cells import workers

FILE = Path(__file__).with_suffix(".json")
CLIPS = 16
WARM_UP = 3


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=81)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.measure:
        print(json.dumps(measure(options.steps)))
        return
    jemalloc = find_library("jemalloc")
    if jemalloc is None:
        sys.exit("jemalloc is not here; Debian has it as libjemalloc2")
    allocators = {
        "glibc": {},
        "glibc that keeps": workers.GLIBC,
        "jemalloc that keeps": {"LD_PRELOAD": jemalloc, "MALLOC_CONF": workers.JEMALLOC_CONF},
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in allocators}
    command = [sys.executable, __file__, "--measure", "--steps", str(options.steps)]
    for _ in range(options.rounds):
        for name, added in allocators.items():
            environment = {**os.environ, **workers.ONE_CORE, **added}
            found[name].append(json.loads(subprocess.check_output(command, env=environment)))
    result = {
        name: {key: round(statistics.median(each[key] for each in runs), 2) for key in runs[0]}
        for name, runs in found.items()
    }
    FILE.write_text(json.dumps({"steps": options.steps, "rounds": options.rounds, **result}, indent=1) + "\n")
    print(FILE.read_text(), end="")


def measure(steps: int) -> dict[str, float]:
    """Seconds a step, and the largest memory of this process in GB."""
    import torch
    import torch.nn.functional as F

    from affetto.batch import pad
    from affetto.models.fusion_convbert import FusionConvBERT, FusionSettings

    generator = torch.Generator().manual_seed(0)
    model = FusionConvBERT(FusionSettings(), 7).train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)

    def step() -> None:
        shortest = int(torch.randint(120, 281, (), generator=generator))
        lengths = (shortest + torch.randint(0, 41, (CLIPS,), generator=generator)).tolist()
        frames = pad([torch.randn(length, 160, generator=generator) for length in lengths])
        labels = torch.randint(0, 7, (CLIPS,), generator=generator)
        F.cross_entropy(model({"log_mel": frames}), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(WARM_UP):
        step()
    begun = time.process_time()
    for _ in range(steps):
        step()
    seconds = (time.process_time() - begun) / steps
    return {"seconds": seconds, "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}


if __name__ == "__main__":
    main()
