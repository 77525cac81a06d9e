// Everything that the page says about a session, in plain words. Codes stay in the details for developers.

const ERRORS = {
  gpu_unavailable: "All GPUs are busy or away.",
  worker_failed: "The GPU server failed during your session.",
  upstream_timeout: "The GPU server did not answer in time.",
  internal_error: "Something went wrong in the router.",
  session_rejected: "The server refused this session.",
  invalid_message: "The server did not understand this page.",
  preset_mismatch: "No GPU server offers this preset.",
  unplayable: "This browser cannot play this video.",
};

const REASONS = {
  no_healthy_replica: "No GPU server is running at the moment.",
  no_replica_reached: "No GPU server could be reached.",
  queue_full: "All GPUs are busy and the queue is full.",
  queue_full: "All GPUs are busy and the queue is full.",
  queue_timeout: "You waited too long: no GPU became free.",
  queue_timeout: "You waited too long: no GPU became free.",
  replicas_full: "All GPUs are busy.",
  per_client_limit: "You have too many sessions open.",
};

const CODES = {
  1001: "The router is stopping.",
  1006: "The connection was lost.",
  1008: "The router ended the session: this client broke a rule.",
  1009: "A message was too large.",
  1011: "The server failed.",
  1012: "The router is restarting.",
  1013: "The service is busy.",
};

export const PHASES = {
  idle: "not started",
  connecting: "connecting",
  queued: "in the queue",
  ready: "ready",
  generating: "generating",
  streaming: "streaming",
  retrying: "trying again soon",
  complete: "complete",
  failed: "failed",
  closed: "closed",
};

export const PROMPT_NOTES = {
  waiting: "waiting",
  sent: "sent",
  generating: "being made",
  complete: "",
  "not sent": "not sent",
  stopped: "stopped",
};

export function cause(end) {
  if (!end.opened && !end.error) return "The router does not answer.";
  return REASONS[end.reason] ?? ERRORS[end.error?.code] ?? CODES[end.code] ?? "The connection was closed.";
}

const count = (n, one, many) => `${n} ${n === 1 ? one : many}`;

export function place({ position, depth }) {
  return depth > 1 ? `You are number ${position} of ${depth} in the queue` : "You are next in the queue";
}

export function estimate({ estimateSeconds, at }, now) {
  if (typeof estimateSeconds !== "number") return "No estimate yet: it is made from sessions that have ended.";
  const left = Math.round(estimateSeconds - (now - at) / 1000);
  if (left <= 0) return "It should be your turn any moment now.";
  if (left < 90) return `About ${count(left, "second", "seconds")} to wait.`;
  return `About ${Math.round(left / 60)} minutes to wait.`;
}

export function countdown(retryAt, now) {
  const left = Math.max(0, Math.ceil((retryAt - now) / 1000));
  return `Trying again in ${count(left, "second", "seconds")}.`;
}

const kept = (n) => (n === 0 ? "" : n === 1 ? " Your prompt is kept." : ` Your ${n} prompts are kept.`);

// The banner of a session that is not running: {text, button, bad}; null while it runs.
export function banner(session) {
  const missing = session.notSent.length;
  switch (session.phase) {
    case "retrying":
      return { text: cause(session.end) + kept(session.unfinished.length), button: "Try now", bad: true };
    case "failed":
      return { text: cause(session.end) + kept(session.unfinished.length), button: "Try again", bad: true };
    case "complete":
      return missing
        ? {
            text: `The stream is complete. ${count(missing, "prompt was", "prompts were")} not sent.`,
            button: "Send in a new stream",
            bad: false,
          }
        : { text: "The stream is complete.", button: "Start again", bad: false };
    case "closed":
      return { text: "You stopped the session.", button: "Start again", bad: false };
    default:
      return null;
  }
}

// What a screen reader is told. Changes only when something happened, never with a countdown.
export function announcement(session) {
  if (session.phase === "queued") return `${place(session.place)}. ${estimate(session.place, session.place.at)}`;
  if (session.phase === "retrying") return `${banner(session).text} The page tries again by itself.`;
  if (session.phase === "generating") return `Segment ${session.making.segment} is being made.`;
  return banner(session)?.text ?? (session.phase === "idle" ? "" : `Session: ${PHASES[session.phase]}.`);
}
