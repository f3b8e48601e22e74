"""Speech recognition: from a waveform to the words in it, behind one small protocol; and how wrong they are.

What transcribes is faster-whisper (Whisper on CTranslate2; MIT), of the extra `asr`. Nothing is sampled and no clip
knows of the one before, so that the same clip gives the same words on the same machine.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from affetto.audio import Waveform
from affetto.errors import CheckpointError, ConfigError

BEAM = 5
"""Hypotheses followed at once, faster-whisper's own."""


class Transcriber(Protocol):
    """Whoever writes down what is said."""

    @property
    def name(self) -> str:
        """What made a transcript, on one line, for tables of them."""
        ...

    def transcribe(self, waveform: Waveform) -> str:
        """What is said in a waveform, mono at 16 kHz; "" for nothing."""
        ...


class FasterWhisper:
    """A Whisper model in CTranslate2's format.

    Args:
        model: a folder with `model.bin`, or a name that faster-whisper knows ("base", "small.en", a hub id), which is
            downloaded once.
        language: two letters, such as "de"; None: found out anew for each clip.
        device: "auto", "cpu" or "cuda".

    Raises:
        CheckpointError: if there is no such model.
        ConfigError: if faster-whisper is not installed, or the model does not know the language.
    """

    def __init__(self, model: str | Path, *, language: str | None = None, device: str = "auto") -> None:
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise ConfigError("transcribing takes faster-whisper: pip install 'affetto[asr]'") from error
        folder = Path(model)
        if folder.exists() and not (folder / "model.bin").is_file():
            raise CheckpointError(f"{model}: has no model.bin; expected a Whisper model in CTranslate2's format")
        try:
            # float16, in which models are published, is slow on processors; 8 bits are what faster-whisper advises.
            self.model = WhisperModel(str(model), device=device, compute_type="int8")
        except (ValueError, RuntimeError, OSError) as error:
            reason = str(error).strip().splitlines()[0]
            raise CheckpointError(f"{model}: no such folder, and no model that can be had ({reason})") from error
        known = self.model.supported_languages
        self.language = language if self.model.model.is_multilingual else language or "en"
        if self.language is not None and self.language not in known:
            raise ConfigError(f"--language {language}: {model} knows {', '.join(sorted(known))}")
        self._source = str(model) if not folder.exists() else f"{folder.resolve().name}-{_digest(folder / 'model.bin')}"

    @property
    def name(self) -> str:
        """Model, the hash of its file if it is a folder's, and language."""
        return f"faster-whisper {self._source} {self.language or 'any language'}"

    def transcribe(self, waveform: Waveform) -> str:
        """What is said in a waveform."""
        segments, _ = self.model.transcribe(
            waveform,
            language=self.language,
            beam_size=BEAM,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return " ".join(segment.text.strip() for segment in segments).strip()


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:8]


def normalise(text: str) -> str:
    """A transcript as its words are counted: lower case, without punctuation, events in brackets, and double spaces.

    Apostrophes and hyphens inside words stay.

    Example:
        >>> normalise("Well -- [LAUGHTER] I  don't know; it's twenty-one.")
        "well i don't know it's twenty-one"
    """
    text = unicodedata.normalize("NFKC", text).replace("’", "'").lower()
    text = re.sub(r"\[[^\]]*\]", " ", text)
    return " ".join(re.findall(r"\w+(?:['-]\w+)*", text))


def word_error_rate(gold: Sequence[str], heard: Sequence[str]) -> tuple[float, int]:
    """Share of words that are wrong, missing or too many, over all transcripts together; and how many words there are.

    Args:
        gold: what was said; where no word is left by `normalise`, the pair does not count.
        heard: what was written down instead, in the same order.

    Returns:
        Word error rate from 0 on (above 1 where much was added), NaN without words; and the words of `gold`.

    Raises:
        ConfigError: if jiwer is not installed.
        ValueError: if there is not one of `heard` for each of `gold`.

    Example:
        >>> word_error_rate(["Good morning to you!"], ["good mourning you"])
        (0.5, 4)
    """
    try:
        import jiwer
    except ImportError as error:
        raise ConfigError("word error rates take jiwer: pip install 'affetto[asr]'") from error
    pairs = [(normalise(one), normalise(other)) for one, other in zip(gold, heard, strict=True)]
    pairs = [(one, other) for one, other in pairs if one]
    if not pairs:
        return float("nan"), 0
    found = jiwer.process_words([one for one, _ in pairs], [other for _, other in pairs])
    return float(found.wer), found.hits + found.substitutions + found.deletions
