import platform
import re

import torch

from affetto import provenance

CPU = torch.device("cpu")


def test_the_machine_is_described_in_words_with_the_precision_and_without_its_name():
    words = provenance.machine(CPU, "bf16")
    assert "cores" in words
    assert "cpu bf16" in words
    assert f"torch {torch.__version__}" in words
    assert platform.node() not in words
    assert "cpu fp32" in provenance.machine(CPU, "fp32")


def test_the_commit_is_that_of_the_working_copy():
    commit = provenance.commit()
    assert commit is None or re.fullmatch(r"[0-9a-f]{40}\+?", commit)


def test_outside_a_working_copy_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "affetto" / "provenance.py"))
    (tmp_path / "affetto").mkdir()
    assert provenance.commit() is None
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() is None
