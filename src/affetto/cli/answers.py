"""How predictions are written: a table, CSV, JSON."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.markup import escape

from affetto.cli.console import out, shares, shares_table
from affetto.errors import ConfigError

if TYPE_CHECKING:
    from affetto.recognizer import Prediction, Recognizer


class Writer:
    """Predictions in one of the formats; csv and jsonl line by line as they come.

    Args:
        kind: table, csv, json or jsonl.
        recognizer: what predicts.
        stream: where to write.
    """

    def __init__(self, kind: str, recognizer: "Recognizer", stream: TextIO) -> None:
        import csv

        self.kind, self.stream = kind, stream
        self.heard: list[Prediction] = []
        self.labels, self.gives = recognizer.labels, recognizer.checkpoint.task.gives
        self.csv = csv.writer(stream, lineterminator="\n")
        if kind == "csv":
            self.csv.writerow(recognizer.columns)

    def write(self, prediction: "Prediction") -> None:
        """Take the next one."""
        if self.kind == "csv":
            values = prediction.row.values()
            self.csv.writerow([f"{value:.6f}" if isinstance(value, float) else value for value in values])
        elif self.kind == "jsonl":
            self.stream.write(json.dumps(self._nested(prediction), ensure_ascii=False) + "\n")
        else:
            self.heard.append(prediction)

    def close(self) -> None:
        """Write what is written at the end alone."""
        if self.kind == "json":
            nested = [self._nested(each) for each in self.heard]
            self.stream.write(json.dumps(nested, indent=1, ensure_ascii=False) + "\n")
        elif self.kind == "table" and self.heard:
            self._table()
        self.stream.flush()

    def _nested(self, prediction: "Prediction") -> dict[str, Any]:
        """The row with its probabilities, or its ratings, under one key, rounded to six digits; sets as lists."""
        row: dict[str, Any] = {key: value for key, value in prediction.row.items() if key not in self.labels}
        if prediction.probabilities:
            row["confidence"] = round(prediction.confidence, 6)
        if "label_set" in row:
            row["label_set"] = list(prediction.label_set)
        del row["flags"]
        rounded = {label: round(answer, 6) for label, answer in _answers(prediction).items()}
        return {**row, str(self.gives): rounded, "flags": list(prediction.flags)}

    def _table(self) -> None:
        words = ("file", "emotion") if self.gives == "probabilities" else ("file",)
        table = shares_table(*words, labels=self.labels)
        table.add_column("trust")
        for each in self.heard:
            row, own = each.row, _answers(each)
            numbers = shares(own) if self.gives == "probabilities" else [f" {rating:.2f}" for rating in own.values()]
            table.add_row(*(escape(str(row[word])) for word in words), *numbers, trust(each))
        (out if self.stream is sys.stdout else Console(file=self.stream, width=160)).print(table)


def _answers(prediction: "Prediction") -> dict[str, float]:
    """The probabilities, or the ratings."""
    return prediction.probabilities or prediction.dimensions


def trust(prediction: "Prediction | None") -> str:
    """How far to trust an answer, for a table: flags stand out."""
    if prediction is None:
        return ""
    return f"[yellow]{prediction.trust}[/]" if prediction.flags else prediction.trust


def format_of(format: str | None, path: Path | None) -> str:
    """The format that is asked for, or that a file's ending names; table without either.

    Raises:
        ConfigError: if there is no such format.
    """
    kinds = ("table", "csv", "json", "jsonl")
    kind = format or (path.suffix.lstrip(".").lower() if path is not None and path.suffix else "table")
    if kind not in kinds:
        asked = f"--format {format}" if format else f"--out {path}: the ending names no format"
        raise ConfigError(f"{asked}; expected one of {', '.join(kinds)}")
    return kind
