// One page for one session. The server holds everything; here is what is shown of it.
"use strict";

const $ = (id) => document.getElementById(id);
const view = $("view"), pen = view.getContext("2d");
const time = $("time"), timePen = time.getContext("2d");
const MOST_KEPT = 48; // pictures and masks
const REST = 350; // milliseconds at a frame, after which its first click is prepared
const THUMBNAILS = 44; // pixels of their height in the time line

let state = null; // what the server says
let frame = 0; // the frame that is shown
let chosen = null; // the id of the object that is talked about
let tool = "click";
let zoom = { scale: 1, x: 0, y: 0 }; // from pixels of the frame to those of the view
let fitted = true;
let drag = null; // what the mouse is doing
let corners = null; // of a polygon in the making
let pointer = null; // where the mouse is, in the frame
let playing = false;
let waiting = 0; // prompts that are not answered yet
let asked = Promise.resolve(); // prompts are sent one after the other
let adding = null; // a promise of the id of the object that is being added: what is said meanwhile is about it
let shown = -1; // the frame whose picture is drawn
let prompts = {};
const pictures = new Map(), masks = new Map(), versions = new Map(), thumbnails = new Map();
const tint = document.createElement("canvas");

// ---- talking to the server -------------------------------------------------------------------------------------

async function ask(command, given = {}) {
  let answer;
  try {
    answer = await fetch(`do/${command}`, { method: "POST", body: JSON.stringify(given), headers: { "Content-Type": "application/json" } });
  } catch {
    complain("The program does not answer; what was saved is safe. Start it again with --resume.");
    return null;
  }
  const content = await answer.json().catch(() => ({ error: `the program answered ${answer.status}` }));
  if (!answer.ok) {
    complain(content.error || `the program answered ${answer.status}`);
    return null;
  }
  return content;
}

async function refresh() {
  const answer = await fetch("state").catch(() => null);
  if (!answer || !answer.ok) return;
  state = await answer.json();
  if (!state.objects.some((thing) => thing.id === chosen)) chosen = state.objects.length ? state.objects.at(-1).id : null;
  showState();
}

function listen() {
  const source = new EventSource("events");
  source.onmessage = async (message) => {
    const told = JSON.parse(message.data);
    const changed = Object.keys(told.frames).map(Number);
    for (const index of changed) {
      forget(index);
      if (state && !told.all) {
        const marks = state.masks;
        state.masks = marks.slice(0, index) + "1" + marks.slice(index + 1);
        for (const [k, value] of Object.entries(told.frames[index])) if (state.quality[k]) state.quality[k][index] = value;
      }
    }
    if (told.all) await refresh();
    if (state) {
      state.job = told.job;
      showJob();
    }
    if (changed.includes(frame)) await show(frame);
    drawTime();
  };
  source.onerror = () => { if (source.readyState !== 1) $("status").textContent = "the program does not answer …"; };
  source.onopen = () => { for (const index of [...masks.keys()]) forget(index); refresh().then(() => show(frame)); };
}

function complain(text) {
  $("error").textContent = text;
  $("error").hidden = false;
  clearTimeout(complain.timer);
  complain.timer = setTimeout(() => { $("error").hidden = true; }, 12000);
}

// ---- frames and masks ------------------------------------------------------------------------------------------

function keep(map, key, value) {
  map.delete(key);
  map.set(key, value);
  while (map.size > MOST_KEPT) map.delete(map.keys().next().value);
  return value;
}

function forget(index) {
  masks.delete(index);
  versions.set(index, (versions.get(index) || 0) + 1);
}

function load(address) {
  return new Promise((done, failed) => {
    const picture = new Image();
    picture.onload = () => done(picture);
    picture.onerror = () => failed(new Error(address));
    picture.src = address;
  });
}

const picture = (index) => pictures.get(index) || keep(pictures, index, load(`frame/${index}.jpg`));

