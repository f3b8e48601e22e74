"""Transcripts made wrong to a given word error rate, to see what a model that reads them makes of an ASR's errors.

Words are replaced, left out, or followed by one too many; new ones are drawn from all words of the transcripts, as
often as they stand there. An ASR errs otherwise: it takes words for ones that sound alike, and errs most where speech
is hard to hear. What a model loses by these errors is therefore no forecast for an ASR of the same rate, but a curve of
how much it leans on its words.
"""

import random
from collections.abc import Sequence

from affetto.asr import normalise, word_error_rate
from affetto.errors import ConfigError

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
    said = [None if text is None else text.split() for text in transcripts]
    places = [(row, at) for row, words in enumerate(said) for at, word in enumerate(words or ()) if normalise(word)]
    vocabulary = [said[row][at] for row, at in places]  # type: ignore[index]  # places are those of known words
    if len({normalise(word) for word in vocabulary}) < 2:
        raise ConfigError("transcripts of fewer than two different words cannot be made wrong")
    drawn = random.Random(seed)
    drawn.shuffle(places)
    errors = {place: _error(said[place[0]][place[1]], vocabulary, drawn) for place in places}  # type: ignore[index]

    def with_errors(count: int) -> list[str | None]:
        chosen = set(places[:count])
        return [
            None if words is None else " ".join(_heard(words, row, chosen, errors)) for row, words in enumerate(said)
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
