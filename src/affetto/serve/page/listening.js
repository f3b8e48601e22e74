// A recording's way to the server while it grows, and what the server says of it.
//
// Where the connection is lost, another one is made, and everything after the last utterance that was judged is sent
// again: the recording is here. Times and numbers of utterances are those of the recording.

const WAITS = [500, 1000, 2000, 4000, 8000]; // milliseconds before another try; the last one again and again
const STALLED = 15000; // milliseconds in which nothing could be sent, after which a connection is lost
const AHEAD = 500_000; // bytes that wait to be sent, at most
const UPDATE = 0.5; // seconds between provisional answers

export class Listening {
  results = []; // utterances that were judged
  #socket;
  #ready = false;
  #origin = 0; // the sample that the connection began with
  #sent = 0; // samples that were sent
  #done = 0; // samples up to which everything was judged
  #base = 0; // the number of the connection's first utterance
  #ending = false;
  #over = false;
  #told = false; // whether the server knows that it has everything
  #tries = 0;
  #problem = null; // what the server said was wrong
  #moved = 0; // when it was last seen that something was sent
  #waiting = 0; // bytes then
  #timer;

  // tell(event): called for the server's events, and for {type: "lost", seconds, problem}, {type: "failed", problem} and,
  // last, {type: "over", unheard: seconds}.
  constructor(recording, { words, token, tell }) {
    this.recording = recording;
    this.words = words;
    this.token = token;
    this.tell = tell;
    this.#timer = setInterval(() => this.pump(), 250);
    this.#connect();
  }

  // Send what there is to send.
  pump() {
    if (!this.#ready) return;
    const { recording } = this;
    while (this.#sent < recording.samples && this.#socket.bufferedAmount < AHEAD) {
      const last = Math.min(this.#sent + recording.rate, recording.samples);
      this.#socket.send(recording.cut(this.#sent, last));
      this.#sent = last;
    }
    if (this.#ending && !this.#told && this.#sent === recording.samples) {
      this.#told = true;
      this.#socket.send(JSON.stringify({ type: "session.end" }));
    }
    const waiting = this.#socket.bufferedAmount;
    if (waiting === 0 || waiting < this.#waiting) this.#moved = Date.now();
    this.#waiting = waiting;
    if (Date.now() - this.#moved > STALLED) this.#lost();
  }

  // The recording is whole: what is left is sent, and then it is over.
  finish() {
    this.#ending = true;
    this.pump();
  }

  // Do without what was not heard.
  abandon() {
    this.#close();
    this.tell({ type: "over", unheard: (this.recording.samples - this.#done) / this.recording.rate });
  }

  #connect() {
    this.#origin = this.#sent = this.#done;
    this.#base = this.results.length;
    this.#told = false;
    this.#problem = null;
    this.#moved = Date.now();
    this.#waiting = 0;
    const address = new URL("v1/stream", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = this.#socket = new WebSocket(address);
    const { rate: sample_rate } = this.recording;
    socket.onopen = () => socket.send(JSON.stringify({
      type: "session.start", sample_rate, update_interval: UPDATE, words: this.words, token: this.token || null,
    }));
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    socket.onclose = ({ code }) => this.#closed(code);
  }

  #hear(event) {
    for (const key of ["start", "end", "heard"]) {
      if (typeof event[key] === "number") event[key] += this.#origin / this.recording.rate;
    }
    if ("utterance" in event) event.utterance += this.#base;
    if (event.type === "session.ready") {
      this.#ready = true;
      this.#tries = 0;
    } else if (event.type === "measurement.result") {
      this.results.push(event);
      this.#done = Math.min(Math.round(event.end * this.recording.rate), this.recording.samples);
    } else if (event.type === "session.end" && this.#told) {
      this.#close();
      return this.tell({ type: "over", unheard: 0 });
    } else if (event.type === "session.end") { // the server stops, and has judged what came
      this.#done = this.#origin + Math.min(Math.round(event.seconds * this.recording.rate), this.#sent - this.#origin);
      return;
    } else if (event.type === "error") {
      this.#problem = event;
      return;
    }
    this.tell(event);
    this.pump();
  }

  #closed(code) {
    if (this.#over) return;
    const refused = this.#problem && !this.#ready && code !== 1013; // another try would end the same way
    if (!refused) return this.#lost();
    this.#close();
    this.tell({ type: "failed", problem: this.#problem });
  }

  #lost() {
    this.#drop();
    const wait = WAITS[Math.min(this.#tries++, WAITS.length - 1)];
    this.tell({ type: "lost", seconds: wait / 1000, problem: this.#problem });
    setTimeout(() => { if (!this.#over) this.#connect(); }, wait);
  }

  #close() {
    this.#over = true;
    clearInterval(this.#timer);
    this.#drop();
  }

  #drop() {
    this.#ready = false;
    this.#socket.onclose = this.#socket.onmessage = this.#socket.onopen = null;
    this.#socket.close();
  }
}
