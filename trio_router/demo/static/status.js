// Asks the router for its status, and the demo for its replicas, once a second.

const POLL_MS = 1000;

async function getJson(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(5000) });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

// Calls `onStatus(status, alive)` after each good answer and `onAway()` after each bad one. `alive` says by name
// whether a demo replica is alive. Returns a function that asks at once.
export function watchStatus(onStatus, onAway) {
  let timer = null;
  async function look() {
    clearTimeout(timer);
    try {
      const [status, demo] = await Promise.all([getJson("/status"), getJson("/demo/replicas")]);
      onStatus(status, new Map(demo.replicas.map(({ name, alive }) => [name, alive])));
    } catch {
      onAway();
    }
    clearTimeout(timer);
    timer = setTimeout(look, POLL_MS);
  }
  look();
  return look;
}

// Kill or revive one demo replica. Throws an Error with the server's words.
export async function order(name, action) {
  const token = document.querySelector('meta[name="demo-token"]').content;
  const answer = await fetch(`/demo/replicas/${encodeURIComponent(name)}/${action}`, {
    method: "POST",
    headers: { "X-Demo-Token": token },
  });
  if (!answer.ok) throw new Error((await answer.json()).message);
}
