"""How the simulated corpora are made: what a clip's truth is, how its voice says it, and what could be known of it.

The truth of a clip on each dimension is a mixture of what its words say and of what its voice says, both in standard
deviations:

    truth = sqrt(share) * words + sqrt(1 - share) * voice
    rating = middle of the scale + unit * (truth + mean error of the raters), kept within the scale

`words` is EmoBank's rating of the sentence, stretched by a straight line that is the same for all (`WORDS`); `voice` is
drawn. Valence lies mostly in the words, arousal mostly in the voice, dominance in both, as in real speech (the second
paper, section 1). The voice is spoken by espeak-ng, whose rate, pitch, range and amplitude follow the three drawn
numbers (`VOICE`), with a departure of each speaker's own and one of each clip's. The category is read off the ratings
of valence and arousal.

Everything is drawn by hashes of names, never by a random number generator, so that a plan is the same on every machine.
Every constant is explained in `docs/simulated.md`, and all were chosen before any model was trained on these corpora:
changing one makes a new version (`corpora.simulated.VERSION`).
"""

import hashlib
import html
import json
import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr

from affetto import corpora, metrics, protocol
from affetto.corpora import simulated
from affetto.corpora.simulated import CARD, LABELS
from affetto.errors import ConfigError, CorpusError, not_called
from affetto.files import json_bytes, write_whole
from affetto.labels import DIMENSIONS
from affetto.progress import Progress, no_progress

Array = npt.NDArray[np.float64]
Ceilings = dict[str, dict[str, float]]
"""Of `voice`, `words` and `joint`: the CCC of each dimension, and the UAR (`ua`)."""

SHARES = {"valence": 0.6, "arousal": 0.2, "dominance": 0.4}
"""Share of the truth's variance that lies in the words; the rest lies in the voice."""
WORDS = {"valence": (2.945, 0.4), "arousal": (3.05, 0.265), "dominance": (3.05, 0.23)}
"""EmoBank's ratings r are stretched to (r - centre) / spread, kept within `LIMIT`: the centre and spread of the
sentences that were chosen, so that words and voice weigh as `SHARES` says."""
LIMIT = 2.5
"""Standard deviations beyond which nothing goes: a stretched rating, or what espeak-ng is told."""
RATERS, RATER_ERROR = 5, 0.7
"""Raters a clip, and the standard deviation of each one's error, in standard deviations of the truth."""
UNITS = {"simulated_a": 1.1, "simulated_b": 0.72}
"""Points of the scale that one standard deviation takes, on seven and on five points: 99.4 % lie within the scale."""
NEUTRAL = 0.6
"""Half the side of the middle square of valence and arousal that is neutral, in standard deviations."""

VOICE: dict[str, tuple[float, float, float]] = {
    "rate": (0.0, 0.7, -0.714),
    "pitch": (0.85, 0.35, -0.394),
    "range": (0.9, 0.3, 0.316),
    "amplitude": (0.0, 0.8, 0.6),
}
"""How a control follows valence, arousal and dominance of the voice; each row has length 1. Excitement is
loud, fast and a little higher, pleasure high and lively, dominance loud, slow and low."""
SPEAKER_NOISE, CLIP_NOISE = 0.3, 0.2
"""Standard deviations by which a speaker, and each clip, departs from a control, of which the voice's own has 1."""

VARIANTS = ("f1", "m1", "f2", "m2", "f3", "m3", "f4", "m4", "f5", "m5", "m6", "m7")
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029")
"""espeak-ng's voices, older than its releases of today: a speaker is a variant with an accent, no two the same."""

WORD_COUNT, LENGTH = (4, 16), (26, 88)
"""Words and characters of a sentence, fewest and most: with them every clip lasts 1 to 8 s."""
_READABLE = re.compile(r"[A-Za-z][A-Za-z ,.?!;:'-]*")
_CAPITALS = re.compile(r"\b[A-Z]{2,}\b")


@dataclass(frozen=True)
class Group:
    """Speakers who share a split.

    Args:
        split: train, dev, test, or nothing.
        source: EmoBank's split, whose sentences they speak, so that who learned to read there meets nothing old.
        speakers: how many.
        clips: of each.
    """

    split: str
    source: str
    speakers: int
    clips: int


