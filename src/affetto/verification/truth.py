"""Predictions and protocol against the corpus itself."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from affetto import protocol
from affetto.corpora.base import Corpus
from affetto.corpora.joint import join
from affetto.errors import CorpusError, ProtocolError
from affetto.labels import DIMENSIONS
from affetto.scores import JSON
from affetto.verification.comparer import Comparer, equal
from affetto.verification.folder import PROTOCOL

SAYS = "the corpus says"


def check_corpus(
    corpus: Corpus, definition: JSON, results: JSON, table: pd.DataFrame | None, comparer: Comparer
) -> None:
    """Truth, speakers and the protocol against the corpus itself."""
    names = protocol.row_keys(corpus.table)
    keys: list[str] = []
    if table is not None:
        known = dict(zip(names, corpus.table.itertuples(index=False), strict=True))
        keys = [protocol.row_key(*row) for row in zip(table["file"], table["start"], table["end"], strict=True)]
        for number, what in enumerate(_contradictions(keys, known, table)):
            if number == 3:
                comparer.fault("corpus", "and others")
                break
            comparer.fault("corpus", what)
    if "learned_from" in definition:
        _elsewhere(corpus, definition, names, keys, table, comparer)
        return
    config = results.get("config")
    name = config.get("protocol") if isinstance(config, dict) else None
    try:
        dealt = protocol.create(str(name), corpus, transductive=bool(results.get("transductive")))
        now = dealt.definition
    except (ProtocolError, CorpusError) as error:
        comparer.fault("corpus", str(error))
        return
    for key in ("manifest_sha256", "folds_sha256"):
        comparer.same(results.get(key), now[key], key, SAYS)
    comparer.same(definition, now, PROTOCOL, SAYS)
    if table is not None:
        planned = {fold.name: {names[row] for row in fold.test} for fold in dealt.folds}
        for seed in results["seeds"]:
            for fold, clips in planned.items():
                here = ((table["fold"] == fold) & (table["seed"] == seed)).tolist()
                tested = {key for key, yes in zip(keys, here, strict=True) if yes}
                comparer.true(tested == clips, "corpus", f"fold {fold}, seed {seed} tests other clips than planned")


def read_others(corpus: Corpus, results: JSON) -> bool:
    """Whether the models that were tested read other transcripts than the corpus's own."""
    words = results.get("words")
    return isinstance(words, dict) and words.get("sha256") != corpus.transcripts_sha256


def _elsewhere(
    corpus: Corpus,
    definition: JSON,
    names: list[str],
    keys: list[str],
    table: pd.DataFrame | None,
    comparer: Comparer,
) -> None:
    """The tested clips of models that learned from another corpus, against the tested one.

    Args:
        corpus: the tested one.
        definition: of the transfer.
        names: what the corpus's clips are called.
        keys: what the clips of the predictions are called.
        table: of predictions.
        comparer: of what differs.
    """
    comparer.same(definition.get("manifest_sha256"), corpus.manifest_sha256(), f"{PROTOCOL}.manifest_sha256", SAYS)
    try:
        tested = {names[row] for row in protocol.tested(corpus, str(definition.get("clips")))}
    except (ProtocolError, CorpusError) as error:
        comparer.fault("corpus", str(error))
        return
    if table is not None:
        for (seed, fold), part in pd.Series(keys).groupby([table["seed"].to_numpy(), table["fold"].to_numpy()]):
            comparer.true(set(part) == tested, "corpus", f"fold {fold}, seed {seed} tests other clips than planned")


def asked(given: tuple[Corpus, ...], definition: JSON, results: JSON, comparer: Comparer) -> Corpus | None:
    """The corpus that results are of, or the joint one; None if it, or a part of it, is not among those given."""
    known = {corpus.name: corpus for corpus in given}
    if "trained" not in definition:
        return known.get(str(results.get("corpus")))
    needed = {*map(str, definition["trained"]), str(definition.get("tested"))}
    if not needed <= set(known):
        return None
    try:
        return join([known[name] for name in needed], definition.get("classes"))
    except CorpusError as error:
        comparer.fault("corpus", str(error))
        return None


def _contradictions(keys: list[str], known: dict[str, Any], table: pd.DataFrame) -> Iterator[str]:
    for number, key in enumerate(keys):
        if key not in known:
            yield f"has no clip {key}"
            continue
        own = known[key]
        if "truth" in table and table["truth"].iloc[number] != own.emotion:
            yield f"{key} is {own.emotion}, the file says {table['truth'].iloc[number]}"
        for label in (label for label in DIMENSIONS if f"{label}_truth" in table):
            rating, stored = getattr(own, label, math.nan), table[f"{label}_truth"].iloc[number]
            if not equal(float(stored), float(rating)):
                yield f"{key}: its {label} is {rating}, the file says {stored}"
        speaker = None if pd.isna(own.speaker) else own.speaker
        if table["speaker"].iloc[number] != speaker:
            yield f"{key} is said by {speaker}, the file says {table['speaker'].iloc[number]}"
