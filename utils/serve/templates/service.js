"use strict";
// The service's page: sends audio from a file or the microphone to /recognize, shows both texts side by side.
(() => {
  const $ = (id) => document.getElementById(id);
  const record = $("record"), drop = $("drop"), status = $("status"), player = $("player");
  const limits = $("form").dataset;
  let recorder = null, busy = false, texts = {}, clock = 0, last = null, stopped = null;

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
    const isEnglish = answer.language === "en";  // a translation would say the same again
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
      item.append(from, paragraph(segment.texts.transcribe, answer.language));
      if (!isEnglish) item.append(paragraph(segment.texts.translate, "en"));
      return item;
    }));
    $("result").classList.toggle("english", isEnglish);
    $("head-translate").hidden = document.querySelector("[data-of=translate]").hidden = isEnglish;
    $("heads").hidden = !answer.segments.length;
    say(answer.segments.length ? "" : "Nobody speaks in this audio.");
    $("result").hidden = false;
  };

  const send = async (audio, name) => {
    if (busy) return;
    if (audio.size > Number(limits.maxBytes)) {
      say(`${name} has ${(audio.size / 1e6).toFixed(0)} MB; at most ${(limits.maxBytes / 1e6).toFixed(0)} MB can be sent. `
        + "Cut it into parts, or save it as mp3 or opus.", true);
      return;
    }
    last = {audio, name};
    stopped = new AbortController();
    $("cancel").hidden = false;
    busy = record.disabled = $("file").disabled = true;
    const body = new FormData();
    body.append("file", audio, name);
    if ($("language").value) body.append("language", $("language").value);
    const key = $("key") ? $("key").value.trim() : "";
    tick(`Recognizing ${name} …`);
    try {
      const response = await fetch("recognize", {method: "POST", body, signal: stopped.signal,
        headers: key ? {Authorization: `Bearer ${key}`} : {}});
      const answer = await response.json();
      clearInterval(clock);
      if (response.ok) {
        if (player.src) URL.revokeObjectURL(player.src);
        player.src = URL.createObjectURL(audio);
        show(answer);
      } else {
        say(`${name}: ${answer.error.message}`, true);
      }
    } catch (error) {
      if (error.name === "AbortError") say("Cancelled.");
      else say(`The server does not answer (${error.message}). Is it still running? Then try again.`, true);
    } finally {
      clearInterval(clock);
      $("cancel").hidden = true;
      busy = $("file").disabled = false;
      record.disabled = !canRecord;
    }
  };

  $("cancel").addEventListener("click", () => stopped.abort());
  $("language").addEventListener("change", () => {  // the same audio again
    if (last) send(last.audio, last.name);
  });
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
  const showLevel = (stream) => {  // while the recorder runs
    const context = new AudioContext(), analyser = context.createAnalyser(), samples = new Float32Array(2048);
    context.createMediaStreamSource(stream).connect(analyser);
    $("level").hidden = false;
    const draw = () => {
      if (!recorder) {
        $("level").hidden = true;
        context.close();
        return;
      }
      analyser.getFloatTimeDomainData(samples);
      $("level").value = Math.max(...samples.map(Math.abs));
      requestAnimationFrame(draw);
    };
    draw();
  };
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
      showLevel(stream);
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
      const task = button.dataset.copy;
      const lines = () => texts.segments.map((segment) => `${time(segment.start)} ${segment.texts[task]}`).join("\n");
      await navigator.clipboard.writeText(button.dataset.times ? lines() : texts[task]);
      say("Copied.");
    });
  }
  for (const button of document.querySelectorAll("[data-save]")) {
    button.addEventListener("click", () => {
      const {save: task, kind} = button.dataset, link = document.createElement("a");
      const content = kind === "txt" ? `${texts[task]}\n` : texts.subtitles[task][kind];
      link.href = URL.createObjectURL(new Blob([content], {type: "text/plain"}));
      link.download = `${last.name.replace(/\.[^.]*$/, "")}${task === "translate" ? ".en" : ""}.${kind}`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
  }
  $("form").addEventListener("submit", (event) => event.preventDefault());
})();
