// The microphone's samples as 16-bit PCM, one channel, in pieces of 4096.

class Microphone extends AudioWorkletProcessor {
  #piece = new Int16Array(4096);
  #filled = 0;

  constructor() {
    super();
    this.port.onmessage = () => { // told to stop: the rest
      this.port.postMessage(this.#piece.slice(0, this.#filled));
      this.#filled = 0;
      this.port.postMessage(null);
    };
  }

  process([channels]) {
    for (let i = 0; i < (channels[0]?.length ?? 0); i++) {
      const mean = channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length;
      this.#piece[this.#filled++] = Math.round(32767 * Math.min(Math.max(mean, -1), 1));
      if (this.#filled === this.#piece.length) {
        this.port.postMessage(this.#piece);
        this.#filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("microphone", Microphone);
