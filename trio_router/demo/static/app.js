// Wires the page: the form, the connection, the session, the player and the table.

import { Connection } from "./connection.js";
import { Player } from "./player.js";
import { showAway, showStatus } from "./replicas.js";
import { Session } from "./session.js";
import { watchStatus } from "./status.js";
import { log, show, showBuffered, showTimes } from "./view.js";

const byId = (id) => document.getElementById(id);
// The same for all connections of this tab: a router with affinity knows it again.
const clientId = crypto.randomUUID?.() ?? `demo-${Math.random().toString(36).slice(2)}`;
const scheme = location.protocol === "https:" ? "wss:" : "ws:";

let player = null;
let refreshStatus = () => {};
const connection = new Connection(`${scheme}//${location.host}/v1/stream`);
const session = new Session(send);

function send(message) {
  connection.send(message);
  log(`→ ${message.type}${message.prompt ? ` “${message.prompt}”` : ""}`, "sent");
}

function openSession() {
  player?.dispose();
  player = new Player(byId("video"));
  session.restart();
  connection.open();
}

function typedPrompt() {
  const typed = byId("prompt").value.trim();
  byId("prompt").value = "";
  return typed;
}

connection.addEventListener("opening", () => session.connecting());
connection.addEventListener("open", () => {
  send({ type: "session_init_v2", client_id: clientId, stream_mode: "av_fmp4" });
});
connection.addEventListener("message", ({ detail: message }) => {
  if (message.type !== "step_complete") log(`← ${message.type}${message.code ? ` ${message.code}` : ""}`);
  if (message.type === "ltx2_stream_start") connection.confirm();
  if (message.type === "ltx2_stream_complete") connection.finish();
  if (message.type === "media_init") {
    if (Player.supports(message.mime)) player.init(message.mime);
    else connection.fail({ code: "unplayable", message: `this browser cannot play ${message.mime}` });
  }
  session.receive(message);
});
connection.addEventListener("media", ({ detail: data }) => player.append(data));
connection.addEventListener("retry", ({ detail: { end, seconds } }) => {
  log(`closed with ${end.code}, next try in ${seconds.toFixed(1)} s`, "bad");
  session.retrying(end, seconds);
  refreshStatus();
});
connection.addEventListener("end", ({ detail: { end } }) => {
  log(`closed with ${end.code}`, end.normal ? "" : "bad");
  player.end();
  session.ended(end);
});

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  session.add(typedPrompt() || byId("prompt").placeholder);
  if (!connection.active) openSession();
});
byId("retry").addEventListener("click", () => {
  const typed = typedPrompt();
  if (typed) session.add(typed);
  if (connection.active) connection.open();
  else openSession();
});
byId("stop").addEventListener("click", () => connection.close());

session.addEventListener("change", () => show(session));
setInterval(() => {
  showTimes(session);
  if (player) showBuffered(byId("video").currentTime, player.bufferedEnd);
}, 250);
refreshStatus = watchStatus(
  (status, alive) => showStatus(status, alive, connection.active ? session.serving?.replica : null, refreshStatus),
  showAway,
);
// On a wide screen there is room for the messages.
byId("messages").open = matchMedia("(min-width: 861px)").matches;
