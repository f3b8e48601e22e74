"""From a protocol's name to the protocol."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from affetto.corpora.base import Corpus
from affetto.corpora.joint import Joint
from affetto.errors import ProtocolError, not_called
from affetto.protocol.across import across, is_across, parse
from affetto.protocol.base import Protocol
from affetto.protocol.published import (
    emodb_loso10,
    iemocap_loso10,
    ravdess_6fold,
    ravdess_test_half,
    ravdess_tuning_half,
    simulated_a_official,
    simulated_b_loso10,
)
from affetto.protocol.rules import (
    bill,
    leave_one_session_out,
    leave_one_speaker_out,
    official,
    random_draws,
    speaker_kfold,
)
from affetto.protocol.table import from_table

Rule = Callable[[Corpus], Protocol]

_FIXED: dict[str, Rule] = {
    "emodb-loso10": emodb_loso10,
    "iemocap-loso10": iemocap_loso10,
    "ravdess-6fold": ravdess_6fold,
    "ravdess-actors1to12": ravdess_tuning_half,
    "ravdess-actors13to24": ravdess_test_half,
    "simulated_a-official": simulated_a_official,
    "simulated_b-loso10": simulated_b_loso10,
}
_RULES: dict[str, Rule] = {
    "leave-one-speaker-out": leave_one_speaker_out,
    "leave-one-session-out": leave_one_session_out,
    "official": official,
    "bill-none": partial(bill, shared=(), name="bill-none"),
    "bill-sentences": partial(bill, shared=("sentence",), name="bill-sentences"),
    "bill-speakers": partial(bill, shared=("speaker",), name="bill-speakers"),
    "bill-both": partial(bill, shared=("speaker", "sentence"), name="bill-both"),
}


def names() -> tuple[str, ...]:
    """What `create` takes; a rule may also be written after its corpus, as in emodb-random80."""
    numbered = ("official-test<number>", "speaker-<k>fold", "random<percent>")
    return (*_FIXED, *_RULES, *numbered, "<splits>.csv", "<train>-on-<test>-<clips>")


def create(name: str, corpus: Corpus, *, transductive: bool = False) -> Protocol:
    """The protocol called `name` on a corpus.

    Args:
        name: one of `names()` with numbers for <k> and <percent>, or the path of a table of splits (`splits`).
        corpus: what is dealt out.
        transductive: whether features are standardised with each speaker's own unlabelled clips, those of test
            included; the id then says so. The same is meant by a name that ends in `-transductive`.

    Raises:
        ProtocolError: if there is no such protocol, or the corpus does not allow it.
        CorpusError: if a table of splits cannot be read.
    """
    rule = name.removesuffix("-transductive")
    protocol = _rule(rule, corpus)(corpus)
    if transductive or rule != name:
        stem, _, version = protocol.id.rpartition("-")
        protocol = replace(protocol, id=f"{stem}-transductive-{version}", transductive=True)
    return protocol


def _rule(name: str, corpus: Corpus) -> Rule:
    if name.endswith(".csv"):
        return partial(from_table, Path(name))
    if is_across(name):
        return partial(_across, name)
    rule = name.removeprefix(f"{corpus.name}-")
    for fixed in (name, f"{corpus.name}-{rule}"):  # by whichever name, so that an id has one definition
        if fixed in _FIXED:
            return _FIXED[fixed]
    if rule in _RULES:
        return _RULES[rule]
    if match := re.fullmatch(r"official-(test\d+)", rule):
        return partial(official, test=match[1])
    if match := re.fullmatch(r"speaker-(\d+)fold", rule):
        return partial(speaker_kfold, k=int(match[1]))
    if match := re.fullmatch(r"random([1-9]\d)", rule):
        return partial(random_draws, percent=int(match[1]))
    raise ProtocolError(not_called(name, names(), "protocol"))


def _across(name: str, corpus: Corpus) -> Protocol:
    """The protocol of a joint corpus, whose tested clips are those of a protocol of one of its parts."""
    _, tested, clips = parse(corpus, name)
    assert isinstance(corpus, Joint)
    return across(corpus, name, None if clips == "all" else create(clips, corpus.parts[tested]))
