"""Features on disk, by content: what a stream makes of a clip is computed once.

A feature is found by the bytes of the audio file, the stretch of it, and the stream's fingerprint (its settings and
weights), so a renamed file is a hit and a changed one is not. One safetensors file a clip and stream; written whole or
not at all.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from affetto.files import write_whole


def default_folder() -> Path:
    """Where features are kept: `$AFFETTO_CACHE`, or `affetto` in the system's folder for caches."""
    if chosen := os.environ.get("AFFETTO_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "affetto" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "affetto"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "affetto"


@dataclass(frozen=True)
class Usage:
    """What one stream keeps: `stream` (its fingerprint), `files`, `bytes`."""

    stream: str
    files: int
    bytes: int


class FeatureCache:
    """Features under a folder.

    Args:
        folder: created when something is kept; by default `default_folder()`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (folder or default_folder()) / "features"

    def path(self, fingerprint: str, content: str) -> Path:
        """Where the feature of a stream's fingerprint and a clip's content key lies, whether it is there or not."""
        stream = hashlib.sha256(fingerprint.encode()).hexdigest()[:16]
        return self.folder / stream / content[:2] / f"{content}.safetensors"

    def load(self, path: Path) -> Tensor | None:
        """The feature at a path; None if it is not there or cannot be read."""
        try:
            features: Tensor = load_file(path)["features"]
            return features
        except (FileNotFoundError, SafetensorError, KeyError):
            return None

    def save(self, fingerprint: str, content: str, features: Tensor) -> None:
        """Keep a feature."""
        path = self.path(fingerprint, content)
        path.parent.mkdir(parents=True, exist_ok=True)
        label = path.parents[1] / "stream.json"
        if not label.exists():
            write_whole(label, json.dumps({"fingerprint": fingerprint}).encode())
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            fresh = Path(folder) / path.name
            save_file({"features": features.contiguous().to(torch.float32)}, fresh)
            os.replace(fresh, path)

    def usage(self) -> list[Usage]:
        """What is kept, a line a stream."""
        result = []
        for label in sorted(self.folder.glob("*/stream.json")):
            files = list(label.parent.rglob("*.safetensors"))
            fingerprint = json.loads(label.read_text())["fingerprint"]
            result.append(Usage(fingerprint, len(files), sum(file.stat().st_size for file in files)))
        return result

    def clear(self) -> int:
        """Delete every feature, and nothing else that may lie there; returns how many bytes that frees."""
        freed = sum(usage.bytes for usage in self.usage())
        for label in self.folder.glob("*/stream.json"):
            shutil.rmtree(label.parent)
        return freed
