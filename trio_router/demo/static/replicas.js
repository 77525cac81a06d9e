// The table of replicas. Every key of the status may be missing: the page must survive a router that is older or
// newer than it. Rows are kept and updated: a row that was replaced would lose its button's focus, or a click.

import { order } from "./status.js";

const byId = (id) => document.getElementById(id);
const rows = new Map();
let lastGoodAt = null;

const number = (value, digits, unit = "") => (typeof value === "number" ? value.toFixed(digits) + unit : "–");

function ago(unixSeconds) {
  return unixSeconds ? `${Math.max(0, Date.now() / 1000 - unixSeconds).toFixed(0)} s ago` : "never";
}

function condition(replica) {
  if (replica.status !== "healthy") return { unhealthy: "not answering", unknown: "not asked yet" }[replica.status] ?? replica.status;
  if (replica.ejected_for_seconds) return `set aside for ${replica.ejected_for_seconds.toFixed(0)} s`;
  return replica.warming ? "warming up" : "healthy";
}

function sessions(replica) {
  const open = replica.open_sessions ?? 0;
  return typeof replica.capacity === "number" ? `${open} of ${replica.capacity}` : `${open}`;
}

function newRow(name, refresh) {
  const element = document.createElement("tr");
  element.dataset.replica = name;
  element.innerHTML =
    '<th scope="row"><strong></strong> <small class="quiet"></small></th><td><span class="pill"></span></td>' +
    '<td class="number"></td><td class="number extra wide-only"></td>' + '<td class="number extra"></td>'.repeat(3) +
    '<td class="number"><button type="button" class="switch"></button></td>';
  const [header, status, ...rest] = element.cells;
  const button = rest.at(-1).firstElementChild;
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await order(name, button.dataset.action);
      byId("replica-note").textContent = "";
    } catch (error) {
      byId("replica-note").textContent = error.message;
    }
    button.disabled = false;
    refresh();
  });
  return { element, header, pill: status.firstElementChild, numbers: rest.slice(0, -1), button };
}

function fill(row, replica, alive, serving) {
  const name = replica.name ?? replica.url ?? "?";
  row.element.classList.toggle("serving", Boolean(serving) && serving === name);
  row.header.children[0].textContent = name;
  row.header.children[1].textContent = alive === false ? "killed" : replica.name ? (replica.url ?? "") : "";
  row.header.children[1].classList.toggle("killed", alive === false);
  row.pill.dataset.state = replica.ejected_for_seconds ? "ejected" : (replica.status ?? "unknown");
  row.pill.textContent = condition(replica);
  [
    sessions(replica),
    number(replica.weight, 1) + (replica.primary ? " · primary" : ""),
    number(replica.last_latency_ms, 1, " ms"),
    ago(replica.last_ok_at),
    `${replica.consecutive_failures ?? 0}`,
  ].forEach((text, index) => (row.numbers[index].textContent = text));
  row.button.hidden = alive === undefined;
  row.button.disabled = false;
  row.button.dataset.action = alive ? "kill" : "revive";
  row.button.textContent = alive ? "Kill" : "Revive";
  row.button.setAttribute("aria-label", `${alive ? "Kill" : "Revive"} replica ${name}`);
}

function routerLine(status) {
  const { version, uptime_seconds: uptime, open_sessions: open } = status.router ?? {};
  const queue = status.queue ?? status.line;
  const parts = [];
  if (version) parts.push(`version ${version}`);
  if (typeof uptime === "number") parts.push(`up ${uptime.toFixed(0)} s`);
  if (typeof open === "number") parts.push(`${open} open session${open === 1 ? "" : "s"}`);
  if (Array.isArray(queue) && queue.length) parts.push(`${queue.length} in the queue`);
  return parts.join(" · ");
}

// `serving` is the name of the replica that serves this tab, or null.
export function showStatus(status, alive, serving, refresh) {
  lastGoodAt = performance.now();
  const seen = new Set();
  for (const replica of status.replicas ?? []) {
    const key = replica.name ?? replica.url ?? "?";
    seen.add(key);
    if (!rows.has(key)) {
      rows.set(key, newRow(key, refresh));
      byId("status-table").tBodies[0].append(rows.get(key).element);
    }
    fill(rows.get(key), replica, alive.get(key), serving);
  }
  for (const key of rows.keys()) {
    if (seen.has(key)) continue;
    rows.get(key).element.remove();
    rows.delete(key);
  }
  byId("router").textContent = routerLine(status);
  byId("status-table").classList.remove("away");
  byId("status-note").textContent = "";
}

// The router does not answer: what is shown is old, and nothing can be ordered.
export function showAway() {
  byId("status-table").classList.add("away");
  for (const { button } of rows.values()) button.disabled = true;
  const age = lastGoodAt === null ? "" : ` These rows are ${((performance.now() - lastGoodAt) / 1000).toFixed(0)} s old.`;
  byId("status-note").textContent = `The router does not answer.${age}`;
}
