// A recording that is sent, and what is heard in it.

const LARGE = 40_000_000; // bytes, above which it is first tried as a long recording
const ASK = 1000; // milliseconds between questions after a long one
const AGAIN = 3000; // milliseconds before a server that cannot be reached is tried again

// What the server, or this page, says is wrong.
export class Problem extends Error {
  constructor({ what, got, expected }, status) {
    super([`${what[0].toUpperCase()}${what.slice(1)}.`, got && `Got: ${got}.`, expected && `Expected: ${expected}.`]
      .filter(Boolean).join(" "));
    this.status = status;
  }
}

const pause = (milliseconds, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, milliseconds);
  signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
});

export function headers(token) {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

// What is heard in a file. told(text, share): called with what goes on, and how much of it is done, if that is known.
export async function analyse(file, { words, split, baseline, token, signal, told }) {
  const query = new URLSearchParams({
    words, channels: split ? "split" : "mix", baseline: baseline ? "running" : "none",
  });
  const form = new FormData();
  form.append("file", file);
  const post = (address) => ask(`${address}?${query}`, { method: "POST", body: form }, { token, signal, told });
  told("Listening ...");
  const [first, second] = file.size > LARGE ? ["v1/jobs", "v1/analyze"] : ["v1/analyze", "v1/jobs"];
  let answer;
  try {
    answer = await post(first);
  } catch (error) {
    if (error.status !== 413 && !(error.status === 404 && first === "v1/jobs")) throw error;
    answer = await post(second).catch((other) => { throw other.status === 404 ? error : other; });
  }
  return "utterances" in answer ? answer : follow(answer, { token, signal, told });
}

// A long recording's result, when it is done.
async function follow({ id }, { token, signal, told }) {
  const address = `v1/jobs/${id}`;
  const forget = () => fetch(address, { method: "DELETE", headers: headers(token) }).catch(() => {});
  signal.addEventListener("abort", forget, { once: true });
  for (;;) {
    const job = await ask(address, {}, { token, signal, told });
    if (job.state === "done") {
      forget();
      return job.result;
    }
    if (job.state === "failed") throw new Problem(job.problem);
    told(job.state === "waiting" ? "Waiting for its turn ..." : "Listening ...", job.progress);
    await pause(ASK, signal);
  }
}

// The server's answer, as soon as it can be had.
async function ask(address, request, { token, signal, told }) {
  for (let refused = false; ;) {
    let answer;
    try {
      answer = await fetch(address, { ...request, signal, headers: headers(token) });
    } catch (error) {
      if (signal.aborted) throw error;
      // A server that starts between the two questions is no refusal; one that does it twice is.
      const there = await reachable();
      if (there && refused) throw new Problem({ what: "the recording could not be sent" });
      refused = there;
      if (there) continue;
      told("The server cannot be reached; trying again ...");
      await pause(AGAIN, signal);
      continue;
    }
    if (answer.ok) return answer.json();
    if (answer.status !== 429) throw new Problem(await answer.json(), answer.status);
    const seconds = Number(answer.headers.get("Retry-After")) || 1;
    told(`The server is busy; trying again in ${seconds} s ...`);
    await pause(1000 * seconds, signal);
  }
}

async function reachable() {
  try {
    return (await fetch("healthz")).ok;
  } catch {
    return false;
  }
}