GROUPS = {
    "simulated_a": (Group("train", "train", 28, 50), Group("dev", "dev", 8, 30), Group("test", "test", 10, 25)),
    "simulated_b": (Group("", "train", 10, 80),),
}
PROTOCOLS = {"simulated_a": "simulated_a-official", "simulated_b": "simulated_b-loso10"}


def make(
    name: str,
    emobank: Path,
    folder: Path,
    *,
    jobs: int = os.cpu_count() or 1,
    progress: Progress = no_progress,
) -> tuple[corpora.Corpus, Ceilings]:
    """Speak a simulated corpus, or what of it is not spoken yet.

    Args:
        name: `simulated_a` or `simulated_b`.
        emobank: EmoBank's folder or file.
        folder: where it goes; created.
        jobs: programs that speak at once.
        progress: told of each clip.

    Returns:
        The corpus, and its ceilings under its protocol (`PROTOCOLS`).

    Raises:
        ConfigError: if there is no simulated corpus of that name, or no espeak-ng.
        CorpusError: if EmoBank cannot be read, the folder was begun with something else, or a clip cannot be spoken.
    """
    if name not in GROUPS:
        raise ConfigError(not_called(name, GROUPS, "simulated corpus", kinds="simulated corpora"))
    program = espeak_version()
    table = plan(name, corpora.read("emobank", emobank))
    content = table.to_csv(index=False).encode()
    card = {
        "corpus": name,
        "version": simulated.VERSION,
        "espeak_ng": program,
        "labels_sha256": hashlib.sha256(content).hexdigest(),
    }
    _begin(folder, card)
    rows = table.to_dict("records")
    with ThreadPoolExecutor(jobs) as pool:  # of threads that wait for programs
        for done, _ in enumerate(pool.map(lambda row: speak(row, folder), rows), start=1):
            progress("clips", done, len(rows))
    write_whole(folder / LABELS, content)
    corpus = corpora.read(name, folder)
    folds = protocol.create(PROTOCOLS[name], corpus).folds
    known = ceilings(corpus, [fold.test for fold in folds])
    write_whole(folder / CARD, json_bytes({**card, "clips": len(rows), "ceilings": known}))
    return corpus, known


def espeak_version() -> str:
    """The version of espeak-ng on this machine.

    Raises:
        ConfigError: if it is not installed.
    """
    if shutil.which("espeak-ng") is None:
        raise ConfigError("the program espeak-ng is not installed; e.g. `apt-get install espeak-ng`")
    said = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"\d+(?:\.\d+)+", said)
    return match[0] if match else said.strip()


