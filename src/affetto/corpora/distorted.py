"""A corpus as it sounds after a distortion: the same clips, labels and speakers, other sound."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from affetto import audio
from affetto.corpora.base import Corpus
from affetto.distortions import Distortion

VERSION = 1
"""Part of what names a distorted clip; raised when a distortion of the same strength comes to sound another way."""


@dataclass(frozen=True)
class Distorted(Corpus):
    """A corpus whose recordings are distorted as they are read.

    What is random is drawn anew for each clip, from its name: the same on every machine, whatever is read before.

    Args:
        clean: the corpus as it is, with the same rows.
        distortion: what the recordings suffer.
        strength: of it, in its unit.
    """

    clean: Corpus
    distortion: Distortion
    strength: float

    @classmethod
    def of(cls, corpus: Corpus, distortion: Distortion, strength: float) -> "Distorted":
        """A corpus after a distortion."""
        return cls(corpus.info, corpus.root, corpus.table, corpus, distortion, strength)

    def path(self, file: str) -> Path:
        """Where the audio lies before it is distorted."""
        return self.clean.path(file)

    def select(self, mask: "pd.Series[bool]") -> "Distorted":
        """The corpus with only the rows where `mask` is true."""
        return replace(self, table=self.table[mask.to_numpy()], clean=self.clean.select(mask))

    def recording(self, row: int) -> audio.Recording:
        """The distorted sound of one utterance.

        Raises:
            AudioError: if it cannot be heard, or could be before it was distorted.
        """
        file, start, _ = self.table.index[row]
        clean = self.clean.recording(row)
        digest = hashlib.sha256(f"{self._suffered} {file} {start.total_seconds():.6f}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        return audio.from_array(self.distortion(clean.waveform, self.strength, rng), audio.SAMPLE_RATE, name=file)

    def file_hashes(self) -> dict[str, str]:
        """SHA-256 of each file's bytes and of what they suffered: features of clean clips are not those of these."""
        clean = self.clean.file_hashes()
        return {file: hashlib.sha256(f"{own} {self._suffered}".encode()).hexdigest() for file, own in clean.items()}

    @property
    def _suffered(self) -> str:
        return f"{self.distortion.name} {self.strength:g} v{VERSION}"
