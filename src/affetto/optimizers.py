"""The optimiser with which BERT is fine-tuned, which PyTorch does not have.

The second paper's "Adam optimiser with fixed weight decay (learning rate, betas, epsilon, weight decay, no bias
correction)" is in these words the `AdamW` of early versions of transformers with `correct_bias=False`: the BertAdam of
Devlin et al. (2018).
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class UncorrectedAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter, 2019) without bias correction, so that the first steps are larger.

    With gradient g: m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p = p - lr m / (sqrt(v) + eps);  and then, with
    the new p, p = p - lr * weight_decay * p.

    Args:
        params: parameters, or groups of them.
        lr: learning rate.
        betas: b1 and b2.
        eps: beside the root, not under it.
        weight_decay: taken from the parameters themselves.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        assert closure is None, "no closure is called"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        (b1, b2), gradient = group["betas"], parameter.grad
        assert gradient is not None
        state["mean"].lerp_(gradient, 1 - b1)
        state["square"].mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
        parameter.addcdiv_(state["mean"], state["square"].sqrt().add_(group["eps"]), value=-group["lr"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