function mask(index) {
  if (masks.has(index)) return masks.get(index);
  return keep(masks, index, load(`mask/${index}.png?${versions.get(index) || 0}`).then((grey) => {
    const canvas = document.createElement("canvas");
    canvas.width = grey.width;
    canvas.height = grey.height;
    const inner = canvas.getContext("2d", { willReadFrequently: true });
    inner.drawImage(grey, 0, 0);
    const values = inner.getImageData(0, 0, grey.width, grey.height).data;
    const ids = new Uint8Array(grey.width * grey.height);
    for (let i = 0; i < ids.length; i++) ids[i] = values[4 * i];
    return { ids, width: grey.width, height: grey.height };
  }));
}

async function show(index) {
  index = Math.max(0, Math.min(state.video.frames - 1, index));
  if (index !== frame) corners = null;
  frame = index;
  showPosition();
  let found;
  try {
    found = await Promise.all([picture(index), mask(index)]);
  } catch {
    pictures.delete(index);
    masks.delete(index);
    const answer = await fetch(`frame/${index}.jpg`).catch(() => null);
    complain(answer && !answer.ok ? await answer.text() : `frame ${index} cannot be shown`);
    return;
  }
  if (frame !== index) return;
  shown = index;
  show.picture = found[0];
  paintMask(found[1]);
  draw();
  clearTimeout(show.timer);
  if (!playing) {
    const answer = await fetch(`prompts/${index}`).catch(() => null);
    if (answer && answer.ok && frame === index) { prompts = await answer.json(); draw(); }
    show.timer = setTimeout(() => { if (!playing && frame === index) fetch("do/look", { method: "POST", body: JSON.stringify({ frame: index }) }).catch(() => {}); }, REST);
  } else prompts = {};
}

function paintMask({ ids, width, height }) {
  tint.width = width;
  tint.height = height;
  const inner = tint.getContext("2d");
  const image = inner.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const alpha = Math.round(2.55 * $("opacity").value), lines = $("outlines").checked;
  const fill = new Uint32Array(256), edge = new Uint32Array(256);
  for (const thing of state.objects) {
    if (thing.hidden) continue;
    const [r, g, b] = [1, 3, 5].map((i) => parseInt(thing.colour.slice(i, i + 2), 16));
    const colour = (b << 16) | (g << 8) | r;
    fill[thing.id] = ((alpha << 24) | colour) >>> 0;
    edge[thing.id] = ((255 << 24) | colour) >>> 0;
  }
  const reach = Math.max(1, Math.round(Math.min(width, height) / 480));
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const k = ids[i];
      if (!k) continue;
      const rim = lines && (
        (x >= reach && ids[i - reach] !== k) || (x < width - reach && ids[i + reach] !== k) ||
        (y >= reach && ids[i - reach * width] !== k) || (y < height - reach && ids[i + reach * width] !== k));
      pixels[i] = rim ? edge[k] : fill[k];
    }
  }
  inner.putImageData(image, 0, 0);
}

const repaint = () => mask(frame).then((found) => { paintMask(found); draw(); }).catch(() => {});

// ---- the view --------------------------------------------------------------------------------------------------

function fit() {
  const { width, height } = view.getBoundingClientRect();
  zoom.scale = Math.min(width / state.video.width, height / state.video.height);
  zoom.x = (width - zoom.scale * state.video.width) / 2;
  zoom.y = (height - zoom.scale * state.video.height) / 2;
  fitted = true;
}

function resize() {
  for (const canvas of [view, time]) {
    const { width, height } = canvas.getBoundingClientRect();
    canvas.width = Math.round(width * devicePixelRatio);
    canvas.height = Math.round(height * devicePixelRatio);
  }
  if (state && fitted) fit();
  draw();
  drawTime();
}

function colourOf(id) {
  const thing = state.objects.find((one) => one.id === Number(id));
  return thing ? thing.colour : "#ffffff";
}

