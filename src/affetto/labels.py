"""The names of emotions: one spelling each, whatever a corpus calls them.

Categories are lower-case English nouns. A corpus file maps its own codes to them; nothing else in the package knows a
corpus's codes. Ratings on dimensions keep their corpus's scale.
"""

CATEGORIES = (
    "anger",
    "boredom",
    "calm",
    "contempt",
    "disgust",
    "excitement",
    "fear",
    "frustration",
    "happiness",
    "neutral",
    "other",
    "sadness",
    "surprise",
)
"""Every category that a corpus may carry, sorted. Models keep their classes in this (alphabetical) order."""

DIMENSIONS = ("valence", "arousal", "dominance")
"""Every dimension that a corpus may rate, in the order in which they stand everywhere."""

SYNONYMS = {
    "angry": "anger",
    "bored": "boredom",
    "disgusted": "disgust",
    "excited": "excitement",
    "afraid": "fear",
    "anxiety": "fear",
    "fearful": "fear",
    "frustrated": "frustration",
    "happy": "happiness",
    "joy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
}
"""Other words that users write for a category."""

BETWEEN_CORPORA = {"excitement": "happiness"}
"""What a category counts as where corpora are joined; every other one counts as itself.

Excitement is happiness, as in the four classes that IEMOCAP is commonly reduced to (Busso et al., 2008, name both among
its categories), and as the reader of `iemocap` has it. Calm is not neutral: RAVDESS has both, calm as a second baseline
"perceptually like neutral, but ... perceived as having a mild positive valence" (Livingstone and Russo, 2018), so that
it is left out where the other corpus has none. Nor is boredom sadness, or frustration anger."""


def canonical(name: str) -> str:
    """The category meant by a user's word.

    Args:
        name: a category or a common synonym, in any case.

    Returns:
        The category; a word that is neither comes back stripped and in lower case, so that a table of a user's own
        may use classes of its own.

    Example:
        >>> canonical(" Happy")
        'happiness'
        >>> canonical("irony")
        'irony'
    """
    word = name.strip().lower()
    return SYNONYMS.get(word, word)


def between_corpora(category: str) -> str:
    """What a category counts as where corpora are joined.

    Example:
        >>> between_corpora("excitement"), between_corpora("calm")
        ('happiness', 'calm')
    """
    return BETWEEN_CORPORA.get(category, category)