def _begin(folder: Path, card: dict[str, Any]) -> None:
    """See that a folder is new, or was begun with the same."""
    path = folder / CARD
    if path.is_file():
        begun = json.loads(path.read_text(encoding="utf-8"))
        if other := [key for key, value in card.items() if begun.get(key) != value]:
            raise CorpusError(
                f"{folder} was begun with {', '.join(f'{key} {begun.get(key)}' for key in other)}; this is "
                f"{', '.join(f'{key} {card[key]}' for key in other)}; take another folder"
            )
        return
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise CorpusError(f"{folder}: holds something else; give a new or an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, json_bytes(card))


# The plan


def plan(name: str, emobank: corpora.Corpus) -> pd.DataFrame:
    """What a simulated corpus will be: a row a clip, with the columns of `labels.csv`.

    Args:
        name: of the corpus.
        emobank: as read.

    Raises:
        CorpusError: if EmoBank has too few sentences.
    """
    chosen = _chosen(emobank)
    rows = []
    first = {"simulated_a": 0, "simulated_b": sum(group.speakers for group in GROUPS["simulated_a"])}[name]
    number = 0
    for group in GROUPS[name]:
        sentences = chosen[name, group.split]
        for index in range(group.speakers):
            speaker = f"{name[-1]}{number + 1:02d}"
            voice = _voice_name(first + number)
            for sentence in sentences[index :: group.speakers]:
                rows.append(_clip(name, speaker, voice, group.split, sentence))
            number += 1
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Sentence:
    """A sentence of EmoBank: its id, what is spoken of it, and what it says of each dimension."""

    id: str
    text: str
    words: tuple[float, ...]


def spoken(text: str) -> str | None:
    """A sentence as it is spoken; None if it is too short, too long, or not made of words alone.

    Example:
        >>> spoken('"Remember what she said in my last letter? "'), spoken("Up 3.5%.")
        ('Remember what she said in my last letter?', None)
    """
    text = " ".join(text.replace('"', "").split())
    fits = WORD_COUNT[0] <= len(text.split()) <= WORD_COUNT[1] and LENGTH[0] <= len(text) <= LENGTH[1]
    return text if fits and _READABLE.fullmatch(text) and not _CAPITALS.search(text) else None


def unspoken(emobank: Path, said: Iterable[corpora.Corpus]) -> pd.DataFrame:
    """EmoBank's own table without what some corpora say: what a reader of words may learn before it is tried on them.

    EmoBank has some sentences more than once: compared are texts, as they are spoken and in lower case, and not ids.

    Args:
        emobank: its file.
        said: simulated corpora.

    Raises:
        CorpusError: if it is not EmoBank, or one of the others is no simulated corpus.
    """
    said = list(said)
    if strange := [corpus.name for corpus in said if not corpus.info.simulated]:
        raise CorpusError(f"{strange[0]} is no simulated corpus; expected what `affetto corpora make` made")
    corpora.read("emobank", emobank)
    table = pd.read_csv(emobank, dtype=str, keep_default_na=False)
    known = {text.lower() for corpus in said for text in corpus.transcripts if text is not None}
    return table[[(spoken(text) or text).lower() not in known for text in table["text"]]]


def _chosen(emobank: corpora.Corpus) -> dict[tuple[str, str], list[Sentence]]:
    """The sentences of each group of each corpus; none is in two.

    Most of EmoBank says next to nothing, so those that say more are likelier to be taken: one by one, with chances in
    proportion to a tenth plus their mean square (weighted sampling without replacement, Efraimidis and Spirakis, 2006).
    """
    found: dict[str, list[Sentence]] = {}
    seen: set[str] = set()
    table = emobank.table
    for (file, _, _), row in zip(table.index, table.to_dict("records"), strict=True):
        text = spoken(row["transcript"])
        if text is not None and text.lower() not in seen:
            seen.add(text.lower())
            words = tuple(_stretched(row[name], *WORDS[name]) for name in DIMENSIONS)
            found.setdefault(row["split"], []).append(Sentence(file, text, words))
    result: dict[tuple[str, str], list[Sentence]] = {}
    for source in ("train", "dev", "test"):
        wanted = [(name, group) for name in GROUPS for group in GROUPS[name] if group.source == source]
        total = sum(group.speakers * group.clips for _, group in wanted)
        taken = sorted(found.get(source, []), key=_luck)[:total]
        if len(taken) < total:
            raise CorpusError(f"emobank: {len(taken)} sentences of {source} can be spoken; expected {total} or more")
        taken.sort(key=lambda sentence: _uniform("order", sentence.id))
        for name, group in wanted:
            size = group.speakers * group.clips
            result[name, group.split] = taken[:size]
            del taken[:size]
    return result


def _luck(sentence: Sentence) -> float:
    """The smaller, the earlier a sentence is taken."""
    weight = 0.1 + sum(value**2 for value in sentence.words) / len(sentence.words)
    return -math.log(_uniform("choice", sentence.id)) / weight


def _stretched(rating: float, centre: float, spread: float) -> float:
    return _limited((rating - centre) / spread)


def _clip(name: str, speaker: str, voice: str, split: str, sentence: Sentence) -> dict[str, Any]:
    """A clip's row: its truth, its ratings, and how it is spoken."""
    drawn = [_normal("voice", dimension, name, sentence.id) for dimension in DIMENSIONS]
    ratings = {}
    for dimension, words, heard in zip(DIMENSIONS, sentence.words, drawn, strict=True):
        share = SHARES[dimension]
        error = RATER_ERROR / math.sqrt(RATERS) * _normal("raters", dimension, name, sentence.id)
        ratings[dimension] = _rating(name, math.sqrt(share) * words + math.sqrt(1 - share) * heard + error)
    told = {}
    for control, gains in VOICE.items():
        departure = SPEAKER_NOISE * _normal("speaker", control, speaker)
        departure += CLIP_NOISE * _normal("clip", control, name, sentence.id)
        told[control] = _told(control, _limited(departure + sum(g * d for g, d in zip(gains, drawn, strict=True))))
    return {
        "file": f"{speaker}/{sentence.id}.wav",
        "emotion": category(name, ratings["valence"], ratings["arousal"]),
        "speaker": speaker,
        "split": split,
        **ratings,
        "transcript": sentence.text,
        "sentence": sentence.id,
        "voice": voice,
        **told,
        **{f"words_{name}": round(value, 4) for name, value in zip(DIMENSIONS, sentence.words, strict=True)},
        **{f"voice_{name}": round(value, 4) for name, value in zip(DIMENSIONS, drawn, strict=True)},
    }


def _rating(name: str, value: float) -> float:
    """A rating on the corpus's scale, of a value in standard deviations."""
    low, high = corpora.get(name).info.dimensions["valence"]
    return round(min(max((low + high) / 2 + UNITS[name] * value, low), high), 3)


def category(name: str, valence: float, arousal: float) -> str:
    """The category of ratings: by quadrant, but neutral in the middle and where a pleasant voice is calm.

    Example:
        >>> [category("simulated_a", *ratings) for ratings in ((6, 6), (2, 6), (2, 2), (6, 2), (4.5, 3.5))]
        ['happiness', 'anger', 'sadness', 'neutral', 'neutral']
    """
    low, high = corpora.get(name).info.dimensions["valence"]
    v, a = ((rating - (low + high) / 2) / UNITS[name] for rating in (valence, arousal))
    if max(abs(v), abs(a)) < NEUTRAL or (v >= 0 and a < 0):
        return "neutral"
    return ("happiness" if v >= 0 else "anger") if a >= 0 else "sadness"


def _told(control: str, value: float) -> int:
    """What espeak-ng is told of a control, of a value in standard deviations within `LIMIT`."""
    return round(
        {
            "rate": 170 * 2 ** (0.2 * value),  # 120 to 240 words a minute
            "pitch": 50 + 16 * value,  # 10 to 90; about half an octave down or up
            "range": 100 + 36 * value,  # 10 to 190 %
            "amplitude": 36 * 10 ** (3.2 * value / 20),  # 3.2 dB each; 14 to 90, so that nothing clips
        }[control]
    )


def _voice_name(number: int) -> str:
    """espeak-ng's name of a speaker's voice; 60 speakers differ."""
    turn, variant = divmod(number, len(VARIANTS))
    return f"{ACCENTS[(turn + number) % len(ACCENTS)]}+{VARIANTS[variant]}"


def _limited(value: float) -> float:
    return min(max(value, -LIMIT), LIMIT)


def _uniform(*words: str) -> float:
    """A number above 0 and below 1 that belongs to some words."""
    digest = hashlib.sha256(" ".join(("simulated", str(simulated.VERSION), *words)).encode()).digest()
    return (int.from_bytes(digest[:6], "big") + 0.5) / 2**48


def _normal(*words: str) -> float:
    """A number that belongs to some words, as if drawn from the standard normal distribution."""
    return NormalDist().inv_cdf(_uniform(*words))


# Speaking


def speak(row: dict[str, Any], folder: Path) -> None:
    """Speak a clip, unless it is there."""
    path = folder / row["file"]
    if path.is_file():
        return
    path.parent.mkdir(exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    speech = f'<speak><prosody range="{row["range"]}%">{html.escape(row["transcript"], quote=False)}</prosody></speak>'
    options = [("-v", "voice"), ("-s", "rate"), ("-p", "pitch"), ("-a", "amplitude")]
    command = ["espeak-ng", "-m", "-z", "-w", str(part), *(f"{flag}{row[column]}" for flag, column in options)]
    said = subprocess.run([*command, "--stdin"], input=speech.encode(), capture_output=True)
    if said.returncode or said.stderr or not part.is_file():
        raise CorpusError(f"espeak-ng cannot speak {row['file']}: {said.stderr.decode(errors='replace').strip()}")
    part.replace(path)


# What could be known


def ceilings(corpus: corpora.Corpus, tests: Sequence[Sequence[int]]) -> Ceilings:
    """What perfect readers of the voice, of the words, and of both reach on some clips.

    A reader knows exactly what its side of the clips says of all dimensions, how clips are made, and nothing of the
    other side or of the raters' errors. On dimensions it answers with the mean of what the rating can be, stretched to
    the spread of the ratings: no answer that rests on the same knowledge has a higher CCC, which is then the
    correlation. On categories it answers with the one whose probability is the highest in proportion to its frequency,
    which no answer beats on UAR. Both hold on the average; on some clips in particular luck may be better.

    Args:
        corpus: a simulated one.
        tests: the rows of each fold's test clips.

    Returns:
        The readers' scores, mean over folds.
    """
    table = corpus.table
    known = {part: table[[f"{part}_{name}" for name in DIMENSIONS]].to_numpy() for part in ("words", "voice")}
    shares = np.array([SHARES[name] for name in DIMENSIONS])
    words, voice = known["words"] * np.sqrt(shares), known["voice"] * np.sqrt(1 - shares)  # (n, 3) each
    means = {"voice": voice + words.mean(0), "words": words, "joint": words + voice}
    result = {}
    for reader, mean in means.items():
        answers = _categories(reader, words, voice, table["emotion"])
        scores: dict[str, list[float]] = {name: [] for name in (*DIMENSIONS, "ua")}
        for rows in map(list, tests):
            for column, name in enumerate(DIMENSIONS):
                truth = table[name].to_numpy()
                stretched = (mean[:, column] - mean[:, column].mean()) / mean[:, column].std() * truth.std()
                scores[name].append(metrics.ccc(truth[rows], truth.mean() + stretched[rows]))
            scores["ua"].append(metrics.uar(table["emotion"].iloc[rows].tolist(), answers[rows].tolist()))
        result[reader] = {name: round(float(np.mean(values)), 4) for name, values in scores.items()}
    return result


def _categories(reader: str, words: Array, voice: Array, emotions: "pd.Series[str]") -> npt.NDArray[np.str_]:
    """A perfect reader's categories of all clips, (n,), from both sides' parts of the truth, (n, 3) each."""
    error = RATER_ERROR / math.sqrt(RATERS)
    shares = np.array([SHARES[name] for name in DIMENSIONS])
    if reader == "joint":
        chances = _chances(words + voice, np.full(3, error))
    elif reader == "words":  # the voice is drawn from normal distributions
        chances = _chances(words, np.sqrt(1 - shares + error**2))
    else:  # the words are those of any clip
        chances = np.mean([_chances(voice + other, np.full(3, error)) for other in words], axis=0)
    frequencies = {name: float((emotions == name).mean()) for name in ("anger", "happiness", "neutral", "sadness")}
    there = [number for number, share in enumerate(frequencies.values()) if share]
    best = (chances[:, there] / [list(frequencies.values())[number] for number in there]).argmax(axis=1)
    answers: npt.NDArray[np.str_] = np.array(list(frequencies))[there][best]
    return answers


def _chances(mean: Array, deviation: Array) -> Array:
    """Probabilities of anger, happiness, neutral and sadness, (n, 4), where the dimensions are normally distributed.

    Args:
        mean: (n, 3); dominance is not looked at.
        deviation: (3,).
    """
    below = {edge: ndtr((edge - mean) / deviation) for edge in (-NEUTRAL, 0.0, NEUTRAL)}
    low, high = below[0.0], 1 - below[0.0]  # (n, 3) each
    near_low, near_high = low - below[-NEUTRAL], below[NEUTRAL] - low  # within the middle square
    v, a = 0, 1
    anger = low[:, v] * high[:, a] - near_low[:, v] * near_high[:, a]
    happiness = high[:, v] * high[:, a] - near_high[:, v] * near_high[:, a]
    sadness = low[:, v] * low[:, a] - near_low[:, v] * near_low[:, a]
    return np.stack([anger, happiness, 1 - anger - happiness - sadness, sadness], axis=1)