function draw() {
  pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  pen.clearRect(0, 0, view.width, view.height);
  if (!state || !show.picture) return;
  pen.translate(zoom.x, zoom.y);
  pen.scale(zoom.scale, zoom.scale);
  pen.imageSmoothingEnabled = zoom.scale < 4;
  pen.drawImage(show.picture, 0, 0, state.video.width, state.video.height);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(tint, 0, 0, state.video.width, state.video.height);
  if (!playing) for (const one of prompts[chosen] || []) drawPrompt(one, 0.9);
  if (drag && drag.prompt) drawPrompt(drag.prompt, 1);
  if (corners) drawPrompt({ kind: "polygon", ...corners, points: pointer ? [...corners.points, pointer] : corners.points }, 1);
  if (pointer && (tool === "brush" || tool === "eraser") && !playing) {
    pen.lineWidth = 1.5 / zoom.scale;
    pen.strokeStyle = "#fff";
    pen.beginPath();
    pen.arc(pointer[0], pointer[1], Number($("size").value), 0, 7);
    pen.stroke();
  }
}

function drawPrompt(one, opacity) {
  const unit = 1 / zoom.scale;
  pen.globalAlpha = opacity;
  pen.lineCap = pen.lineJoin = "round";
  const colour = one.positive === false ? "#ff3b30" : "#2fe06d";
  if (one.kind === "click") {
    pen.lineWidth = 2 * unit;
    pen.fillStyle = colour;
    pen.strokeStyle = "#fff";
    pen.beginPath();
    pen.arc(one.x, one.y, 5 * unit, 0, 7);
    pen.fill();
    pen.stroke();
  } else if (one.kind === "box") {
    pen.lineWidth = 2 * unit;
    pen.strokeStyle = colour;
    pen.setLineDash([6 * unit, 4 * unit]);
    pen.strokeRect(one.x0, one.y0, one.x1 - one.x0, one.y1 - one.y0);
    pen.setLineDash([]);
  } else if (one.kind === "stroke" || one === (drag && drag.prompt) || one.kind === "polygon" && corners) {
    pen.lineWidth = one.kind === "paint" ? 2 * one.radius : 2.5 * unit;
    pen.strokeStyle = one.kind === "paint" && one.positive ? colourOf(chosen) : colour;
    pen.globalAlpha = one.kind === "paint" ? 0.6 : opacity;
    pen.beginPath();
    one.points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    if (one.points.length === 1) pen.lineTo(one.points[0][0] + 0.01, one.points[0][1]);
    pen.stroke();
  }
  pen.globalAlpha = 1;
}

function place(event) {
  const box = view.getBoundingClientRect();
  return [(event.clientX - box.left - zoom.x) / zoom.scale, (event.clientY - box.top - zoom.y) / zoom.scale];
}

const inside = ([x, y]) => x >= 0 && y >= 0 && x < state.video.width && y < state.video.height;

view.addEventListener("pointerdown", (event) => {
  $("stage").focus({ preventScroll: true });
  if (!state) return;
  pausePlaying();
  const point = place(event), positive = event.button !== 2;
  if (event.button === 1 || (event.shiftKey && event.button === 0)) drag = { move: true, x: event.clientX - zoom.x, y: event.clientY - zoom.y };
  else if (!inside(point)) return;
  else if (tool === "polygon") {
    if (!corners) corners = { points: [], positive };
    corners.points.push(point);
  } else if (tool === "box") drag = { prompt: { kind: "box", x0: point[0], y0: point[1], x1: point[0], y1: point[1] } };
  else if (tool === "click") drag = { prompt: { kind: "stroke", points: [point], positive, radius: Math.max(3, 4 / zoom.scale) } };
  else drag = { prompt: { kind: "paint", points: [point], positive: positive && tool === "brush", radius: Number($("size").value) } };
  view.setPointerCapture(event.pointerId);
  event.preventDefault();
  draw();
});

view.addEventListener("pointermove", (event) => {
  if (!state) return;
  pointer = place(event);
  if (drag && drag.move) {
    zoom.x = event.clientX - drag.x;
    zoom.y = event.clientY - drag.y;
    fitted = false;
  } else if (drag && drag.prompt.kind === "box") [drag.prompt.x1, drag.prompt.y1] = pointer;
  else if (drag) {
    const [x, y] = drag.prompt.points.at(-1);
    if (Math.hypot(pointer[0] - x, pointer[1] - y) * zoom.scale >= 3 && drag.prompt.points.length < 4000) drag.prompt.points.push(pointer.map((v) => Math.round(4 * v) / 4));
  }
  if (drag || corners || tool === "brush" || tool === "eraser") draw();
});

