from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from affetto.optimizers import UncorrectedAdamW

REFERENCE = load_file(Path(__file__).parent / "reference" / "adamw.safetensors")
LEARNING_RATE = 0.01


def stepped(decay: float) -> list[torch.Tensor]:
    """The reference's parameters after each of its gradients, as our optimiser moves them."""
    parameter = nn.Parameter(REFERENCE["start"].clone())
    optimizer = UncorrectedAdamW([parameter], lr=LEARNING_RATE, weight_decay=decay)
    after = []
    for gradient in REFERENCE["gradients"]:
        parameter.grad = gradient.clone()
        optimizer.step()
        after.append(parameter.detach().clone())
    return after


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_are_those_of_the_adamw_of_early_transformers(decay):
    torch.testing.assert_close(torch.stack(stepped(decay)), REFERENCE[f"decay {decay}"], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_are_the_update_as_it_is_written(decay):
    p = REFERENCE["start"].double().numpy()
    m, v = np.zeros_like(p), np.zeros_like(p)
    for gradient, ours in zip(REFERENCE["gradients"].double().numpy(), stepped(decay), strict=True):
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        p = p - LEARNING_RATE * m / (np.sqrt(v) + 1e-6)
        p = p - LEARNING_RATE * decay * p
        np.testing.assert_allclose(ours.numpy(), p, rtol=1e-5, atol=1e-5)


def test_without_correction_the_first_step_is_that_much_larger():
    gradient = REFERENCE["gradients"][0]
    steps = []
    for kind in (UncorrectedAdamW, torch.optim.AdamW):
        parameter = nn.Parameter(torch.zeros(4, 3))
        parameter.grad = gradient.clone()
        kind([parameter], lr=LEARNING_RATE, eps=1e-30, weight_decay=0.0).step()
        steps.append(parameter.detach())
    torch.testing.assert_close(steps[0], steps[1] * 0.1 / 0.001**0.5, rtol=1e-4, atol=0)


def test_a_parameter_without_a_gradient_stays_and_a_group_may_have_a_rate_of_its_own():
    first, second, still = (nn.Parameter(torch.ones(3)) for _ in range(3))
    optimizer = UncorrectedAdamW([{"params": [first, still]}, {"params": [second], "lr": 0.2}], lr=0.1, weight_decay=1)
    for parameter in (first, second):
        parameter.grad = torch.zeros(3)
    optimizer.step()
    assert still.tolist() == [1.0] * 3
    torch.testing.assert_close(torch.stack([first, second]).detach(), torch.tensor([[0.9] * 3, [0.8] * 3]))


def test_a_state_that_was_kept_goes_on_as_if_nothing_had_been():
    parameter = nn.Parameter(REFERENCE["start"].clone())
    optimizer = UncorrectedAdamW([parameter], lr=LEARNING_RATE)
    for gradient in REFERENCE["gradients"]:
        kept = optimizer.state_dict()
        optimizer = UncorrectedAdamW([parameter], lr=1.0)
        optimizer.load_state_dict(kept)
        parameter.grad = gradient.clone()
        optimizer.step()
    assert torch.equal(parameter.detach(), stepped(0.0)[-1])
