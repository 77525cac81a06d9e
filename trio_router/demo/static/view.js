// Shows a session on the page. Reads, never changes it.

import { PHASES, PROMPT_NOTES, announcement, banner, countdown, estimate, place } from "./words.js";

const LOG_LINES = 200;
const byId = (id) => document.getElementById(id);

// Assigning equal text would make screen readers repeat it, and cost a layout.
function setText(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

export function show(session) {
  byId("state").dataset.state = session.phase;
  setText("state", PHASES[session.phase]);
  setText("replica", servingText(session.serving));
  setText("queue", session.place ? `place ${session.place.position} of ${session.place.depth}` : "–");
  setText("close-code", session.end ? `${session.end.code} ${session.end.reason}`.trim() : "–");
  setText("error-message", session.end?.error?.message ?? "–");
  byId("placeholder").hidden = session.phase !== "idle";
  byId("stop").hidden = !["connecting", "queued", "ready", "generating", "streaming", "retrying"].includes(session.phase);
  showPrompts(session.prompts);
  showMaking(session.making);
  showWaiting(session);
  showBanner(session);
  showTimes(session);
  setText("announce", announcement(session));
}

// What changes with the time alone.
export function showTimes(session) {
  const now = performance.now();
  if (session.place) setText("wait-estimate", estimate(session.place, now));
  setText("countdown", session.phase === "retrying" ? countdown(session.retryAt, now) : "");
}

export function showBuffered(seconds, end) {
  setText("buffered", `${seconds.toFixed(1)} of ${end.toFixed(1)} s`);
}

export function log(text, kind = "") {
  const line = document.createElement("li");
  line.className = kind;
  line.textContent = text;
  byId("log").prepend(line);
  while (byId("log").childElementCount > LOG_LINES) byId("log").lastElementChild.remove();
}

function servingText(serving) {
  if (serving === null) return "–";
  return serving.replica ? `${serving.replica} (GPU ${serving.gpu})` : `GPU ${serving.gpu}`;
}

function showPrompts(prompts) {
  const list = byId("segments");
  while (list.childElementCount > prompts.length) list.lastElementChild.remove();
  prompts.forEach((prompt, index) => {
    const chip = list.children[index] ?? list.appendChild(newChip());
    chip.dataset.state = prompt.state;
    chip.children[0].textContent = prompt.text;
    chip.children[1].textContent = PROMPT_NOTES[prompt.state];
  });
}

function newChip() {
  const chip = document.createElement("li");
  const note = document.createElement("small");
  chip.append(document.createElement("span"), note);
  return chip;
}

function showMaking(making) {
  byId("making").hidden = making === null;
  if (making === null) return;
  setText("making-text", `segment ${making.segment}`);
  byId("steps").max = making.steps || 1;
  byId("steps").value = making.step;
}

function showWaiting(session) {
  byId("waiting").hidden = session.place === null;
  if (session.place === null) return;
  setText("wait-place", place(session.place));
  const own = session.prompts.find(({ state }) => state === "waiting");
  setText("wait-prompt", own?.text ?? "");
  byId("wait-own").hidden = !own;
}

function showBanner(session) {
  const said = banner(session);
  byId("error").hidden = said === null;
  if (said === null) return;
  byId("error").classList.toggle("bad", said.bad);
  setText("error-text", said.text);
  setText("retry", said.button);
}