view.addEventListener("pointerup", () => {
  const prompt = drag && drag.prompt;
  drag = null;
  if (!prompt) return;
  if (prompt.kind === "stroke" && prompt.points.length < 3) {
    const [x, y] = prompt.points[0];
    say({ kind: "click", x, y, positive: prompt.positive });
  } else if (prompt.kind === "box") {
    const [x0, x1] = [prompt.x0, prompt.x1].sort((a, b) => a - b), [y0, y1] = [prompt.y0, prompt.y1].sort((a, b) => a - b);
    if (x1 - x0 > 3 && y1 - y0 > 3) say({ kind: "box", x0, y0, x1, y1 });
    else draw();
  } else say(prompt);
});

view.addEventListener("pointerleave", () => { pointer = null; draw(); });
view.addEventListener("pointercancel", () => { drag = null; draw(); });
view.addEventListener("contextmenu", (event) => event.preventDefault());
view.addEventListener("dblclick", closePolygon);
view.addEventListener("wheel", (event) => {
  event.preventDefault();
  if (!state) return;
  const box = view.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  const scale = Math.max(0.1, Math.min(40, zoom.scale * Math.exp(-event.deltaY / 500)));
  zoom.x = x - ((x - zoom.x) * scale) / zoom.scale;
  zoom.y = y - ((y - zoom.y) * scale) / zoom.scale;
  zoom.scale = scale;
  fitted = false;
  draw();
}, { passive: false });

function closePolygon() {
  if (!corners) return;
  const { points, positive } = corners;
  corners = null;
  const apart = points.filter((p, i) => !i || Math.hypot(p[0] - points[i - 1][0], p[1] - points[i - 1][1]) * zoom.scale > 2);
  if (apart.length >= 3) say({ kind: "polygon", points: apart, positive });
  else draw();
}

// What is said goes to the server one after the other, and is drawn at once.
function say(prompt) {
  const index = frame, meant = adding || chosen;
  waiting++;
  $("busy").hidden = false;
  asked = asked.then(async () => {
    let object = await meant ?? chosen;
    if (object === null) {
      const answer = await ask("add");
      if (answer) { object = chosen = answer.object; await refresh(); }
    }
    if (object !== null) {
      (prompts[object] = prompts[object] || []).push(prompt);
      draw();
      const answer = await ask("prompt", { frame: index, object, prompt });
      forget(index);
      if (answer) $("error").hidden = true;
      await show(frame);
    }
  }).catch(() => {}).finally(() => { waiting--; $("busy").hidden = waiting === 0; });
}

// ---- panels ----------------------------------------------------------------------------------------------------

function showState() {
  $("name").textContent = state.video.name;
  document.title = `${state.video.name} – masks`;
  $("undo").disabled = !state.undo;
  $("redo").disabled = !state.redo;
  $("undo").title = state.undo ? `Undo: ${state.undo} (Ctrl+Z)` : "Nothing to undo";
  $("redo").title = state.redo ? `Redo: ${state.redo} (Ctrl+Y)` : "Nothing to redo";
  $("needy").disabled = state.neediest === null;
  $("download").replaceChildren(...state.exports.map((form) => {
    const line = document.createElement("div"), link = document.createElement("a");
    link.href = `export/${form}`;
    link.textContent = `Download ${form}`;
    link.download = "";
    line.append(link);
    return line;
  }));
  const list = $("objects");
  if (!list.contains(document.activeElement) || document.activeElement.tagName !== "INPUT") list.replaceChildren(...state.objects.map(objectRow));
  showJob();
  showPosition();
  drawTime();
  repaint();
}

