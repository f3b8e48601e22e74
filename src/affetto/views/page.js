"use strict";
(() => {
  const data = JSON.parse(at("data").textContent);
  const say = (text) => { at("said").textContent = text; };

  // The sound inside

  const sound = at("sound");
  if (sound) {
    const bytes = Uint8Array.from(atob(sound.textContent), (letter) => letter.charCodeAt(0));
    at("audio").src = URL.createObjectURL(new Blob([bytes], { type: "audio/mpeg" }));
    sound.remove();
  }

  // The sound that a reader chooses

  const choose = at("choose");
  function absent(start) {
    if (start !== undefined) return say(`At ${clock(start)}. Choose the recording to hear it.`);
    say("Choose the recording to hear it.");
    choose.focus();
  }
  if (choose) choose.addEventListener("change", () => {
    if (!choose.files.length) return;
    if (at("audio").src) URL.revokeObjectURL(at("audio").src);
    at("audio").src = URL.createObjectURL(choose.files[0]);
    say("");
  });
  at("audio").addEventListener("loadedmetadata", () => {
    const lasts = at("audio").duration;
    if (Number.isFinite(lasts) && Math.abs(lasts - data.seconds) > 1) {
      say(`This recording lasts ${clock(lasts)}, the timeline ${clock(data.seconds)}: is it the same?`);
    }
  });
  at("audio").addEventListener("error", () => {
    if (at("audio").getAttribute("src")) say("The browser cannot play this recording.");
  });

  new Player({ absent }).load({ ...data, peaks: data.peaks.map((lane) => lane.map((level) => level / 127)) });
})();
