"""IEMOCAP, the Interactive Emotional Dyadic Motion Capture database: ten actors converse in pairs, in English.

Made by C. Busso and others at the SAIL laboratory of the University of Southern California. A man and a woman in each
of five sessions play scripts and improvise; at least three raters gave each of the 10,039 utterances (12 hours, 16 kHz
mono) a category, and two or more its valence, arousal and dominance on scales of five points.

    Source    https://sail.usc.edu/iemocap/
    Licence   its own, on request: for research
    Citation  Busso et al. (2008), IEMOCAP: interactive emotional dyadic motion capture database, Language Resources
              and Evaluation 42(4), 335-359

Two corpora are read from the one release. `iemocap` is what the field scores, the first paper's Table 3 included: 5,531
utterances in four classes, where happiness is happiness and excitement. `iemocap-full` is all 10,039 with each label as
it was given, for work on dimensions; 2,507 have no category, because the raters did not agree on one. They are two
names, not one corpus with a switch, because a number on the one must never pass for a number on the other.

A name is `Ses01F_impro01_M003.wav`: session 1, the dialogue in which the woman wears the markers, improvisation 01, the
man's utterance 003. Who speaks is told by the letter of the last part alone; the letter after the session is the
markers'. Dialogues may have a letter of their own (`impro05a`, `script01_1b`), so positions in a name tell nothing.

This reader was written from published descriptions of the layout and tested on a toy copy of it, never on the corpus.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import audformat
import pandas as pd

from affetto.corpora.base import Corpus, CorpusInfo, not_found, register
from affetto.errors import CorpusError

EMOTIONS: dict[str, str | None] = {
    "ang": "anger",
    "dis": "disgust",
    "exc": "excitement",
    "fea": "fear",
    "fru": "frustration",
    "hap": "happiness",
    "neu": "neutral",
    "oth": "other",
    "sad": "sadness",
    "sur": "surprise",
    "xxx": None,
}
"""From IEMOCAP's codes to categories; xxx is for utterances on which the raters did not agree."""
FOUR_CLASSES: dict[str, str | None] = {
    "ang": "anger",
    "exc": "happiness",
    "hap": "happiness",
    "neu": "neutral",
    "sad": "sadness",
}
"""The codes that the field scores, as categories (the first paper, section 4.1.2)."""
KINDS = {"impro": "improvised", "script": "scripted"}
SEXES = {"F": "female", "M": "male"}

INFO = CorpusInfo(
    name="iemocap",
    title="IEMOCAP, Interactive Emotional Dyadic Motion Capture database (four classes)",
    language="eng",
    licence="IEMOCAP's own, for research",
    source="https://sail.usc.edu/iemocap/",
    citation="Busso et al. (2008), IEMOCAP: interactive emotional dyadic motion capture database, Language Resources "
    "and Evaluation 42(4), 335-359",
    layout=(
        "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt",
        "Session1/dialog/transcriptions/Ses01F_impro01.txt",
        "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav",
    ),
    categories={"anger": 1103, "happiness": 1636, "neutral": 1708, "sadness": 1084},
    dimensions={"valence": (1, 5), "arousal": (1, 5), "dominance": (1, 5)},
    speakers={f"Ses0{session}{letter}": (sex, None) for session in range(1, 6) for letter, sex in SEXES.items()},
    caveat="Ten actors, one language, a laboratory; utterances on which raters did not agree or that carry another "
    "emotion are left out: on other voices, languages, microphones and on mixed feelings expect less.",
)
FULL = replace(
    INFO,
    name="iemocap-full",
    title="IEMOCAP, all 10,039 utterances (7,532 with a category)",
    categories={
        "anger": 1103,
        "disgust": 2,
        "excitement": 1041,
        "fear": 40,
        "frustration": 1849,
        "happiness": 595,
        "neutral": 1708,
        "other": 3,
        "sadness": 1084,
        "surprise": 107,
    },
    caveat="Ten actors, one language, a laboratory: on other voices, languages and microphones expect less.",
)

_NAME = re.compile(rf"((Ses0[1-5])[FM]_({'|'.join(KINDS)})\d\d[ab]?(?:_\d[ab]?)?)_([FM])\d{{3}}(?:\.wav)?")
_NUMBER = r"(\d+\.\d+)"
_LABEL = re.compile(rf"\[[\d.]+ - [\d.]+\]\t(\w+)\t({'|'.join(EMOTIONS)})\t\[{_NUMBER}, {_NUMBER}, {_NUMBER}\]")
_TURN = re.compile(r"(\w+) \[[\d.]+-[\d.]+\]:(.*)")


@dataclass(frozen=True)
class Name:
    """What the name of an utterance of IEMOCAP states, in words."""

    dialogue: str
    session: str
    kind: str
    speaker: str
    sex: str