function objectRow(thing) {
  const row = document.createElement("li"), dot = document.createElement("span"), name = document.createElement("input");
  row.dataset.object = thing.id;
  row.setAttribute("aria-current", thing.id === chosen);
  row.className = thing.hidden ? "hidden" : "";
  dot.className = "dot";
  dot.style.setProperty("background", thing.colour);
  name.value = thing.name;
  name.maxLength = 60;
  name.setAttribute("aria-label", "Name of the object");
  name.addEventListener("change", () => ask("change", { object: thing.id, name: name.value }));
  name.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === "Escape") { name.blur(); event.stopPropagation(); } });
  const button = (text, title, act) => {
    const made = document.createElement("button");
    made.textContent = text;
    made.title = title;
    made.addEventListener("click", (event) => { event.stopPropagation(); act(); });
    return made;
  };
  row.append(dot, name,
    button(thing.hidden ? "show" : "hide", thing.hidden ? "Show this object" : "Hide this object", () => ask("change", { object: thing.id, hidden: !thing.hidden })),
    button("✕", "Delete this object from all frames (can be undone)", () => ask("remove", { object: thing.id })));
  row.addEventListener("click", () => choose(thing.id));
  return row;
}

function choose(id) {
  chosen = id;
  adding = null;
  for (const row of $("objects").children) row.setAttribute("aria-current", Number(row.dataset.object) === id);
  draw();
  showHint();
}

function showJob() {
  const job = state.job, before = showJob.last, running = job && (job.state === "running" || job.state === "stopping");
  $("stop").hidden = !running;
  $("stop").disabled = Boolean(job) && job.state === "stopping";
  $("progress").hidden = !running;
  if (running) {
    $("progress").max = Math.max(1, job.total);
    $("progress").value = job.done;
    $("status").textContent = `${job.kind}: ${job.done} of ${job.total}`;
  } else if (job) $("status").textContent = `${job.kind} ${job.state}${job.message ? ": " + job.message : ""}`;
  else $("status").textContent = "everything is saved as soon as it is done";
  for (const id of ["propagate", "forward", "backward", "undo", "redo"]) $(id).classList.toggle("waiting", running);
  const here = state.masks[frame] === "1";
  $("propagate").disabled = running || !state.pending.length;
  $("forward").disabled = $("backward").disabled = running || !here;
  $("undo").disabled = running || !state.undo;
  $("redo").disabled = running || !state.redo;
  for (const button of document.querySelectorAll("[data-form]")) button.disabled = running || !state.masks.includes("1");
  if (job && before && job.number === before.number && before.state !== job.state && job.state === "failed") complain(job.message);
  showJob.last = job;
  showHint();
}

function showHint() {
  const job = state.job, running = job && job.state === "running";
  let text = "";
  if (!state.objects.length || !state.masks.includes("1")) text = "Click on an object: left where it is, right where it is not";
  else if (running) text = job.kind === "propagation" ? "You may look around and correct in the meantime" : "";
  else if (state.pending.length) text = "Good? Press Propagate to carry the masks through the video. Else click again, or add another object";
  else if (state.neediest !== null) text = "Look where help is worth most (H), correct by clicks, and propagate again";
  $("hint").textContent = text;
  $("hint").hidden = !text || playing;
}

function showPosition() {
  $("position").textContent = `frame ${frame + 1} of ${state.video.frames}`;
  const fixed = state.corrected[frame];
  $("confirm").disabled = !state.objects.length;
  $("confirm").textContent = fixed && fixed.length === state.objects.length ? "It is right ✓" : "It is right";
  $("clear").disabled = chosen === null || state.masks[frame] !== "1";
  const running = state.job && (state.job.state === "running" || state.job.state === "stopping");
  $("forward").disabled = $("backward").disabled = running || state.masks[frame] !== "1";
  drawTime();
}

// ---- the time line ---------------------------------------------------------------------------------------------

