"""A results file, verified."""

from dataclasses import dataclass
from pathlib import Path

from affetto.corpora.base import Corpus
from affetto.errors import ConfigError
from affetto.verification.comparer import Comparer
from affetto.verification.folder import PROTOCOL, SHAPE, beside, load
from affetto.verification.numbers import check_numbers, predictions_of
from affetto.verification.origin import check_names, check_protocol, scoring_of, settings_of
from affetto.verification.trainings import check_cells
from affetto.verification.truth import asked, check_corpus, read_others


@dataclass(frozen=True)
class Verification:
    """What came of verifying a results file.

    Args:
        path: of the file.
        numbers: how many of its numbers were computed anew.
        faults: what is wrong, a line each; none for a file in order.
        notes: what could not be compared, a line each.
    """

    path: Path
    numbers: int
    faults: tuple[str, ...]
    notes: tuple[str, ...] = ()


def verify(path: Path, *given: Corpus) -> Verification:
    """Compute every number of a results file anew, and compare.

    Args:
        path: of the JSON; its predictions lie beside it as CSV, its protocol as `protocol.json`, its cells below.
        given: corpora to compare truth, speakers and folds with; without the one that was tested (and, across corpora,
            those that were learned from) they are taken as the file has them.

    Returns:
        The faults that were found; notes if the results are another corpus's, with which they are not compared, or were
        made from other transcripts than the corpus's own.

    Raises:
        ConfigError: if there is no results file.
    """
    results = load(path, expected="what `affetto benchmark` writes")
    for key in SHAPE:
        if key not in results:
            raise ConfigError(f"{path}: is not a results file, it has no '{key}'")
    here = path.parent.resolve() / path.name  # a file may be named from inside its folder
    comparer, notes = Comparer(), []
    scoring = scoring_of(results, comparer)
    if scoring is not None:
        check_names(here, results, comparer)
        stated = settings_of(results, comparer)
        definition = beside(here.with_name(PROTOCOL), "protocol", comparer)
        table = predictions_of(here.with_suffix(".csv"), results, scoring, comparer)
        if table is not None:
            check_numbers(table, results, scoring, comparer)
        check_protocol(definition, stated, results, table, comparer)
        check_cells(here.parent / "cells" / here.stem, definition, results, scoring, table, comparer)
        corpus = asked(given, definition, results, comparer)
        if corpus is not None:
            check_corpus(corpus, definition, results, table, comparer)
            if read_others(corpus, results):
                notes.append("the words are not the corpus's own: they were given, with --transcripts")
        elif given:
            names = ", ".join(each.name for each in given)
            notes.append(f"the results are {results.get('corpus')}'s: {names} was not compared with them")
    return Verification(path, comparer.numbers, tuple(comparer.faults), tuple(notes))
