// What the buttons of the page do.

import { card } from "./about.js";
import { analyse, headers, Problem } from "./analysis.js";
import { rendered, save } from "./downloads.js";
import { Listening } from "./listening.js";
import { outline, record } from "./recording.js";
import { answer, band, bars, legend, make, row } from "./rows.js";

const LONGEST = 30 * 60; // seconds that are recorded: they lie in memory
const SHOWN = 20; // seconds of what is being recorded that are seen
const REDRAW = 200; // milliseconds

const player = new Player({
  nonce: at("script").nonce,
  absent: () => say(recorder ? "This can be heard when the recording has ended." : "The browser cannot play this recording."),
});

let model; // the server's, when it is known
let token = "";
let shown; // the analysis that is seen: { analysis, sound }
let recorder; // while there is one: { recording, stop, listening, ... }
let sending; // while a file is analysed: what cancels it

// What is said to the reader

function say(text) {
  if (at("said").textContent !== text) at("said").textContent = text;
}

function complain(text) {
  at("problem").textContent = text;
  at("problem").hidden = !text;
}

function progress(share) {
  at("progress").hidden = share === null;
  if (share) at("progress").value = share;
  else at("progress").removeAttribute("value");
}

// What can be done now. What cannot keeps the focus, which `disabled` would take away.

function enable(id, able) {
  at(id).setAttribute("aria-disabled", String(!able));
}
document.addEventListener("click", (event) => {
  if (!event.target.closest("[aria-disabled=true]")) return;
  event.preventDefault();
  event.stopPropagation();
}, { capture: true });

function arrange() {
  const recording = Boolean(recorder), still = !recording && !sending;
  enable("record", model && !sending && !recorder?.starting);
  at("record").textContent = !recording ? "Record" : recorder.stopped ? "Do without the rest" : "Stop";
  at("record").classList.toggle("on", recording);
  enable("choose", model && still);
  at("cancel").hidden = !sending;
  at("live").hidden = !recording;
  for (const id of ["playing", "downloads"]) at(id).hidden = recording;
}

// The model

async function meet() {
  let response;
  try {
    response = await fetch("v1/models", { headers: headers(token) });
  } catch {
    complain("The server cannot be reached.");
    setTimeout(meet, 3000);
    return;
  }
  if (response.status === 401) {
    complain(token ? "That is another token." : "");
    at("door").hidden = false;
    at("token").focus();
    return;
  }
  if (!response.ok) {
    complain(new Problem(await response.json()).message);
    return;
  }
  complain("");
  at("door").hidden = true;
  [model] = await response.json();
  at("with-words").hidden = !model.words;
  at("with-baseline").hidden = !model.baseline;
  at("card-text").replaceChildren(...card(model.card || `# ${model.name}\n\nThis model has no card.`));
  arrange();
}

at("door").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value;
  meet();
});
at("about").addEventListener("click", () => at("card").showModal());
at("close").addEventListener("click", () => at("card").close());

// What was heard

async function show(analysis, sound) {
  shown = { analysis, sound };
  const { utterances, seconds } = analysis;
  const lanes = 1 + Math.max(0, ...utterances.map((one) => one.channel ?? 0));
  const peaks = seconds < 4 * 3600 ? await outline(sound, lanes) : null;
  if (shown.analysis !== analysis) return; // another one came meanwhile
  at("result").hidden = false;
  at("name").textContent = analysis.file || "Recording";
  const judged = utterances.filter((one) => !one.reason).length;
  const count = `${utterances.length} ${utterances.length === 1 ? "utterance" : "utterances"}`;
  at("summary").textContent = utterances.length
    ? `${count} in ${clock(seconds)}${judged < utterances.length ? `, ${judged} of them judged` : ""}, heard by ${analysis.model}.`
    : `Nobody was found to speak in ${clock(seconds)}.`;
  at("damage").textContent = analysis.damage ? `The recording ${analysis.damage}.` : "";
  at("damage").hidden = !analysis.damage;
  at("names").replaceChildren(...(lanes > 1 ? Array.from({ length: lanes }, (_, n) => make("span", "", `channel ${n}`)) : []));
  at("utterances").replaceChildren(...utterances.map(row));
  at("legend").replaceChildren(...legend(utterances));
  at("wav").hidden = !analysis.live;
  hold(peaks && sound);
  player.load({ peaks: peaks ?? Array(lanes).fill([0, 0]), seconds, utterances: utterances.map(band) });
  say(`Done: ${utterances.length ? count : "nobody was found to speak"}.`);
  if (!peaks) complain("The browser cannot read this recording, and so neither draws nor plays it.");
}

// The sound that is played
function hold(sound) {
  const { audio } = player;
  if (audio.getAttribute("src")) {
    player.pause();
    URL.revokeObjectURL(audio.src);
    audio.removeAttribute("src");
  }
  if (sound) audio.src = URL.createObjectURL(sound);
}

at("downloads").addEventListener("click", (event) => {
  const { kind } = event.target.dataset;
  if (!kind) return;
  const { live, ...analysis } = shown.analysis;
  const name = analysis.file.replace(/\.[^.]*$/, "") || "recording";
  save(kind === "wav" ? shown.sound : rendered(analysis, kind), `${name}.${kind}`);
});

// A file