function drawTime() {
  if (!state) return;
  const ratio = devicePixelRatio, width = time.width / ratio, height = time.height / ratio, count = state.video.frames;
  timePen.setTransform(ratio, 0, 0, ratio, 0, 0);
  timePen.clearRect(0, 0, width, height);
  const step = width / count, top = THUMBNAILS + 6, bottom = height - 4, x = (index) => (index + 0.5) * step;
  const wide = Math.max(20, Math.round(THUMBNAILS * state.video.width / state.video.height)), slots = Math.max(1, Math.floor(width / wide));
  for (let slot = 0; slot < slots; slot++) {
    const index = Math.min(count - 1, Math.floor(((slot + 0.5) * count) / slots));
    const small = thumbnails.get(index);
    if (small && small.complete && small.naturalWidth) timePen.drawImage(small, (slot * width) / slots, 0, width / slots - 1, THUMBNAILS);
    else if (!small) {
      const made = new Image();
      made.onload = drawTime;
      made.src = `thumbnail/${index}.jpg`;
      thumbnails.set(index, made);
    }
  }
  timePen.fillStyle = "#0c0e12";
  timePen.fillRect(0, top, width, bottom - top);
  timePen.fillStyle = "#262c36";
  for (let begin = 0; begin < count; begin++) {
    if (state.masks[begin] !== "1") continue;
    let end = begin;
    while (end < count && state.masks[end] === "1") end++;
    timePen.fillRect(begin * step, top, (end - begin) * step, bottom - top);
    begin = end;
  }
  for (const thing of state.objects) {
    const values = state.quality[thing.id] || [];
    timePen.strokeStyle = thing.colour;
    timePen.globalAlpha = thing.id === chosen ? 1 : 0.55;
    timePen.lineWidth = thing.id === chosen ? 2 : 1.2;
    timePen.beginPath();
    let down = false;
    values.forEach((value, index) => {
      if (value < 0) { down = false; return; }
      const y = bottom - 3 - ((bottom - top - 6) * value) / 100;
      if (down) timePen.lineTo(x(index), y);
      else timePen.moveTo(x(index) - 0.5, y), timePen.lineTo(x(index), y);
      down = true;
    });
    timePen.stroke();
  }
  timePen.globalAlpha = 1;
  for (const index of Object.keys(state.corrected).map(Number)) {
    timePen.fillStyle = state.pending.includes(index) ? "#ffd23f" : "#ffffff";
    timePen.beginPath();
    timePen.moveTo(x(index), top - 2);
    timePen.lineTo(x(index) + 5, top + 4);
    timePen.lineTo(x(index), top + 10);
    timePen.lineTo(x(index) - 5, top + 4);
    timePen.fill();
  }
  if (state.neediest !== null) {
    timePen.fillStyle = "#ff8f6b";
    timePen.beginPath();
    timePen.moveTo(x(state.neediest), bottom - 8);
    timePen.lineTo(x(state.neediest) + 5, bottom + 2);
    timePen.lineTo(x(state.neediest) - 5, bottom + 2);
    timePen.fill();
  }
  timePen.strokeStyle = "#fff";
  timePen.lineWidth = 1.5;
  timePen.beginPath();
  timePen.moveTo(x(frame), 0);
  timePen.lineTo(x(frame), height);
  timePen.stroke();
}

function seek(event) {
  const box = time.getBoundingClientRect();
  pausePlaying();
  show(Math.floor(((event.clientX - box.left) / box.width) * state.video.frames));
}

time.addEventListener("pointerdown", (event) => { if (state) { time.setPointerCapture(event.pointerId); seek(event); } });
time.addEventListener("pointermove", (event) => { if (state && event.buttons & 1) seek(event); });

// ---- playing ---------------------------------------------------------------------------------------------------

async function play() {
  playing = !playing;
  $("play").textContent = playing ? "Pause" : "Play";
  showHint();
  if (playing && frame === state.video.frames - 1) await show(0);
  while (playing && frame < state.video.frames - 1) {
    const due = performance.now() + 1000 / state.video.rate;
    for (let ahead = 2; ahead < 5; ahead++) if (frame + ahead < state.video.frames) { picture(frame + ahead).catch(() => {}); mask(frame + ahead).catch(() => {}); }
    await show(frame + 1);
    await new Promise((done) => setTimeout(done, Math.max(0, due - performance.now())));
  }
  pausePlaying();
}

function pausePlaying() {
  if (!playing) return;
  playing = false;
  $("play").textContent = "Play";
  showHint();
  show(frame);
}

// ---- buttons and keys ------------------------------------------------------------------------------------------

