
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const kept = "petcast-reading-" + data.reading;
  let state = { reader: "", answers: {} };
  let forgets = false;
  let saved = true;
  let place = 0;
  let since = 0;

  // What was answered outlives the page where the browser allows it; each reader's apart.
  function recall() {
    try {
      const all = JSON.parse(localStorage.getItem(kept)) || {};
      return { last: all.last || "", readers: new Map(all.readers || []) };
    } catch {
      return { last: "", readers: new Map() };
    }
  }

  function keep() {
    const { last, readers } = recall(); // again, as another window may have kept another reader's
    if (state.reader) readers.set(state.reader, state.answers);
    try {
      localStorage.setItem(kept, JSON.stringify({ last: state.reader || last, readers: [...readers] }));
    } catch {
      forgets = true;
      at("forgetful").hidden = false;
    }
  }

  function choice(kind, name, value, words, key) {
    const label = document.createElement("label");
    label.className = "choice";
    const input = document.createElement("input");
    Object.assign(input, { type: kind, name, value });
    label.append(input, words);
    if (key) {
      const hint = document.createElement("kbd");
      hint.textContent = key;
      label.append(hint);
    }
    return label;
  }

  data.calls.forEach((words, k) => at("synthetic").append(choice("radio", "synthetic", k + 1, words, k + 1)));
  data.qualities.forEach((words, k) => at("quality").append(choice("radio", "quality", k + 1, words, k + 1)));
  Object.entries(data.artefacts).forEach(([key, words], k) => at("artefacts").append(choice("checkbox", "artefacts", key, words, k + 1)));

  const inputs = (name) => [...document.querySelectorAll(`input[name=${name}]`)];
  const chosen = (name) => inputs(name).filter((one) => one.checked).map((one) => one.value);
  const choose = (name, values) => inputs(name).forEach((one) => { one.checked = values.includes(one.value); });
  const whole = (answer) => Boolean(answer && answer.synthetic && answer.quality);
  const done = (answers = state.answers) => data.images.filter((_, k) => whole(answers[k])).length;

  function only(id) {
    for (const one of ["start", "read", "end"]) at(one).hidden = one !== id;
    window.scrollTo(0, 0);
  }

  function draw() {
    const image = data.images[place];
    at("pet").src = image.pet;
    for (const ct of document.querySelectorAll(".ct")) ct.src = data.slices[image.slice][ct.dataset.window];
    const answer = state.answers[place] || {};
    choose("synthetic", [String(answer.synthetic)]);
    choose("quality", [String(answer.quality)]);
    choose("artefacts", answer.artefacts || []);
    at("comment").value = answer.comment || "";
    at("progress").value = done();
    at("place").textContent = `${place + 1} of ${data.images.length}`;
    at("back").disabled = place === 0;
    since = performance.now();
    settle();
  }

  // Which question the digits answer, and whether one may go on.
  function settle() {
    const asked = chosen("synthetic").length ? (chosen("quality").length ? "artefacts" : "quality") : "synthetic";
    for (const one of ["synthetic", "quality", "artefacts"]) at(one).classList.toggle("active", one === asked);
    at("next").disabled = asked !== "artefacts";
    at("next").textContent = place + 1 < data.images.length ? "Next" : "Finish";
    return asked;
  }

  function note() {
    const before = state.answers[place] || { seconds: 0 };
    const now = performance.now();
    state.answers[place] = {
      synthetic: Number(chosen("synthetic")[0] || 0),
      quality: Number(chosen("quality")[0] || 0),
      artefacts: chosen("artefacts"),
      comment: at("comment").value.trim(),
      seconds: Math.round(10 * (before.seconds + (now - since) / 1000)) / 10,
    };
    since = now;
    saved = false;
    keep();
  }

  function show(number) {
    place = number;
    draw();
    if (document.activeElement.tagName === "INPUT") document.activeElement.blur(); // digits are answers, no words of a remark
    only("read");
  }

  function finish() {
    const left = data.images.length - done();
    at("thanks").textContent = left ? (forgets ? "Not all is answered yet" : "Kept for later") : "Thank you, that was all";
    at("left").textContent = left
      ? `${done()} of ${data.images.length} pictures are answered. Go on whenever you like, or save what there is.`
      : "All pictures are answered.";
    at("on").textContent = left ? "Go on reading" : "Look at them again";
    only("end");
  }

  function firstOpen() {
    const open = data.images.findIndex((_, k) => !whole(state.answers[k]));
    return open < 0 ? 0 : open;
  }

  function file() {
    const answers = data.images
      .map((_, image) => ({ image, ...state.answers[image] }))
      .filter(whole);
    const { format, reading } = data;
    return JSON.stringify({ format, reading, reader: state.reader, answers }, null, 2) + "\n";
  }

  function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([file()], { type: "application/json" }));
    const name = state.reader.normalize("NFC").replace(/[^\p{L}\p{M}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
    link.download = `answers-${name || "reader"}.json`;
    link.click();
    saved = true;
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  at("who").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = at("reader").value.trim();
    if (!name) {
      at("reader").value = ""; // blanks are none: the browser says so of an empty field
      at("reader").reportValidity();
      return;
    }
    // Without storage the page itself holds them, for this reader alone.
    state = { reader: name, answers: recall().readers.get(name) || (name === state.reader ? state.answers : {}) };
    keep();
    show(firstOpen());
  });
  at("questions").addEventListener("submit", (event) => {
    event.preventDefault();
    if (settle() !== "artefacts") return;
    note();
    if (place + 1 < data.images.length) show(place + 1);
    else finish();
  });
  at("questions").addEventListener("change", () => { note(); settle(); });
  at("back").addEventListener("click", () => { note(); show(place - 1); });
  at("pause").addEventListener("click", () => { note(); finish(); });
  at("save").addEventListener("click", save);
  at("on").addEventListener("click", () => show(firstOpen()));

  function answer(digit) {
    const asked = settle();
    const input = inputs(asked)[digit - 1];
    if (!input) return;
    input.checked = asked !== "artefacts" || !input.checked;
    note();
    settle();
  }

  function takeBack() {
    const last = ["artefacts", "quality", "synthetic"].find((name) => chosen(name).length);
    if (!last) return at("back").click();
    choose(last, []);
    note();
    settle();
  }

  // A key that is held down answers once; one that ends a word of Chinese or Japanese not at all.
  document.addEventListener("keydown", (event) => {
    const typing = event.target.id === "comment" || event.target.id === "reader";
    if (at("read").hidden || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    if (event.repeat ? !typing : typing && event.key !== "Enter") {
      if (event.key === "Enter") event.preventDefault();
      return;
    }
    if (event.key === "Enter" && event.target.tagName !== "BUTTON") {
      event.preventDefault();
      at("next").click();
    } else if (event.key === "Backspace") {
      takeBack();
    } else if (/^[1-9]$/.test(event.key)) {
      answer(Number(event.key));
    }
  });

  function greet() {
    const answers = recall().readers.get(at("reader").value.trim());
    at("begin").textContent = answers ? "Go on" : "Begin";
    at("resumed").hidden = !answers;
    if (answers) at("resumed").textContent = `${done(answers)} of ${data.images.length} pictures are answered under this name in this browser.`;
  }

  window.addEventListener("beforeunload", (event) => {
    if (forgets && !saved) event.preventDefault();
  });
  at("reader").addEventListener("input", greet);
  at("reader").value = recall().last;
  keep();
  greet();
})();
