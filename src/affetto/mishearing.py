"""Transcripts made wrong to a given word error rate, to see what a model that reads them makes of an ASR's errors.

Words are replaced, left out, or followed by one too many; new ones are drawn from all words of the transcripts, as
often as they stand there. An ASR errs otherwise: it takes words for ones that sound alike, and errs most where speech
is hard to hear. What a model loses by these errors is therefore no forecast for an ASR of the same rate, but a curve of
how much it leans on its words.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from affetto.asr import normalise, word_error_rate
from affetto.corpora.base import Corpus
from affetto.errors import AudioError, ConfigError
from affetto.progress import Progress, no_progress
from affetto.recognizer import Recognizer
from affetto.scores import DimensionScores
from affetto.tasks import Scale

SHARES = {"substitution": 0.6, "deletion": 0.2, "insertion": 0.2}
"""Of the errors. Recognisers mostly take one word for another."""
HIGHEST = 0.8
"""Word error rate up to which there are words enough to go wrong, each once."""


def mishear(transcripts: Sequence[str | None], rate: float, *, seed: int = 0) -> list[str | None]:
    """Transcripts with errors at random places, so many that their word error rate over all is nearest to a given one.

    With the same seed a higher rate has the errors of a lower one, and more.

    Args:
        transcripts: what was said; None, where that is not known, and "" stay as they are.
        rate: word error rate, as `asr.word_error_rate` counts it, from 0 to `HIGHEST`; 0 changes nothing.
        seed: of places, kinds and words.

    Raises:
        ConfigError: if the rate is out of range, the transcripts have fewer than two different words, or jiwer is not
            installed.
    """
    if not 0 <= rate <= HIGHEST:
        raise ConfigError(f"a word error rate of {rate:g} was asked for, expected 0 to {HIGHEST:g}")
    said = [(text or "").split() for text in transcripts]
    places = [(row, at) for row, words in enumerate(said) for at, word in enumerate(words) if normalise(word)]
    vocabulary = [said[row][at] for row, at in places]
    if len({normalise(word) for word in vocabulary}) < 2:
        raise ConfigError("transcripts of fewer than two different words cannot be made wrong")
    drawn = random.Random(seed)
    drawn.shuffle(places)
    errors = {place: _error(said[place[0]][place[1]], vocabulary, drawn) for place in places}

    def with_errors(count: int) -> list[str | None]:
        chosen = set(places[:count])
        return [
            None if transcripts[row] is None else " ".join(_heard(words, row, chosen, errors))
            for row, words in enumerate(said)
        ]

    def wrong(count: int) -> float:
        gold, heard = [text or "" for text in transcripts], [text or "" for text in with_errors(count)]
        return word_error_rate(gold, heard)[0]

    if rate == 0:
        return list(transcripts)
    # Two errors side by side may count as one, so that the number of errors is looked for.
    low, high = 0, len(places)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if wrong(middle) < rate else (low, middle)
    return with_errors(min((low, max(low - 1, 0)), key=lambda count: abs(wrong(count) - rate)))


def sweep(
    recognizer: Recognizer,
    corpus: Corpus,
    rates: Sequence[float],
    *,
    seed: int = 0,
    progress: Progress = no_progress,
) -> pd.DataFrame:
    """How well a model of dimensions rates a corpus, the more of its words are misheard.

    The model is as it was trained; what it is given to read changes, what it hears does not. Its answers are put on the
    corpus's scales.

    Args:
        recognizer: of a model that hears words and gives ratings.
        corpus: rated, with transcripts.
        rates: word error rates, from 0 on.
        seed: of the errors.
        progress: told of each clip.

    Returns:
        A row a rate: `model`, `rate`, `wer` (the rate that was reached), `n` (clips), and all scores of ratings; of a
        model that can do without words, a last one without them, whose `rate` and `wer` are missing.

    Raises:
        ConfigError: if the model hears no words, or gives no ratings.
        CorpusError: if there are no transcripts.
        AudioError: at the first clip that cannot be heard.
    """
    task, name = recognizer.checkpoint.task, recognizer.checkpoint.name
    if "words" not in recognizer.senses or task.gives != "dimensions":
        raise ConfigError(f"{name}: expected a model that hears words and gives ratings")
    corpus.check_transcripts()
    corpus = corpus.select(task.known(corpus.table))
    gold = [text or "" for text in corpus.transcripts]
    rows: list[dict[str, object]] = []
    asked = [*rates, *([math.nan] if "words" in recognizer.optional else [])]
    for rate in asked:
        wordless = math.isnan(rate)
        heard = [None] * len(corpus) if wordless else mishear(corpus.transcripts, rate, seed=seed)
        spoilt = replace(corpus, table=corpus.table.assign(transcript=pd.Series(heard, corpus.table.index, object)))
        answers: list[dict[str, float]] = []
        for answer, truth in zip(recognizer.predict_corpus(spoilt), task.truth(corpus.table), strict=True):
            if isinstance(answer, AudioError):
                raise answer
            progress("clips", len(rows) * len(corpus) + len(answers), len(asked) * len(corpus))
            answers.append({**_on_scales_of(corpus, answer.dimensions, task.scales), **truth})
        wer = math.nan if wordless else word_error_rate(gold, [text or "" for text in heard])[0]
        scores = DimensionScores(task.labels).of(pd.DataFrame(answers))
        rows.append({"model": name, "rate": rate, "wer": wer, "n": len(corpus), **scores})
    return pd.DataFrame(rows)


def _on_scales_of(corpus: Corpus, ratings: dict[str, float], scales: dict[str, Scale]) -> dict[str, float]:
    """Ratings from a model's own scales on a corpus's, end on end; as they are where the corpus states none."""
    moved = {}
    for name, rating in ratings.items():
        low, high = scales[name]
        new_low, new_high = corpus.dimensions.get(name, (low, high))
        moved[name] = new_low + (rating - low) / (high - low) * (new_high - new_low)
    return moved


def _error(word: str, vocabulary: Sequence[str], drawn: random.Random) -> list[str]:
    """What stands in a word's place when it is misheard."""
    kind = drawn.choices(list(SHARES), weights=list(SHARES.values()))[0]
    other = drawn.choice(vocabulary)
    while normalise(other) == normalise(word):
        other = drawn.choice(vocabulary)
    return {"substitution": [other], "deletion": [], "insertion": [word, other]}[kind]


def _heard(
    words: Sequence[str], row: int, chosen: set[tuple[int, int]], errors: dict[tuple[int, int], list[str]]
) -> list[str]:
    """The words of a transcript, of which the chosen ones are misheard."""
    return [new for at, word in enumerate(words) for new in (errors[row, at] if (row, at) in chosen else [word])]