function take(name) {
  tool = name;
  corners = null;
  for (const button of $("tools").children) button.setAttribute("aria-checked", button.dataset.tool === name);
  draw();
}

function addObject() {
  const added = asked.then(async () => {
    const answer = await ask("add");
    if (answer) {
      await refresh();
      const latest = adding;
      choose(answer.object);
      adding = latest === added ? null : latest;
    }
    return answer && answer.object;
  }).catch(() => null);
  adding = asked = added;
}

const go = (step) => { pausePlaying(); show(frame + step); };
const propagate = (given) => ask("propagate", given);
const acts = {
  undo: () => ask("undo"),
  redo: () => ask("redo"),
  propagate: () => propagate({}),
  forward: () => propagate({ directions: ["forward"], frame }),
  backward: () => propagate({ directions: ["backward"], frame }),
  stop: () => ask("stop"),
  add: addObject,
  confirm: () => ask("confirm", { frame }),
  clear: () => chosen !== null && ask("clear", { frame, object: chosen }),
  play,
  first: () => { pausePlaying(); show(0); },
  last: () => { pausePlaying(); show(state.video.frames - 1); },
  needy: () => { pausePlaying(); if (state.neediest !== null) show(state.neediest); },
  fit: () => { fit(); draw(); },
  help: () => $("keys").showModal(),
};
for (const [id, act] of Object.entries(acts)) $(id).addEventListener("click", () => state && act());
for (const button of $("tools").children) button.addEventListener("click", () => take(button.dataset.tool));
for (const button of document.querySelectorAll("[data-form]")) button.addEventListener("click", () => ask("export", { form: button.dataset.form }));
$("opacity").addEventListener("input", repaint);
$("outlines").addEventListener("change", repaint);
$("error").addEventListener("click", () => { $("error").hidden = true; });
document.addEventListener("pointerdown", (event) => { if (!$("exports").contains(event.target)) $("exports").open = false; });

const keys = {
  1: () => take("click"), 2: () => take("box"), 3: () => take("polygon"), 4: () => take("brush"), 5: () => take("eraser"),
  "[": () => { $("size").value = Number($("size").value) - 2; draw(); }, "]": () => { $("size").value = Number($("size").value) + 2; draw(); },
  n: addObject, p: () => $("propagate").click(), h: acts.needy, o: () => { $("outlines").click(); }, 0: acts.fit, "?": acts.help,
  F: () => $("forward").click(), B: () => $("backward").click(),
  " ": play, Home: acts.first, End: acts.last, Backspace: () => $("clear").click(), Delete: () => $("clear").click(),
  Enter: () => (corners ? closePolygon() : $("confirm").click()),
  Escape: () => { if (corners || drag) { corners = drag = null; draw(); } else if (!$("stop").hidden) $("stop").click(); },
  ArrowLeft: (event) => go(event.shiftKey ? -10 : -1), ArrowRight: (event) => go(event.shiftKey ? 10 : 1),
  Tab: () => {
    if (!state.objects.length) return;
    const place = state.objects.findIndex((thing) => thing.id === chosen);
    choose(state.objects[(place + 1) % state.objects.length].id);
  },
};

document.addEventListener("keydown", (event) => {
  const writing = event.target.tagName === "INPUT" && event.target.type !== "range" && event.target.type !== "checkbox";
  if (!state || writing || $("keys").open || event.altKey) return;
  if (event.ctrlKey || event.metaKey) {
    const key = event.key.toLowerCase();
    if (key === "z" || key === "y") {
      event.preventDefault();
      $(key === "y" || event.shiftKey ? "redo" : "undo").click();
    }
    return;
  }
  if ((event.key === "Enter" || event.key === " ") && ["BUTTON", "SUMMARY", "A"].includes(event.target.tagName)) return;
  if (event.key === "Tab" && event.target !== $("stage") && event.target !== document.body) return;
  const act = keys[event.key] || keys[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act(event);
});

addEventListener("resize", resize);
take("click");
refresh().then(async () => {
  if (!state) { complain("The program does not answer."); return; }
  resize();
  fit();
  const first = Object.keys(state.corrected).map(Number)[0] || 0;
  await show(first);
  listen();
});
