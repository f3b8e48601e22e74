import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affetto.recognizer import Prediction
from affetto.segments import Timeline, Utterance
from affetto.views import in_words, summarise
from affetto.views.summary import ENOUGH, departures, turns

LABELS = ("anger", "neutral", "sadness")


def heard(emotion: str, confidence: float = 0.8) -> Prediction:
    rest = (1 - confidence) / (len(LABELS) - 1)
    return Prediction("", 0, 1, {label: confidence if label == emotion else rest for label in LABELS})


def talk(*parts: tuple[str, float], pause: float = 1.0, **who) -> tuple[Utterance, ...]:
    """Utterances of so many seconds one after the other, each with an emotion, or with `-` and a reason."""
    at, found = 0.0, []
    for what, seconds in parts:
        judged = {"reason": what[1:]} if what.startswith("-") else {"prediction": heard(what)}
        found.append(Utterance(at, at + seconds, **judged, **who))
        at += seconds + pause
    return tuple(found)


def timeline(*utterances: Utterance, seconds: float = 100.0) -> Timeline:
    return Timeline("call.wav", seconds, tuple(sorted(utterances, key=lambda u: u.start)), "model", LABELS)


def test_shares_are_of_time_and_not_of_utterances():
    (voice,) = summarise(timeline(*talk(("anger", 6), ("neutral", 1), ("neutral", 1)))).voices
    assert voice.shares == {"anger": 0.75, "neutral": 0.25, "sadness": 0}
    assert (voice.seconds, voice.confidence) == (8, pytest.approx(0.8))


def test_voices_are_told_apart():
    anna, ben = talk(("anger", 4), speaker="anna"), talk(("sadness", 3), speaker="ben")
    found = summarise(timeline(*anna, *ben)).voices
    assert {voice.name: (voice.seconds, voice.shares["anger"]) for voice in found} == {"anna": (4, 1), "ben": (3, 0)}


def test_what_was_not_judged_is_told_with_its_reason():
    summary = summarise(timeline(*talk(("-too_short", 0.5), ("anger", 5), ("-noisy", 3), ("-noisy", 2)), seconds=20))
    assert [(group.reason, group.seconds) for group in summary.unjudged] == [("noisy", 5), ("too_short", 0.5)]
    assert summary.unjudged[1].stretches == ((0.0, 0.5),)
    assert summary.silence == pytest.approx(20 - 10.5)
    words = in_words(summary)
    assert "Not judged: noisy 0:05 (2), too short 0:00 (1)." in words
    assert "Nobody found to speak: 0:10." in words


def test_a_lasting_change_is_a_turn_and_an_outburst_is_none():
    calm, angry = [("neutral", 5)] * 6, [("anger", 5)] * 6
    (voice,) = summarise(timeline(*talk(*calm, *angry, pause=0))).voices
    assert [(turn.at, turn.before, turn.after) for turn in voice.turns] == [(30, "neutral", "anger")]
    (voice,) = summarise(timeline(*talk(*calm, ("anger", 10), *calm, pause=0))).voices
    assert voice.turns == ()
    (voice,) = summarise(timeline(*talk(*calm, ("anger", 15), *calm, pause=0))).voices
    assert [(turn.at, turn.after) for turn in voice.turns] == [(30, "anger"), (45, "neutral")]


