// What was heard as files: the same that the server gives of an analysis. They are made here, so that there are some of
// what was said live, and when the server is gone.

import { voice } from "./rows.js";

const KINDS = { csv: "text/csv", json: "application/json", vtt: "text/vtt" };
const WRITERS = { csv, json: (analysis) => `${JSON.stringify(analysis, null, 1)}\n`, vtt };

// An analysis as a file of a kind: csv, json, vtt.
export function rendered(analysis, kind) {
  return new Blob([WRITERS[kind](analysis)], { type: KINDS[kind] });
}

// Have the browser save a file. Names are the browser's to clean.
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function csv({ file, labels, utterances }) {
  const emotions = utterances.some((one) => one.emotion) || !utterances.some((one) => Object.keys(one.dimensions).length);
  const heard = emotions ? ["emotion", "confidence", ...labels] : labels;
  const columns = ["file", "start", "end", "channel", "speaker", ...heard, "words", "reason", "flags"];
  const lines = utterances.map((one) => {
    const known = { ...one.probabilities, ...one.dimensions, ...one, file, flags: one.flags.join(" ") };
    return columns.map((column) => cell(known[column], column));
  });
  return [columns, ...lines].map((line) => `${line.map(quoted).join(",")}\n`).join("");
}

function cell(value, column) {
  if (typeof value === "number" && column !== "channel") return value.toFixed(6);
  return String(value ?? "");
}

function quoted(text) {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function vtt({ utterances }) {
  const cues = utterances.map((one) => {
    const words = one.words?.split(/\s+/).filter(Boolean).join(" ");
    const text = escaped(words ? `${caption(one)}\n${words}` : caption(one));
    const spoken = voice(one) ? `<v ${escaped(voice(one))}>${text}` : text;
    return `\n${time(one.start)} --> ${time(one.end)}\n${spoken}\n`;
  });
  return `WEBVTT\n${cues.join("")}`;
}

function caption(one) {
  if (one.reason) return `not judged: ${one.reason}`;
  const heard = one.emotion
    ? `${one.emotion} ${(100 * one.confidence).toFixed(0)} %`
    : Object.entries(one.dimensions).map(([name, rating]) => `${name} ${rating.toFixed(2)}`).join(", ");
  const doubt = one.flags.map((flag) => flag.replaceAll("_", " ")).join(", ") || (one.reliable === false ? "unsure" : "");
  return doubt ? `${heard} (${doubt})` : heard;
}

function time(seconds) {
  const milliseconds = Math.round(1000 * seconds), pad = (value, digits) => String(Math.floor(value)).padStart(digits, "0");
  return `${pad(milliseconds / 3_600_000, 2)}:${pad((milliseconds / 60_000) % 60, 2)}:` +
    `${pad((milliseconds / 1000) % 60, 2)}.${pad(milliseconds % 1000, 3)}`;
}

function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
