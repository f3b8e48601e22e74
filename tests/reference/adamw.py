"""What the AdamW of early versions of transformers makes of some gradients: the witness of `affetto.optimizers`.

Writes adamw.safetensors beside this file: parameters, gradients of 20 steps, and the parameters after each step, with
and without weight decay. The original is in `transformers/optimization.py` of transformers 4.30.2 (Apache-2.0), which
no longer runs beside today's tokenizers; so its class alone is taken from the unpacked wheel:

    pip download --no-deps transformers==4.30.2 && unzip transformers-4.30.2-*.whl transformers/optimization.py
    python tests/reference/adamw.py transformers/optimization.py
"""

import ast
import collections.abc
import math
import sys
import typing
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

STEPS = 20
LEARNING_RATE = 0.01


def original(path: Path) -> Any:
    """The class `AdamW` of the file."""
    source = path.read_text(encoding="utf-8")
    [found] = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "AdamW"]
    names = {"torch": torch, "nn": nn, "math": math, "warnings": warnings, "Optimizer": torch.optim.Optimizer}
    names |= {"Callable": collections.abc.Callable, "Iterable": collections.abc.Iterable, "Tuple": typing.Tuple}  # noqa: UP006
    names["require_version"] = lambda *_: None
    exec(compile(ast.Module([found], []), str(path), "exec"), names)
    return names["AdamW"]


def main() -> None:
    """Write the file."""
    adamw = original(Path(sys.argv[1]))
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(4, 3, generator=generator)
    scales = torch.logspace(-8, 2, 12).reshape(4, 3)  # so that eps matters for some and not for others
    gradients = scales * torch.randn(STEPS, 4, 3, generator=generator)
    tensors = {"start": start, "gradients": gradients}
    for decay in (0.0, 0.1):
        parameter = nn.Parameter(start.clone())
        options = {"eps": 1e-6, "weight_decay": decay, "correct_bias": False, "no_deprecation_warning": True}
        optimizer = adamw([parameter], lr=LEARNING_RATE, **options)
        after = []
        for gradient in gradients:
            parameter.grad = gradient.clone()
            optimizer.step()
            after.append(parameter.detach().clone())
        tensors[f"decay {decay}"] = torch.stack(after)
    save_file(tensors, Path(__file__).with_suffix(".safetensors"))


if __name__ == "__main__":
    main()