def test_in_a_long_recording_a_turn_must_last_longer():
    calm = [("neutral", 10)] * 300
    (voice,) = summarise(timeline(*talk(*calm, ("anger", 60), *calm, pause=0), seconds=6060)).voices
    assert voice.turns == ()  # 60 s of 6,060
    (voice,) = summarise(timeline(*talk(*calm, ("anger", 240), *calm, pause=0), seconds=6240)).voices
    assert len(voice.turns) == 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.5, 20), st.tuples(*[st.floats(0.01, 1)] * 3)), min_size=1, max_size=6),
    st.floats(1, 20),
)
def test_the_turns_are_those_of_the_cheapest_of_all_divisions(parts, lasting):
    """Against every way to name each utterance, one by one."""
    said = talk(*(("neutral", seconds) for seconds, _ in parts))
    probabilities = np.array([np.array(p) / sum(p) for _, p in parts])

    def cost(names: tuple[int, ...]) -> float:
        wrong = sum(u.seconds * (1 - probabilities[i, k]) for i, (u, k) in enumerate(zip(said, names, strict=True)))
        return wrong + lasting * sum(a != b for a, b in itertools.pairwise(names))

    least = min(map(cost, itertools.product(range(3), repeat=len(said))))
    found = turns(said, probabilities, LABELS, lasting=lasting)
    starts = {turn.at: LABELS.index(turn.after) for turn in found}
    first = [LABELS.index(found[0].before)] if found else range(3)  # without a turn nothing says which it was
    chosen = [itertools.accumulate((u.start for u in said), lambda k, at: starts.get(at, k), initial=k) for k in first]
    assert min(cost(tuple(path)[1:]) for path in chosen) == pytest.approx(least)


def test_an_outburst_is_a_departure_from_the_voices_own_usual():
    calm = [("neutral", 2)] * 8
    said = talk(*calm, ("anger", 2), ("anger", 4), *calm, pause=0)
    (voice,) = summarise(timeline(*said)).voices
    assert voice.departures is not None
    (found,) = voice.departures
    assert (found.start, found.end, found.emotion, found.probability) == (16, 22, "anger", pytest.approx(0.8))
    assert found.usual == pytest.approx((32 * 0.1 + 6 * 0.8) / 38)
    (steady,) = summarise(timeline(*talk(*[("anger", 2)] * 20, pause=0))).voices
    assert steady.departures == ()  # who always sounds so does not depart


def test_too_little_speech_has_no_usual():
    said = talk(*[("neutral", 2)] * (ENOUGH - 1))
    assert departures(said, np.full((len(said), 3), 1 / 3), LABELS) is None
    assert "too little to know its usual sound" in in_words(summarise(timeline(*said)))


def test_ratings_are_averaged_over_time():
    rated = [
        Utterance(0, 3, prediction=Prediction("", 0, 3, dimensions={"valence": 2.0, "arousal": 5.0})),
        Utterance(4, 5, prediction=Prediction("", 4, 5, dimensions={"valence": 4.0, "arousal": 1.0})),
    ]
    summary = summarise(Timeline("a.wav", 5, tuple(rated), "model", ("valence", "arousal"), "dimensions"))
    assert summary.voices[0].dimensions == {"valence": 2.5, "arousal": 4.0}
    assert "rated valence 2.50, arousal 4.00 on average" in in_words(summary)


def test_words_say_how_it_sounds_and_what_is_forbidden():
    words = in_words(summarise(timeline(*talk(("anger", 6), ("neutral", 2), speaker="anna"))))
    assert words.startswith(
        "call.wav, 1:40, heard by model. This is how the voices sound to a model, not what anybody feels"
    )
    assert "anna: 0:08 judged\n  sounds anger 75 %, neutral 25 %; mean confidence 80 %" in words
    assert "employees, pupils or students (Article 5(1)(f) of the EU AI Act)" in words
    assert " feels " not in words.replace("not what anybody feels", "")


def test_nothing_heard_is_a_summary_too():
    summary = summarise(timeline(seconds=7))
    assert (summary.voices, summary.silence) == ((), 7)
    summary = summarise(timeline(*talk(("-noisy", 3)), seconds=7))
    assert summary.voices[0].seconds == 0
    assert "all speech: 0:00 judged" in in_words(summary)


def test_the_json_says_the_same():
    summary = summarise(timeline(*talk(*[("neutral", 5)] * 6, *[("anger", 5)] * 6, ("-noisy", 3))))
    read = json.loads(json.dumps(summary.to_json()))
    assert read["voices"][0]["turns"] == [{"at": 36.0, "before": "neutral", "after": "anger"}]
    assert read["voices"][0]["shares"] == {"anger": 0.5, "neutral": 0.5, "sadness": 0.0}
    assert read["unjudged"] == [{"reason": "noisy", "seconds": 3.0, "stretches": [[72.0, 75.0]]}]
    assert "forbidden" in read
