// The live table of /status. Every key may be missing: the page must survive a router that is older or newer than it.

const POLL_MS = 1000;
const byId = (id) => document.getElementById(id);

function cell(text, className) {
  const element = document.createElement("td");
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

function pill(text) {
  const element = document.createElement("td");
  const inner = document.createElement("span");
  inner.className = "pill";
  inner.dataset.state = text;
  inner.textContent = text;
  element.append(inner);
  return element;
}

function ago(unixSeconds) {
  if (!unixSeconds) return "never";
  return `${Math.max(0, Date.now() / 1000 - unixSeconds).toFixed(0)} s ago`;
}

const number = (value, digits, unit = "") => (typeof value === "number" ? value.toFixed(digits) + unit : "–");

function nameCell(replica) {
  const element = cell("");
  const name = document.createElement("strong");
  name.textContent = replica.name ?? replica.url ?? "?";
  const address = document.createElement("small");
  address.className = "quiet";
  address.textContent = replica.name ? replica.url : "";
  element.append(name, address);
  return element;
}

function sessions(replica) {
  const open = replica.open_sessions ?? 0;
  return typeof replica.capacity === "number" ? `${open} of ${replica.capacity}` : `${open}`;
}

function row(replica, serving) {
  const element = document.createElement("tr");
  element.dataset.replica = replica.name ?? replica.url ?? "";
  element.classList.toggle("serving", Boolean(serving) && serving === replica.name);
  element.append(
    nameCell(replica),
    pill(replica.status ?? "unknown"),
    cell(sessions(replica), "number"),
    cell(number(replica.weight, 1) + (replica.primary ? " · primary" : ""), "number"),
    cell(number(replica.last_latency_ms, 1, " ms"), "number"),
    cell(ago(replica.last_ok_at), "number"),
    cell(`${replica.consecutive_failures ?? 0}`, "number"),
  );
  return element;
}

function routerLine(router) {
  const parts = [];
  if (router.version) parts.push(`version ${router.version}`);
  if (typeof router.uptime_seconds === "number") parts.push(`up ${router.uptime_seconds.toFixed(0)} s`);
  if (typeof router.open_sessions === "number") parts.push(`${router.open_sessions} open session${router.open_sessions === 1 ? "" : "s"}`);
  return parts.join(" · ");
}

// `serving` answers with the name of the replica that serves this tab, or null.
export async function watchStatus(serving) {
  for (;;) {
    try {
      const answer = await fetch("/status", { cache: "no-store", signal: AbortSignal.timeout(5000) });
      const status = await answer.json();
      byId("status-table").tBodies[0].replaceChildren(...(status.replicas ?? []).map((r) => row(r, serving())));
      byId("router").textContent = routerLine(status.router ?? {});
      byId("status-note").textContent = "";
    } catch {
      byId("status-note").textContent = "no answer from /status";
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
