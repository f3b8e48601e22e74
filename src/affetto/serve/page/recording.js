// Sound: from the microphone as it comes, and in memory as it was.

const PEAKS = 20; // a second, of what is being recorded

// One channel of 16-bit PCM that grows.
export class Recording {
  #pieces = [];
  #first = 0; // the place of the first sample of #pieces.at(-1)
  samples = 0;
  peaks = []; // PEAKS a second, parts of full scale

  constructor(rate) {
    this.rate = rate;
  }

  get seconds() {
    return this.samples / this.rate;
  }

  add(piece) {
    this.#pieces.push({ first: this.samples, piece });
    for (const value of piece) {
      const number = Math.floor((this.samples++ * PEAKS) / this.rate);
      this.peaks[number] = Math.max(this.peaks[number] ?? 0, Math.abs(value) / 32768);
    }
  }

  // The samples from `first` to `last`.
  cut(first, last) {
    const found = new Int16Array(last - first);
    let number = this.#pieces.length;
    while (number > 0 && this.#pieces[number - 1].first + this.#pieces[number - 1].piece.length > first) number--;
    for (; number < this.#pieces.length && this.#pieces[number].first < last; number++) {
      const { first: start, piece } = this.#pieces[number];
      found.set(piece.subarray(Math.max(first - start, 0), last - start), Math.max(start - first, 0));
    }
    return found;
  }

  // The outline of the last `seconds`, with silence before the beginning.
  outline(seconds) {
    const wanted = PEAKS * seconds;
    const last = this.peaks.slice(-wanted);
    return [...Array(wanted - last.length).fill(0), ...last];
  }

  // As a file: WAV of 16-bit PCM (Multimedia Programming Interface and Data Specifications 1.0, 1991).
  get file() {
    const header = new DataView(new ArrayBuffer(44));
    const text = (place, letters) => [...letters].forEach((one, i) => header.setUint8(place + i, one.charCodeAt(0)));
    const size = 2 * this.samples;
    text(0, "RIFF");
    header.setUint32(4, 36 + size, true);
    text(8, "WAVEfmt ");
    header.setUint32(16, 16, true); // bytes of what follows, up to "data"
    header.setUint16(20, 1, true); // PCM
    header.setUint16(22, 1, true); // channels
    header.setUint32(24, this.rate, true);
    header.setUint32(28, 2 * this.rate, true); // bytes a second
    header.setUint16(32, 2, true); // bytes of a sample of all channels
    header.setUint16(34, 16, true); // bits of a sample
    text(36, "data");
    header.setUint32(40, size, true);
    return new Blob([header, ...this.#pieces.map(({ piece }) => piece)], { type: "audio/wav" });
  }
}

// The microphone, as it is: browsers would change the voice.
const PLAIN = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };

const REFUSALS = {
  NotAllowedError: "The browser does not let this page use the microphone; allow it beside the address, and try again.",
  NotFoundError: "There is no microphone.",
  NotReadableError: "The microphone is in use by another program, or broken.",
};

// Begins to record. heard(): called when there is more; ended(): when the microphone is gone.
// Gives the recording and what stops it; throws an Error that says what is wrong.
export async function record({ heard, ended }) {
  if (!navigator.mediaDevices || !window.AudioWorkletNode) {
    throw new Error("Browsers give the microphone to pages on this machine (127.0.0.1) or over https only.");
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: PLAIN });
  } catch (error) {
    throw new Error(REFUSALS[error.name] ?? `The microphone does not work: ${error.message}`);
  }
  const context = new AudioContext();
  await context.audioWorklet.addModule("page/microphone.js");
  const node = new AudioWorkletNode(context, "microphone", { numberOfOutputs: 1 });
  const recording = new Recording(context.sampleRate);
  const rest = new Promise((resolve) => {
    node.port.onmessage = ({ data }) => {
      if (data === null) return resolve();
      recording.add(data);
      heard();
    };
  });
  context.createMediaStreamSource(stream).connect(node).connect(context.destination); // which it keeps silent
  await context.resume();
  stream.getAudioTracks()[0].addEventListener("ended", ended);
  async function stop() {
    node.port.postMessage("stop");
    await Promise.race([rest, new Promise((late) => setTimeout(late, 500))]);
    stream.getTracks().forEach((track) => track.stop());
    await context.close();
  }
  return { recording, stop };
}

// The outline of a file: of its channels, or of their mean; null if the browser cannot read it.
export async function outline(file, lanes) {
  const context = new OfflineAudioContext(1, 1, 8000); // decoding takes no more than this rate
  let sound;
  try {
    sound = await context.decodeAudioData(await file.arrayBuffer());
  } catch {
    return null;
  }
  const points = Math.round(Math.min(Math.max(40 * sound.duration, 1), 20000));
  const channels = Array.from({ length: sound.numberOfChannels }, (_, number) => sound.getChannelData(number));
  const drawn = lanes === channels.length ? channels.map((one) => [one]) : Array(lanes).fill(channels);
  return drawn.map((averaged) => peaks(averaged, points));
}

function peaks(channels, points) {
  const found = new Float32Array(points), { length } = channels[0];
  for (let i = 0; i < length; i++) {
    let sum = 0;
    for (const channel of channels) sum += channel[i];
    const number = Math.floor((i * points) / length);
    found[number] = Math.max(found[number], Math.abs(sum) / channels.length);
  }
  return found;
}
