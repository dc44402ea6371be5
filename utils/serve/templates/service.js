"use strict";
// The service's page: sends audio from a file or the microphone to /recognize, shows both texts side by side.
(() => {
  const $ = (id) => document.getElementById(id);
  const record = $("record"), drop = $("drop"), status = $("status"), player = $("player");
  let recorder = null, busy = false, texts = {}, clock = 0;

  const say = (text, isError = false) => {
    status.textContent = text;
    status.className = isError ? "error" : "";
  };

  const tick = (what) => {  // shows what is going on, and for how many seconds
    const began = Date.now();
    const show = () => say(`${what} ${Math.floor((Date.now() - began) / 1000)} s`);
    clearInterval(clock);
    clock = setInterval(show, 1000);
    show();
  };

  const time = (seconds) => {
    const whole = Math.floor(seconds);
    return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
  };

  const paragraph = (text, language) => {
    const element = document.createElement("p");
    element.textContent = text;
    element.dir = "auto";
    if (language) element.lang = language;
    return element;
  };

  const show = (answer) => {
    texts = answer;
    const name = $("language").querySelector(`option[value="${answer.language}"]`);
    const sure = answer.language_probability < 1 ? `, ${Math.round(100 * answer.language_probability)} % sure` : "";
    $("facts").textContent = (name && answer.language ? `${name.textContent}${sure}; ` : "")
      + `${answer.duration.toFixed(1)} s of audio`;
    $("segments").replaceChildren(...answer.segments.map((segment) => {
      const item = document.createElement("li"), from = document.createElement("button");
      from.type = "button";
      from.textContent = `▶ ${time(segment.start)}`;
      from.addEventListener("click", () => {
        player.currentTime = segment.start;
        player.play().catch(() => {});
      });
      item.append(from, paragraph(segment.texts.transcribe, answer.language), paragraph(segment.texts.translate, "en"));
      return item;
    }));
    $("heads").hidden = !answer.segments.length;
    say(answer.segments.length ? "" : "Nobody speaks in this audio.");
    $("result").hidden = false;
  };

  const send = async (audio, name) => {
    if (busy) return;
    busy = record.disabled = $("file").disabled = true;
    const body = new FormData();
    body.append("file", audio, name);
    if ($("language").value) body.append("language", $("language").value);
    const key = $("key") ? $("key").value.trim() : "";
    $("result").hidden = true;
    if (player.src) URL.revokeObjectURL(player.src);
    player.src = URL.createObjectURL(audio);
    tick("Recognizing …");
    try {
      const response = await fetch("recognize", {method: "POST", body, headers: key ? {Authorization: `Bearer ${key}`} : {}});
      const answer = await response.json();
      clearInterval(clock);
      if (response.ok) show(answer);
      else say(answer.error.message, true);
    } catch (error) {
      say(`The server does not answer (${error.message}).`, true);
    } finally {
      clearInterval(clock);
      busy = $("file").disabled = false;
      record.disabled = !canRecord;
    }
  };

  $("file").addEventListener("change", (event) => {
    const file = event.target.files[0];
    event.target.value = "";  // the same file may be chosen again
    if (file) send(file, file.name);
  });
  for (const kind of ["dragover", "dragenter", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {  // on the whole page: otherwise a file dropped beside the box would replace it
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover" || kind === "dragenter");
      if (kind === "drop" && event.dataTransfer.files.length) send(event.dataTransfer.files[0], event.dataTransfer.files[0].name);
    });
  }

  const canRecord = Boolean(window.isSecureContext && navigator.mediaDevices && window.MediaRecorder);
  if (!canRecord) {
    record.disabled = true;
    $("no-microphone").textContent = "Browsers let a page record on localhost or over https only; files work all the same.";
    $("no-microphone").hidden = false;
  }
  record.addEventListener("click", async () => {
    if (recorder) {
      recorder.stop();
      return;
    }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({audio: true});
      const parts = [];
      recorder = new MediaRecorder(stream);
      recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
      recorder.addEventListener("stop", () => {
        for (const track of stream.getTracks()) track.stop();
        const type = recorder.mimeType;
        recorder = null;
        record.classList.remove("on");
        record.textContent = "● Record";
        send(new Blob(parts, {type}), "recording");
      });
      recorder.start();
      record.classList.add("on");
      record.textContent = "■ Stop";
      tick("Recording …");
    } catch (error) {
      recorder = null;
      say(`No microphone: ${error.message}`, true);
    }
  });

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(texts[button.dataset.copy]);
      say("Copied.");
    });
  }
  $("form").addEventListener("submit", (event) => event.preventDefault());
})();