async function send(file) {
  if (recorder || sending || !model) return;
  sending = new AbortController();
  arrange();
  complain("");
  const told = (text, share) => { say(text); progress(share); };
  const { signal } = sending;
  try {
    const [words, split, baseline] = ["words", "split", "baseline"].map((name) => at(name).checked);
    const analysis = await analyse(file, { words, split, baseline, token, signal, told });
    await show({ ...analysis, file: file.name }, file); // forms change names with quotes
  } catch (error) {
    say(signal.aborted ? "Cancelled." : "");
    if (!signal.aborted) complain(`${file.name}: ${error.message}`);
  }
  sending = undefined;
  progress(null);
  arrange();
}

at("choose").addEventListener("change", () => {
  const [file] = at("choose").files;
  if (file) send(file);
  at("choose").value = ""; // so that the same one can be chosen again
});
at("cancel").addEventListener("click", () => {
  sending?.abort();
  at("choose").focus();
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const [file] = event.dataTransfer.files;
  if (file) send(file);
});

// The microphone

at("record").addEventListener("click", () => {
  if (!recorder) begin();
  else if (recorder.stopped) recorder.listening.abandon();
  else stop();
});

async function begin() {
  recorder = { starting: true, begun: new Date(), redrawn: 0 };
  arrange();
  complain("");
  say("Asking for the microphone ...");
  try {
    Object.assign(recorder, await record({ heard, ended: () => stop("The microphone is gone.") }));
  } catch (error) {
    recorder = undefined;
    say("");
    complain(error.message);
    return arrange();
  }
  recorder.starting = false;
  hold(null);
  recorder.move = bars(at("bars"), model.labels, model.gives);
  recorder.listening = new Listening(recorder.recording, { words: model.words && at("words").checked, token, tell });
  for (const id of ["utterances", "legend", "names"]) at(id).replaceChildren();
  at("name").textContent = "Recording";
  at("summary").textContent = `The last ${SHOWN} seconds`;
  at("damage").hidden = true;
  at("result").hidden = false;
  at("now").textContent = "Nobody speaks.";
  at("voice").textContent = "";
  say("Recording. Speak.");
  arrange();
}

// More was recorded.
function heard() {
  if (!recorder?.listening) return;
  recorder.listening.pump();
  if (Date.now() - recorder.redrawn > REDRAW && !recorder.stopped) draw();
  if (recorder.recording.seconds > LONGEST) stop(`${clock(LONGEST)} are recorded, and no more; choose a file for more.`);
}

function draw() {
  const { recording, listening, open } = recorder;
  const from = recording.seconds - SHOWN;
  const seen = open ? [...listening.results, { ...open, end: recording.seconds }] : listening.results;
  recorder.redrawn = Date.now();
  const utterances = seen.filter((one) => one.end > from).map(band);
  player.load({ peaks: [recording.outline(SHOWN)], seconds: SHOWN, utterances, from, still: false });
}

async function stop(why) {
  if (!recorder || recorder.stopped) return;
  const { listening } = recorder;
  recorder.stopped = true;
  arrange();
  if (why) complain(why);
  say("Listening to the rest ...");
  await recorder.stop();
  listening.finish();
}

// What the server says while we speak.
function tell(event) {
  const { listening } = recorder;
  if (event.type === "session.ready") {
    if (recorder.lost) say("The connection is back. Nothing was lost; answers may be late for a while.");
    recorder.lost = false;
  } else if (event.type === "utterance.start") {
    recorder.open = { start: event.start, channel: null, emotion: null, reason: null };
    at("now").textContent = "Somebody speaks ...";
  } else if (event.type === "measurement.update") {
    recorder.open = { ...event, channel: null, reason: null };
    recorder.move(event);
    at("now").textContent = `${answer(event)}, for now.${event.interval > 1 ? " The server is busy." : ""}`;
    know(event.baseline);
  } else if (event.type === "measurement.result") {
    recorder.open = null;
    if (event.emotion) recorder.move(event);
    at("now").textContent = `${answer(event)}.`;
    at("utterances").append(row(event, listening.results.length - 1));
    at("legend").replaceChildren(...legend(listening.results));
    say(`${clock(event.start)}: ${answer(event)}`);
    know(event.baseline);
  } else if (event.type === "lost") {
    recorder.lost = true;
    recorder.open = null;
    at("now").textContent = "";
    const why = event.problem ? ` (${event.problem.what})` : "";
    const more = recorder.stopped ? "" : "The recording goes on; ";
    say(`The connection to the server is lost${why}. ${more}${more ? "t" : "T"}rying again ...`);
  } else if (event.type === "failed") {
    complain(new Problem(event.problem).message);
    stop().then(() => listening.abandon());
  } else if (event.type === "over") {
    conclude(event.unheard);
  }
}

// How well the voice is known to a model that hears others beside what is usual for them.
function know({ seconds, enough }) {
  if (!seconds) return;
  at("voice").textContent = enough ? "Compared with this voice's own." : `${Math.round(seconds)} s of this voice are known.`;
}

async function conclude(unheard) {
  const { recording, listening, begun } = recorder;
  recorder = undefined;
  arrange();
  const utterances = listening.results.map(({ type, utterance, heard, baseline, ...one }) => one);
  const time = new Date(begun - 60000 * begun.getTimezoneOffset()).toISOString().slice(0, 19).replaceAll(":", ".");
  const analysis = {
    file: `recording ${time.replace("T", " ")}.wav`, seconds: recording.seconds, model: model.name, labels: model.labels,
    utterances, damage: unheard > 0.5 ? `was not heard in its last ${Math.round(unheard)} s` : null, live: true,
  };
  await show(analysis, recording.file);
}

arrange();
meet();
