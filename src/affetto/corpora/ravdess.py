"""RAVDESS, the Ryerson Audio-Visual Database of Emotional Speech and Song: 24 actors, two sentences, eight emotions.

Made by S. R. Livingstone and F. A. Russo at Ryerson University, in a studio, with professional actors who speak in a
neutral North American accent. Read here is the speech that comes as sound alone: 1,440 utterances, 88.8 minutes, 60 an
actor; offered as wav at 48 kHz, but FLAC of any rate is read as well.

    Source    https://zenodo.org/records/1188976
    Licence   CC-BY-NC-SA-4.0: not for commercial use
    Citation  Livingstone and Russo (2018), The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS),
              PLoS ONE 13(5), e0196391

A file name is the label: `03-01-05-01-02-01-12.wav` is modality 03 (sound alone), channel 01 (speech), emotion 05
(anger), intensity 01 (normal), sentence 02, repetition 01, actor 12. Actors with odd numbers are men, those with even
numbers women; the age of each is not published. Neutral has no strong intensity, so it is half as frequent as the rest.

Known oddities of the release, all kept: one recording of actor 07 is there under both repetitions (03-01-03-01-02-01-07
and 03-01-03-01-02-02-07), which `affetto corpora check` reports; five files are stereo with the same sound on both
channels; the loudness is that of the performance, so calm and sad clips can be very quiet.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import audformat
import pandas as pd

from affetto.corpora.base import Corpus, CorpusInfo, not_found, register
from affetto.errors import CorpusError

MODALITIES = {"01": "audio-visual", "02": "video", "03": "audio"}
CHANNELS = {"01": "speech", "02": "song"}
EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
INTENSITIES = {"01": "normal", "02": "strong"}
SENTENCES = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
REPETITIONS = ("01", "02")
SPEAKERS = tuple(f"{actor:02d}" for actor in range(1, 25))

INFO = CorpusInfo(
    name="ravdess",
    title="RAVDESS, Ryerson Audio-Visual Database of Emotional Speech and Song (speech)",
    language="eng",
    licence="CC-BY-NC-SA-4.0",
    source="https://zenodo.org/records/1188976",
    citation="Livingstone and Russo (2018), The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS), "
    "PLoS ONE 13(5), e0196391",
    layout=("Actor_01/03-01-05-01-02-01-01.wav",),
    categories={
        "anger": 192,
        "calm": 192,
        "disgust": 192,
        "fear": 192,
        "happiness": 192,
        "neutral": 96,
        "sadness": 192,
        "surprise": 192,
    },
    speakers={actor: (("female", "male")[int(actor) % 2], None) for actor in SPEAKERS},
    caveat="Acted, 24 actors, two sentences, one accent, a studio: on other voices, words, languages and microphones "
    "expect less.",
)

_CODES = (MODALITIES, CHANNELS, EMOTIONS, INTENSITIES, SENTENCES, REPETITIONS, SPEAKERS)
_STRONG_NEUTRAL = "..-..-01-02"
_KEY = "-".join(f"({'|'.join(codes)})" for codes in _CODES)
_NAME = re.compile(rf"(?!{_STRONG_NEUTRAL}){_KEY}(?:\.(?:wav|flac))?")

_SPEECH_FOLDER = "[Aa]udio_[Ss]peech_[Aa]ctors_01-24"
"""What Zenodo calls the archive; Kaggle's copy writes it small."""


@dataclass(frozen=True)
class Name:
    """What a file name of RAVDESS states: words for what is recorded, codes for sentence, repetition and speaker."""

    modality: str
    channel: str
    emotion: str
    intensity: str
    sentence: str
    repetition: str
    speaker: str

    @property
    def sex(self) -> str:
        """The speaker's sex, which the number tells."""
        return INFO.speakers[self.speaker][0]


def parse(name: str) -> Name:
    """What a file name of RAVDESS states, be it of speech or song, of sound or video.

    Args:
        name: with or without `.wav` or `.flac`, without folders.

    Raises:
        CorpusError: if the name is not made by RAVDESS's key.

    Example:
        >>> stated = parse("03-01-05-01-02-01-12.wav")
        >>> stated.channel, stated.emotion, stated.intensity, stated.speaker, stated.sex
        ('speech', 'anger', 'normal', '12', 'female')
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise CorpusError(
            f"ravdess: {name} is not a name of RAVDESS; expected e.g. 03-01-05-01-02-01-12.wav: modality 03, channel "
            "01, emotion 05 (of 01 to 08), intensity 01 (neutral has no 02), sentence 02, repetition 01, actor 12"
        )
    modality, channel, emotion, intensity, *codes = match.groups()
    return Name(MODALITIES[modality], CHANNELS[channel], EMOTIONS[emotion], INTENSITIES[intensity], *codes)


def label_from_name(name: str) -> tuple[str, str] | None:
    """The (emotion, speaker) that a file name states; None if it is not a name of RAVDESS.

    Example:
        >>> label_from_name("03-01-08-02-01-02-24"), label_from_name("interview")
        (('surprise', '24'), None)
    """
    try:
        stated = parse(name)
    except CorpusError:
        return None
    return stated.emotion, stated.speaker


@register(INFO, label_from_name=label_from_name)
def read(root: Path) -> Corpus:
    """The speech of RAVDESS from the folder that holds `Actor_01/` and so on, or from one folder with all the files.

    Song, and what was taken from video, are left out by name. The actors' folders may also lie in
    `Audio_Speech_Actors_01-24/`, or, as in Kaggle's copy, both there and beside it: a clip that is there twice is taken
    once, the outer one. The table has the columns emotion, speaker, sex, sentence (its code), text, intensity (normal
    or strong) and repetition (its code).

    Args:
        root: the corpus's folder.

    Returns:
        The 1,440 utterances, or as many of them as are there.

    Raises:
        CorpusError: if there is no speech, or a wav or flac file does not have a name of RAVDESS.
    """
    clips = _clips(root)
    for inner in sorted(root.glob(_SPEECH_FOLDER)):
        if not clips:
            return read(inner)  # the same table, whichever of the two folders was named
        clips = _clips(inner) | clips
    if not clips:
        raise not_found(INFO, root, "no wav or flac files of speech")
    kept = sorted((path.relative_to(root).as_posix(), name) for name, path in clips.items())
    table = pd.DataFrame(
        {
            "emotion": [name.emotion for _, name in kept],
            "speaker": [name.speaker for _, name in kept],
            "sex": [name.sex for _, name in kept],
            "sentence": [name.sentence for _, name in kept],
            "text": [SENTENCES[name.sentence] for _, name in kept],
            "intensity": [name.intensity for _, name in kept],
            "repetition": [name.repetition for _, name in kept],
        },
        index=audformat.segmented_index([file for file, _ in kept]),
    )
    return Corpus(INFO, root, table)


def _clips(folder: Path) -> dict[Name, Path]:
    """The speech in a folder and in its actors' folders; of the same clip in two files the one beside, or the wav."""
    clips: dict[Name, Path] = {}
    for pattern in ("*.wav", "*.flac", "Actor_[0-9][0-9]/*.wav", "Actor_[0-9][0-9]/*.flac"):
        for path in sorted(folder.glob(pattern)):
            if path.name.startswith("._"):  # left by macOS
                continue
            name = parse(path.name)
            if (name.modality, name.channel) == ("audio", "speech"):
                clips.setdefault(name, path)
    return clips
