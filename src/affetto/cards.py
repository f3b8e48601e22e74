"""Model cards: what a checkpoint is, what it was trained on, how far to trust it, and what it must not be used for."""

from collections.abc import Mapping

from affetto.config import JSON
from affetto.labels import DIMENSIONS

INTENDED = (
    "research on speech emotion recognition, as a baseline and as a starting point",
    "tools that give people insight into recordings of themselves or of consenting speakers",
    "searching and summarising archives where a person checks what is found",
)
FORBIDDEN = (
    "inferring the emotions of employees or of pupils and students: Article 5(1)(f) of the EU AI Act forbids it",
    "decisions about a person (hiring, credit, insurance, policing, asylum, diagnosis)",
    "covert analysis of people who do not know of it or have not agreed",
)
QUOTED = {"wa": "WA {:.1%}", "ua": "UA {:.1%}"} | {f"ccc_{name}": f"CCC {{:.3f}} ({name})" for name in DIMENSIONS}
"""Scores that a card quotes, and how."""


def write(name: str, labels: tuple[str, ...], scales: Mapping[str, tuple[float, float]], provenance: JSON) -> str:
    """The card of a checkpoint, Markdown.

    Args:
        name: row id.
        labels: its classes, or its dimensions.
        scales: of the dimensions; empty for classes.
        provenance: as `affetto train` writes it.
    """
    trained = provenance["trained_on"]
    lines = [
        f"# {name}",
        "",
        _asked(labels, scales),
        "",
        f"Architecture: `{provenance['experiment']['model']['name']}`{_encoder(provenance)}.",
        "",
        "## Training data",
        "",
        f"{trained['title']} ({trained['licence']}), language {trained['language']}: "
        f"{trained['utterances']} utterances of {len(trained['speakers']) or 'unknown'} speakers.",
        f"Cite: {trained['citation']}",
    ]
    if trained["excluded"]:
        lines += ["", f"Kept out of training: {', '.join(trained['excluded'])}."]
    if "fold" in trained:
        lines += ["", f"Kept out of training: the test clips of fold {trained['fold']}."]
    if "adapted" in provenance:
        lines += ["", *adaptation(provenance["adapted"])]
    lines += ["", "## How far to trust it", "", expectation(provenance)]
    lines += [
        "",
        trained["caveat"],
        "What it gives is how a clip sounds to a model of such recordings, not what a person feels.",
        "",
        "## Intended uses",
        "",
        *(f"* {use}" for use in INTENDED),
        "",
        "## Forbidden uses",
        "",
        *(f"* {use}" for use in FORBIDDEN),
        "",
    ]
    return "\n".join(lines)


def write_pretrained(provenance: JSON) -> str:
    """The card of a pretrained speech BERT, Markdown.

    Args:
        provenance: as `affetto pretrain` writes it.
    """
    trained, encoder = provenance["trained_on"], provenance["experiment"]["model"]["encoder"]
    lines = [
        f"# {provenance['name']}",
        "",
        "A speech BERT (Mockingjay: Liu et al., ICASSP 2020) pretrained without labels: it predicts frames of speech "
        "that were struck out. It recognises nothing by itself; models of emotion begin from it "
        "(`encoder.weights` in an experiment).",
        "",
        f"Size: {encoder['layers']} layers of width {encoder['width']}, {encoder['heads']} heads, "
        f"{encoder['inputs']} features a frame. Weights of the encoder and of its predicting head, as float16.",
        "",
        "## Training data",
        "",
        f"{trained['title'].strip()}",
        "",
        f"{trained['recordings']:,} recordings, {trained['hours']:.2f} hours, in {provenance['steps']:,} steps; "
        f"{trained['held_out']:,} more were held out, {_HELD_OUT[trained['held_out_by']]}. No label was used.",
        *_stretches(provenance["experiment"]["training"]["crop"]),
        *([provenance["remark"]] if "remark" in provenance else []),
        "",
        "## How well it predicts",
        "",
        f"Mean absolute error of struck-out frames, on held-out recordings: {provenance['held_out_l1']:.4f} after "
        f"epoch {provenance['best_epoch']} of {len(provenance['epochs'])}. Each feature has mean 0 and deviation 1 "
        "over its recording, so predicting the mean alone gives about 0.8.",
        "",
        "![L1 by epoch](l1.png)",
        "",
        "![frames as they were, struck out, and filled in](frames.png)",
        "",
        "## Forbidden uses of what is made from it",
        "",
        *(f"* {use}" for use in FORBIDDEN),
        "",
    ]
    return "\n".join(lines)


_HELD_OUT = {
    "speakers": "by speakers that it has never heard",
    "files": "file by file: it may have learned from others of the same speakers",
}


def _stretches(seconds: float | None) -> list[str]:
    """What a card says of a crop in training."""
    if seconds is None:
        return []
    return [f"It learned from stretches of at most {seconds:g} s, and has never met what comes later in a recording."]


