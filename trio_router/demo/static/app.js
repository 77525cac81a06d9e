// One tab, one session: the first prompt opens it, every further prompt continues it.

import { Player } from "./player.js";
import { watchStatus } from "./status.js";

const byId = (id) => document.getElementById(id);
const LOG_LINES = 200;

let socket = null;
let player = null;
let replica = null;
let ready = false;      // the stream has started: prompts may be sent
let complete = false;   // the replica has said that no more segments will come
let failure = null;     // the message of the last error frame
let unsent = [];        // prompts that wait for the stream to start
let lastPrompt = "";
let asked = 0;          // segments asked for in this session

function setState(state) {
  byId("state").textContent = state;
  byId("state").dataset.state = state;
}

function log(text, kind = "") {
  const line = document.createElement("li");
  line.className = kind;
  line.textContent = text;
  byId("log").prepend(line);
  while (byId("log").childElementCount > LOG_LINES) byId("log").lastElementChild.remove();
}

function showBanner(text, label, isError) {
  byId("error-text").textContent = text;
  byId("retry").textContent = label;
  byId("error").classList.toggle("bad", isError);
  byId("error").hidden = false;
}

function openSession() {
  player?.dispose();
  player = new Player(byId("video"));
  replica = null;
  ready = complete = false;
  failure = null;
  asked = 0;
  for (const id of ["replica", "queue", "close-code"]) byId(id).textContent = "–";
  byId("segments").replaceChildren();
  byId("error").hidden = true;
  byId("placeholder").hidden = true;
  byId("stop").hidden = false;
  setState("connecting");
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const opened = new WebSocket(`${scheme}//${location.host}/v1/stream`);
  opened.binaryType = "arraybuffer";
  opened.onopen = () => {
    setState("waiting");
    send({ type: "session_init_v2", client_id: crypto.randomUUID?.() ?? "demo-page", stream_mode: "av_fmp4" });
  };
  opened.onmessage = (event) => (typeof event.data === "string" ? onMessage(JSON.parse(event.data)) : onMedia(event.data));
  opened.onclose = (event) => opened === socket && onClose(event);
  socket = opened;
}

function send(message) {
  socket.send(JSON.stringify(message));
  log(`→ ${message.type}${message.prompt ? ` “${message.prompt}”` : ""}`, "sent");
}

function ask(prompt) {
  lastPrompt = prompt;
  if (socket === null) openSession();
  if (!ready) unsent.push(prompt);
  else sendPrompt(prompt);
}

function sendPrompt(prompt) {
  asked += 1;
  const chip = document.createElement("li");
  chip.id = `segment-${asked}`;
  chip.dataset.state = "asked";
  chip.textContent = prompt;
  byId("segments").append(chip);
  send({ type: "segment_prompt_source", prompt, source: "user" });
}

function chipOf(message) {
  return byId(`segment-${message.segment_idx + 1}`);
}

function showMaking(text, value, max) {
  byId("making").hidden = text === "";
  byId("making-text").textContent = text;
  byId("steps").max = max || 1;
  byId("steps").value = value;
}

const handlers = {
  queue_status(message) {
    byId("queue").textContent = message.position > 0 ? `place ${message.position} of ${message.queue_depth}` : "–";
    if (message.position > 0) setState("in line");
  },
  gpu_assigned(message) {
    replica = message.replica ?? null;
    byId("replica").textContent = replica ? `${replica} (GPU ${message.gpu_id})` : `GPU ${message.gpu_id}`;
    byId("queue").textContent = "–";
  },
  ltx2_stream_start() {
    ready = true;
    setState("ready");
    unsent.splice(0).forEach(sendPrompt);
  },
  ltx2_segment_start(message) {
    setState("generating");
    chipOf(message)?.setAttribute("data-state", "generating");
    showMaking(`segment ${message.segment_idx + 1}`, 0, message.total_steps);
  },
  step_complete(message) {
    showMaking(`segment ${message.segment_idx + 1}`, message.step, message.total_steps);
  },
  media_init(message) {
    if (!Player.supports(message.mime)) {
      failure = `this browser cannot play ${message.mime}`;
      socket.close(1000);
      return;
    }
    setState("streaming");
    player.init(message.mime);
  },
  ltx2_segment_complete(message) {
    setState("ready");
    chipOf(message)?.setAttribute("data-state", "complete");
    showMaking("", 0, 1);
  },
  ltx2_stream_complete() {
    complete = true;
  },
  error(message) {
    failure = message.message ?? message.code ?? "unknown error";
    showBanner(failure, "Try again", true);
  },
};

function onMessage(message) {
  if (message.type !== "step_complete") log(`← ${message.type}${message.code ? ` ${message.code}` : ""}`);
  // A type that is not known here is not an error: the protocol grows by adding types.
  handlers[message.type]?.(message);
}

function onMedia(data) {
  player.append(data);
}

function onClose(event) {
  // After ltx2_stream_complete nothing is missing, however the connection ends.
  const bad = failure !== null || !(complete || event.code === 1000 || event.code === 1005);
  socket = null;
  ready = false;
  unsent = [];
  byId("close-code").textContent = `${event.code}${event.reason ? ` ${event.reason}` : ""}`;
  byId("stop").hidden = true;
  showMaking("", 0, 1);
  player.end();
  setState(bad ? "failed" : complete ? "complete" : "closed");
  log(`closed with ${event.code}`, bad ? "bad" : "");
  if (bad) showBanner(failure ?? `The connection was closed with code ${event.code}.`, "Try again", true);
  else showBanner(complete ? "The stream is complete." : "The session is closed.", "Start again", false);
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const prompt = byId("prompt").value.trim() || byId("prompt").placeholder;
  byId("prompt").value = "";
  ask(prompt);
});
byId("retry").addEventListener("click", () => {
  byId("error").hidden = true;
  ask(byId("prompt").value.trim() || lastPrompt);
});
byId("stop").addEventListener("click", () => socket?.close(1000));
setInterval(() => {
  if (player) byId("buffered").textContent = `${byId("video").currentTime.toFixed(1)} of ${player.bufferedEnd.toFixed(1)} s`;
}, 250);
watchStatus(() => (socket === null ? null : replica));
