from pathlib import Path

import pytest
import torch

from affetto import cache
from affetto.cache import FeatureCache, Usage

KEY = "ab" * 32
FEATURES = torch.arange(12.0).reshape(4, 3)


def test_what_is_kept_is_found_again_by_the_next_process_as_float32(tmp_path):
    kept = FeatureCache(tmp_path)
    kept.save("mel", KEY, FEATURES.half())
    found = FeatureCache(tmp_path).load(kept.path("mel", KEY))
    assert found is not None
    assert found.dtype == torch.float32
    assert torch.equal(found, FEATURES)


def test_streams_and_clips_are_kept_apart(tmp_path):
    kept = FeatureCache(tmp_path)
    kept.save("mel", KEY, FEATURES)
    assert kept.load(kept.path("mel", "cd" * 32)) is None
    assert kept.load(kept.path("whisper", KEY)) is None
    kept.save("whisper", KEY, FEATURES + 1)
    assert torch.equal(kept.load(kept.path("mel", KEY)), FEATURES)


@pytest.mark.parametrize("damage", [b"", b"not safetensors", "half"], ids=["empty", "foreign", "half"])
def test_a_damaged_file_is_as_good_as_none_and_can_be_replaced(damage, tmp_path):
    kept = FeatureCache(tmp_path)
    kept.save("mel", KEY, FEATURES)
    path = kept.path("mel", KEY)
    path.write_bytes(path.read_bytes()[:-20] if damage == "half" else damage)
    assert kept.load(path) is None
    kept.save("mel", KEY, FEATURES)
    assert torch.equal(kept.load(path), FEATURES)


def test_saving_leaves_no_other_files_behind(tmp_path):
    kept = FeatureCache(tmp_path)
    kept.save("mel", KEY, FEATURES)
    kept.save("mel", KEY, FEATURES)
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"stream.json", f"{KEY}.safetensors"}


def test_usage_counts_files_and_bytes_stream_by_stream(tmp_path):
    kept = FeatureCache(tmp_path)
    assert kept.usage() == []
    kept.save("mel", KEY, FEATURES)
    kept.save("mel", "cd" * 32, FEATURES)
    kept.save("whisper", KEY, FEATURES)
    size = kept.path("mel", KEY).stat().st_size
    usage = sorted(kept.usage(), key=lambda usage: usage.stream)
    assert usage == [Usage("mel", 2, 2 * size), Usage("whisper", 1, size)]


def test_clear_deletes_features_alone_and_says_how_much(tmp_path):
    kept = FeatureCache(tmp_path)
    kept.save("mel", KEY, FEATURES)
    size = kept.path("mel", KEY).stat().st_size
    (tmp_path / "mine.txt").write_text("keep me")
    assert kept.clear() == size
    assert kept.usage() == []
    assert (tmp_path / "mine.txt").exists()
    assert kept.clear() == 0


def test_the_folder_is_affetto_cache_when_set(tmp_path, monkeypatch):
    monkeypatch.setenv("AFFETTO_CACHE", str(tmp_path / "chosen"))
    assert cache.default_folder() == tmp_path / "chosen"
    FeatureCache().save("mel", KEY, FEATURES)
    assert list((tmp_path / "chosen").rglob(f"{KEY}.safetensors"))


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "affetto"),
        ("linux", None, "home/.cache/affetto"),
        ("darwin", None, "home/Library/Caches/affetto"),
        ("win32", "LOCALAPPDATA", "affetto/cache"),
    ],
)
def test_the_folder_is_otherwise_the_systems_for_caches(platform, variable, expected, tmp_path, monkeypatch):
    for name in ("AFFETTO_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    if variable:
        monkeypatch.setenv(variable, str(tmp_path))
    assert cache.default_folder() == tmp_path / expected
