// What was heard, as the page shows it. Names and words are text wherever they stand, never HTML.

const COLOURS = JSON.parse(document.getElementById("colours").textContent);
const GREY = { colour: "#8e9399", ink: "#000000" };

const FLAGS = {
  too_short: "too short to be sure",
  silent: "hardly any sound",
  noisy: "noisy",
  clipped: "clipped: too loud for the microphone",
  not_speech: "hardly any speech",
  out_of_domain: "unlike all that the model has heard",
};

export const percent = (share) => `${Math.round(100 * share)} %`;
const plain = (name) => name.replaceAll("_", " ");

export function colour(emotion) {
  return COLOURS[emotion] ?? COLOURS.other;
}

export function make(tag, className, ...content) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...content);
  return element;
}

// `anger 81 %`; `valence 2.10, arousal 3.50`; `not judged: silent`.
export function answer(utterance) {
  if (utterance.emotion) return `${utterance.emotion} ${percent(utterance.confidence)}`;
  if (utterance.reason) return `not judged: ${plain(utterance.reason)}`;
  return Object.entries(utterance.dimensions).map(([name, rating]) => `${name} ${rating.toFixed(2)}`).join(", ");
}

// Who speaks, as far as that is known.
export function voice({ speaker, channel }) {
  return speaker ?? (channel === null ? "" : `channel ${channel}`);
}

// What the player draws of an utterance.
export function band(utterance) {
  const { start, end, emotion, confidence, reason } = utterance;
  const look = emotion ? colour(emotion) : GREY;
  return { start, end, lane: utterance.channel ?? 0, kind: emotion ?? (reason ? "?" : ""), sure: confidence ?? 0, ...look };
}

// An utterance in the list.
export function row(utterance, number) {
  const button = make("button", "", make("span", "time", clock(utterance.start)));
  button.type = "button";
  button.dataset.start = utterance.start;
  button.dataset.end = utterance.end;
  if (voice(utterance)) button.append(" ", make("span", "voice", voice(utterance)));
  if (utterance.emotion) {
    const chip = make("span", "chip", utterance.emotion);
    chip.style.background = colour(utterance.emotion).colour;
    chip.style.color = colour(utterance.emotion).ink;
    button.append(" ", chip, " ", make("span", "sure", percent(utterance.confidence)));
  } else {
    button.append(" ", make("span", utterance.reason ? "soft" : "sure", answer(utterance)));
  }
  if (utterance.words) button.append(" ", make("span", "words", utterance.words));
  const more = remarks(utterance);
  if (more) button.append(" ", make("span", "more", more));
  const item = make("li", "", button);
  item.id = `u${number}`;
  return item;
}

// Why to be careful with an answer, in words; "" for no reason.
function remarks({ emotion, flags, label_set, notes, reliable }) {
  const others = label_set.filter((label) => label !== emotion);
  const unsure = reliable === false && !flags.length ? ["the model is not sure"] : [];
  const besides = others.length ? [`perhaps ${others.join(" or ")}`] : unsure;
  return [...besides, ...flags.map((flag) => FLAGS[flag] ?? plain(flag)), ...notes].join("; ");
}

export function legend(utterances) {
  const heard = [...new Set(utterances.map((one) => one.emotion).filter(Boolean))].sort();
  const items = heard.map((emotion) => {
    const swatch = make("span", "swatch");
    swatch.style.background = colour(emotion).colour;
    return make("li", "", swatch, emotion);
  });
  if (items.length) items.push(make("li", "soft", "the higher the tint, the surer the model"));
  if (utterances.some((one) => one.reason)) items.push(make("li", "soft", "?: not judged"));
  return items;
}

// A bar for each category, or a number for each dimension; move(answer) moves them.
export function bars(list, labels, gives) {
  const rows = labels.map((label) => {
    const fill = make("span"), number = make("span", "number", "–");
    fill.style.background = colour(label).colour;
    const track = make("span", "track", ...(gives === "probabilities" ? [fill] : []));
    return { label, fill, number, item: make("li", "", make("span", "", label), track, number) };
  });
  list.replaceChildren(...rows.map(({ item }) => item));
  return ({ probabilities, dimensions, emotion }) => {
    for (const { label, fill, number, item } of rows) {
      const share = probabilities[label] ?? 0;
      fill.style.setProperty("--share", share);
      number.textContent = gives === "probabilities" ? percent(share) : (dimensions[label] ?? 0).toFixed(2);
      item.classList.toggle("most", label === emotion);
    }
  };
}
