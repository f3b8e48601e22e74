"use strict";

// The waveform of a recording with bands of emotion below it, and the clicks, buttons and keys that play its utterances.
// Needs WaveSurfer with its Timeline, and the elements #wave, #audio, #clock, #before, #play, #after, #zoom and, of the
// utterances, #u0, #u1, ... with a button[data-start][data-end] in each.

const at = (id) => document.getElementById(id);

function clock(seconds) {
  const whole = Math.floor(seconds), pad = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`;
}

function colours() {
  const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  return { waveColor: ink("soft"), progressColor: ink("ink"), cursorColor: ink("mark") };
}

class Player {
  static #STEPS = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 36000]; // seconds

  #wave;
  #nonce; // of the page's policy
  #bands = document.createElement("div");
  #axis;
  #width = 0; // of the waveform when the time below it was marked
  #marked = true;
  #height = 0; // of a lane
  #seconds = 1;
  #peaks = [[0]];
  #utterances = [];
  #current = -1;
  #sought = null; // where it was told to play from, until it does: the browser still tells of times before

  // absent(start): called for a stretch that cannot be played, because #audio has no sound; start is undefined for all.
  constructor({ absent = () => {}, nonce } = {}) {
    this.audio = at("audio");
    this.absent = absent;
    this.#nonce = nonce;
    this.#bands.style.cssText = "position:absolute;inset:0;z-index:4";
    this.#listen();
  }

  // peaks: of each lane, parts of full scale; seconds: that they last; utterances: what is drawn, in seconds after `from`;
  // still: whether it stands, and the time is marked below it.
  load({ peaks, seconds, utterances, from = 0, still = true }) {
    this.#peaks = peaks;
    this.#seconds = seconds;
    this.#height = peaks.length > 2 ? 80 : 112;
    this.#marked = still;
    this.#utterances = utterances;
    if (still) this.#current = -1;
    this.#sought = null;
    const looks = colours();
    const drawn = { height: this.#height, cursorWidth: still ? 2 : 0, splitChannels: peaks.map(() => looks), ...looks };
    if (this.#wave) {
      this.#wave.setOptions(drawn);
      this.#wave.load(this.audio.getAttribute("src") ?? "", peaks, seconds).catch(() => {});
    } else {
      this.#create({ ...drawn, peaks, duration: seconds });
    }
    this.#bands.replaceChildren(...utterances.map((one, number) => this.#band(one, number, from)));
    document.querySelectorAll(".names span").forEach((name, lane) => { name.style.top = `${this.#height * lane}px`; });
    const most = Math.min(60 * seconds, 100000); // pixels, at 60 a second
    at("zoom").max = Math.max(2, Math.log2(most / Math.max(at("wave").clientWidth, 1)));
    at("zoom").value = 0;
    this.#width = 0;
    this.#axis?.destroy();
    this.#axis = undefined;
  }

  // With what it draws first: without, it would fetch the sound to find that out.
  #create(options) {
    this.#wave = WaveSurfer.create({
      container: "#wave",
      media: this.audio,
      cspNonce: this.#nonce,
      normalize: true,
      barHeight: 0.6, // leaves room for the bands below
      ...options,
    });
    // Inside what wavesurfer scrolls and zooms, and so in parts of its width
    this.#wave.getWrapper().append(this.#bands);
    this.#wave.on("redraw", () => this.#markTime());
    this.#wave.on("interaction", () => { this.#sought = null; });
    this.#wave.on("timeupdate", (time) => this.#mark(time));
    this.#wave.on("play", () => { at("play").textContent = "Pause"; });
    this.#wave.on("pause", () => {
      at("play").textContent = "Play";
      if (this.audio.paused) this.#sought = null; // else it came late, and something else plays by now
    });
  }

  play(start, end) {
    if (this.audio.getAttribute("src")) {
      this.#sought = start ?? null;
      this.#wave.play(start, end).catch(() => {});
    } else {
      this.#wave.setTime(start);
      this.#mark(start);
      this.absent(start);
    }
  }

  pause() {
    this.#wave?.pause();
  }

  #toggle() {
    this.#sought = null;
    if (!this.audio.getAttribute("src")) this.absent();
    else if (this.#wave.isPlaying()) this.#wave.pause();
    else this.#wave.play().catch(() => {});
  }

  #step(by) {
    if (!this.#utterances.length) return;
    this.#select(Math.min(Math.max(this.#current + by, 0), this.#utterances.length - 1));
    const { start, end } = this.#utterances[this.#current];
    this.play(start, end);
  }

  #band(one, number, from) {
    const band = document.createElement("div");
    const part = (seconds) => `${(100 * seconds) / this.#seconds}%`;
    const surely = 18 + 82 * one.sure;
    band.dataset.number = number;
    band.title = `${clock(one.start)} ${one.kind}`;
    band.textContent = one.kind;
    band.style.cssText = `position:absolute;left:${part(one.start - from)};width:${part(one.end - one.start)};min-width:1px;
      top:${this.#height * one.lane}px;height:${this.#height - 2}px;padding-top:${0.82 * this.#height - 1}px;
      box-sizing:border-box;overflow:hidden;font:12px/1.5 system-ui,sans-serif;white-space:nowrap;text-indent:3px;
      cursor:pointer;color:${one.ink};
      background:linear-gradient(to top,${one.colour} 18%,${one.colour}48 18% ${surely}%,transparent ${surely}%)`;
    return band;
  }

  // The time below, marked about every 80 pixels
  #markTime() {
    const width = this.#wave.getWrapper().clientWidth;
    if (!this.#marked || width === this.#width) return;
    this.#width = width;
    const step = Player.#STEPS.find((seconds) => (seconds * width) / this.#seconds >= 80) || 86400;
    this.#axis?.destroy();
    this.#axis = this.#wave.registerPlugin(WaveSurfer.Timeline.create({
      height: 22, timeInterval: step, primaryLabelInterval: step, secondaryLabelInterval: step,
      formatTimeCallback: clock, style: { fontSize: "12px", fontFamily: "system-ui, sans-serif" },
    }));
  }

  // Where we are
  #mark(time) {
    if (this.#sought !== null && (this.audio.seeking || Math.abs(time - this.#sought) > 0.25)) return;
    this.#sought = null;
    at("clock").textContent = clock(time);
    const holds = (one) => one && one.start <= time && time < one.end;
    const found = holds(this.#utterances[this.#current]) ? this.#current : this.#utterances.findIndex(holds);
    if (found >= 0 && found !== this.#current) this.#select(found);
  }

  #select(number) {
    document.querySelector("li[aria-current]")?.removeAttribute("aria-current");
    at(`u${number}`)?.setAttribute("aria-current", "true");
    this.#current = number;
  }

  #listen() {
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.#wave?.setOptions({ ...colours(), splitChannels: this.#peaks.map(() => colours()) });
    });
    this.#bands.addEventListener("click", (event) => {
      const band = event.target.closest("[data-number]");
      if (!band) return;
      event.stopPropagation();
      this.#select(Number(band.dataset.number));
      const { start, end } = this.#utterances[this.#current];
      this.play(start, end);
    });
    at("play").addEventListener("click", () => this.#toggle());
    at("before").addEventListener("click", () => this.#step(-1));
    at("after").addEventListener("click", () => this.#step(1));
    at("zoom").addEventListener("input", () => {
      const fits = at("wave").clientWidth / this.#seconds;
      this.#wave.zoom(Number(at("zoom").value) ? fits * 2 ** Number(at("zoom").value) : 0);
    });
    document.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-start]");
      if (!button) return;
      const item = button.closest("li[id]");
      if (item) this.#select(Number(item.id.slice(1)));
      this.play(Number(button.dataset.start), button.dataset.end ? Number(button.dataset.end) : undefined);
    });
    document.addEventListener("keydown", (event) => {
      if (event.target.closest("input, dialog") || event.ctrlKey || event.altKey || event.metaKey) return;
      if (!this.#wave || !this.#marked) return; // nothing to play yet
      if (event.key === " " && !event.target.closest("button, summary, a")) {
        event.preventDefault();
        this.#toggle();
      } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
        event.preventDefault();
        this.#step(event.key === "ArrowRight" ? 1 : -1);
      }
    });
  }
}
