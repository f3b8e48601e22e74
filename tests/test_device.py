"""Devices and precisions."""

import pytest
import torch

from affetto import device
from affetto.errors import ConfigError

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("amx", "avx512_bf16", "vendor", "fast"),
    [
        (True, True, "GenuineIntel", True),
        (False, True, "GenuineIntel", False),
        (False, True, "AuthenticAMD", True),
        (False, False, "AuthenticAMD", False),
    ],
)
def test_bf16_is_chosen_where_processors_multiply_it_faster(monkeypatch, amx, avx512_bf16, vendor, fast):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(device, "_processor", lambda: f"vendor_id : {vendor}")
    assert device.use_bf16(CPU) == fast
    assert device.use_bf16(CPU, "bf16")
    assert not device.use_bf16(CPU, "fp32")


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="--device abacus: expected auto, cpu, cuda or mps"):
        device.choose("abacus")
    assert device.choose("cpu") == CPU
