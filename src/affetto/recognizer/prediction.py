"""What a recogniser says of a recording."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Prediction:
    """What a recogniser heard in one recording.

    Args:
        file: the recording's name as it was given; "" for arrays and bytes.
        start, end: seconds of the stretch that was heard.
        probabilities: category -> probability; they sum to 1. Empty if the model gives none.
        dimensions: dimension -> rating, on the scale that the model was trained on. Empty if the model gives none.
        notes: what a careful listener would want to know about the recording, in words.
        flags: why the answer is not to be trusted, of `flags.FLAGS`; mostly none.
        label_set: the categories among which the truth nearly always is, likeliest first. Empty where `reliable` is
            None.
        reliable: whether the model is sure, as calibrated, and there are no flags. None if it is not calibrated, or the
            answer is provisional.
    """

    file: str
    start: float
    end: float
    probabilities: dict[str, float] = field(default_factory=dict)
    dimensions: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    label_set: tuple[str, ...] = ()
    reliable: bool | None = None

    @property
    def emotion(self) -> str:
        """The likeliest category.

        Raises:
            AttributeError: if the model gives no categories.
        """
        if not self.probabilities:
            raise AttributeError(f"no emotion: the model gives {', '.join(self.dimensions)} and no categories")
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def confidence(self) -> float:
        """The likeliest category's probability."""
        return self.probabilities[self.emotion]

    @property
    def trust(self) -> str:
        """How far to trust the answer: its flags, or else "sure" or "unsure"; "" if that is not known."""
        if self.flags:
            return ", ".join(flag.replace("_", " ") for flag in self.flags)
        return {True: "sure", False: "unsure", None: ""}[self.reliable]

    @property
    def row(self) -> dict[str, str | float | bool]:
        """`file`, `start`, `end`; `emotion`, `confidence` and one probability a category, or the dimensions; `flags`.

        Before the flags, `label_set` and `reliable` of a calibrated model. What is several words is put between spaces.
        """
        row: dict[str, str | float | bool] = {"file": self.file, "start": self.start, "end": self.end}
        if self.probabilities:
            row |= {"emotion": self.emotion, "confidence": self.confidence}
        row |= {**self.probabilities, **self.dimensions}
        if self.reliable is not None:
            row |= {"label_set": " ".join(self.label_set), "reliable": self.reliable}
        return {**row, "flags": " ".join(self.flags)}