def parse(name: str) -> Name:
    """What the name of an utterance of IEMOCAP states.

    Args:
        name: with or without `.wav`, without folders.

    Raises:
        CorpusError: if the name is not made by IEMOCAP's key.

    Example:
        >>> parse("Ses05M_script01_1b_F012.wav")
        Name(dialogue='Ses05M_script01_1b', session='Ses05', kind='scripted', speaker='Ses05F', sex='female')
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise CorpusError(
            f"iemocap: {name} is not a name of IEMOCAP; expected e.g. Ses01F_impro01_M003: session 01 (of 01 to 05), "
            "markers on F, improvisation 01, speaker M, utterance 003"
        )
    dialogue, session, kind, letter = match.groups()
    return Name(dialogue, session, KINDS[kind], session + letter, SEXES[letter])


@register(INFO)
def read(root: Path) -> Corpus:
    """The four classes of IEMOCAP from the folder that holds `Session1/` and so on, or from the one around it.

    The table has the columns emotion, speaker (session and letter, as in Ses01F), sex, session, dialogue, kind
    (improvised or scripted), code (IEMOCAP's own label), valence, arousal, dominance (means over raters, on scales of
    five points) and transcript (missing without `dialog/transcriptions`).

    Args:
        root: the corpus's folder, or the one that holds `IEMOCAP_full_release/`.

    Returns:
        The 5,531 utterances, or as many of them as have a label there. Whether their files exist is for
        `corpora.check` to say.

    Raises:
        CorpusError: if there are no labels, or one cannot be understood.
    """
    return _read(root, INFO, FOUR_CLASSES)


@register(FULL, by_name=True)
def read_full(root: Path) -> Corpus:
    """All of IEMOCAP, with the columns of `read`; where raters did not agree, emotion is missing.

    Args:
        root: as for `read`.

    Returns:
        The 10,039 utterances, or as many of them as have a label there.

    Raises:
        CorpusError: if there are no labels, or one cannot be understood.
    """
    return _read(root, FULL, EMOTIONS)


def _read(root: Path, info: CorpusInfo, emotions: dict[str, str | None]) -> Corpus:
    """The utterances whose code is one of `emotions`, in the order of their files' names."""
    inner = root / "IEMOCAP_full_release"
    folder = inner if inner.is_dir() else root
    rows: dict[str, dict[str, str | float | None]] = {}
    for path in sorted(folder.glob("Session[1-5]/dialog/EmoEvaluation/Ses*.txt")):  # its folders hold single raters
        spoken = _transcripts(path.parents[1] / "transcriptions" / path.name)
        for utterance, code, ratings in _labels(path):
            if code not in emotions:
                continue
            name = parse(utterance)
            file = f"{path.parts[-4]}/sentences/wav/{name.dialogue}/{utterance}.wav"
            rows[file] = {
                "emotion": emotions[code],
                "speaker": name.speaker,
                "sex": name.sex,
                "session": name.session,
                "dialogue": name.dialogue,
                "kind": name.kind,
                "code": code,
                **ratings,
                "transcript": spoken.get(utterance),
            }
    if not rows:
        raise not_found(info, root, "no labels")
    files = sorted(rows)
    table = pd.DataFrame([rows[file] for file in files], index=audformat.segmented_index(files))
    return Corpus(info, folder, table)


def _labels(path: Path) -> list[tuple[str, str, dict[str, float]]]:
    """(utterance, code, ratings) of each utterance in a file of labels.

    A label is a line that begins with a bracket; what single raters said follows it on lines that do not.
    """
    found = []
    for number, line in enumerate(_lines(path), start=1):
        if not line.startswith("["):
            continue
        match = _LABEL.fullmatch(line.rstrip())
        if match is None:
            raise CorpusError(
                f"iemocap: {path}, line {number} is '{line}'; expected e.g. '[6.2901 - 8.2357] Ses01F_impro01_F000 neu "
                f"[2.5000, 2.5000, 2.5000]' with tabs, and one of the codes {', '.join(EMOTIONS)}"
            )
        utterance, code, valence, arousal, dominance = match.groups()  # in this order on disk
        ratings = {"valence": float(valence), "arousal": float(arousal), "dominance": float(dominance)}
        found.append((utterance, code, ratings))
    return found


def _transcripts(path: Path) -> dict[str, str]:
    """Turn -> what was said; empty if the file is missing. Turns without sound (_FXX0) and bare remarks have no label.

    Example of a line: `Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.`
    """
    if not path.is_file():
        return {}
    matches = (_TURN.fullmatch(line) for line in _lines(path))
    return {match[1]: match[2].strip() for match in matches if match}


def _lines(path: Path) -> list[str]:
    """Lines of a file whose encoding nobody states: a stray byte in a remark must not cost the corpus."""
    return path.read_text(encoding="utf-8", errors="replace").splitlines()