def _asked(labels: tuple[str, ...], scales: Mapping[str, tuple[float, float]]) -> str:
    """What a model was asked, in one sentence."""
    if not scales:
        return f"Hears which of {len(labels)} emotions a recording of speech carries: {', '.join(labels)}."
    rated = ", ".join(f"{name} ({low:g} to {high:g})" for name, (low, high) in scales.items())
    return f"Hears how a recording of speech would be rated on dimensions of emotion: {rated}."


def _encoder(provenance: JSON) -> str:
    """Where an encoder's weights come from, as an addition to a sentence."""
    model = provenance["experiment"]["model"]
    encoder = model.get("encoder", {})
    for words, how in ((encoder, "on what is said"), (model.get("words", {}), "on the voice and on what is said")):
        if words.get("name") == "text_bert":
            return f" {how}, read by {words['weights']}, {'fine-tuned' if words['trainable'] else 'frozen'}"
    if encoder.get("name") != "whisper":
        return ""
    way = "fine-tuned" if encoder["trainable"] else "frozen"
    layers = ", ".join(str(layer) for layer in encoder["outputs"])
    return f" on the states of layer {layers} of Whisper's encoder (OpenAI, Radford et al., 2022; MIT), {way}"


def adaptation(done: JSON) -> list[str]:
    """What a card says of an adaptation, in lines of Markdown.

    Args:
        done: as `affetto adapt` writes it into the provenance.
    """
    groups = f"{done['groups']} {'speakers' if done['by_speaker'] else 'files'}"
    counts = ", ".join(f"{label} {number}" for label, number in done["counts"].items())
    lines = [
        "## Adapted",
        "",
        f"The last layer was fitted anew on {done['clips']} clips ({counts}) of {groups}, near that of "
        f"{done['from']}: {done['recipe']}. All else is as it was. Whoever passes it on needs the right to pass on "
        "what was learned from these clips.",
        "",
        f"Nested cross-validation, {'speakers' if done['by_speaker'] else 'files'} held out: UA "
        f"{_share(done['after'], done['after_interval'])}; as it was, "
        f"{_share(done['before'], done['before_interval'])}; gain "
        f"{_points(done['after'] - done['before'], done['gain_interval'])} (95 % intervals).",
        "",
        "| clips learned from | UA of clips held out |",
        "| ---: | ---: |",
        *(f"| {clips} | {_share(ua)} |" for clips, ua in done["curve"]),
        "",
    ]
    if done["doubling"] is None:
        return [*lines, "There are too few clips to say what more would bring."]
    level = f"{100 * done['forecast_level']:.0f} % interval"
    ahead = "; ".join(f"{clips} clips {_share(ua, [low, high])}" for clips, ua, low, high in done["forecasts"])
    brought = _points(done["doubling"], done["doubling_interval"])
    more = f"Twice as many clips have brought {brought} ({level}). Going on like this: {ahead}. "
    return [*lines, more + "That is a straight line drawn on, and not a promise: gains shrink towards a ceiling."]


def _share(value: float, ends: list[float] | None = None) -> str:
    between = "" if ends is None else f" [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]"
    return f"{100 * value:.1f} %{between}"


def _points(value: float, ends: list[float] | None) -> str:
    between = "" if ends is None else f" [{100 * ends[0]:+.1f}, {100 * ends[1]:+.1f}]"
    return f"{100 * value:+.1f} points{between}"


def expectation(provenance: JSON) -> str:
    """What to expect for new speakers, in one sentence, from the results that the checkpoint was given."""
    expected = provenance.get("expected")
    if "adapted" in provenance:
        done = provenance["adapted"]
        kind = "speakers" if done["by_speaker"] else "clips"
        return (
            f"On {kind} of one's own recordings that were held out, it reached UA {_share(done['after'])}; "
            f"{done['from']}, which it was made from, {_share(done['before'])} there. "
            "Of recordings unlike these nothing is known."
        )
    if expected is None:
        return "Its recipe has not been measured on unseen speakers."
    seeds = "one seed" if expected["seeds"] == 1 else f"{expected['seeds']} seeds"
    return (
        f"On speakers of the same corpus that it has never heard ({expected['protocol']}, mean over folds, "
        f"{seeds}), this recipe reached {quoted(expected, ' and ')}."
    )


def quoted(expected: JSON, between: str) -> str:
    """The scores that a checkpoint's provenance expects of new speakers, with words between them.

    Example:
        >>> quoted({"seeds": 3, "wa": 0.941, "ua": 0.93}, " and ")
        'WA 94.1 % and UA 93.0 %'
    """
    found = [words.format(expected[name]) for name, words in QUOTED.items() if expected.get(name) is not None]
    return between.join(found).replace("%", " %")
