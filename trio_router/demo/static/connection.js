// One WebSocket after another to the same address: opens, retries with backoff and jitter, and says how it ended.
// Knows no page and no player. Of the messages it knows only `error`, for its `retryable`.
//
// Events: "opening", "open", "message" (detail: the parsed JSON), "media" (detail: an ArrayBuffer),
// "retry" (detail: {end, seconds}), "end" (detail: {end}). An end is {code, reason, error, opened, retryable, normal};
// error is the error message that came last before the close, or null.

// RFC 6455 section 7.4.1. Codes that are not listed (1002, 1003, 1007, 1008, 1009, ...) would end the same way again.
const NORMAL = new Set([1000, 1005]);
const RETRYABLE = new Set([1001, 1006, 1011, 1012, 1013]);

export const BACKOFF = { firstSeconds: 3, maxSeconds: 30, factor: 2 };

// Half of the delay is fixed and half is random: viewers that lost the same replica do not come back together.
export function delaySeconds(failures, random = Math.random, { firstSeconds, maxSeconds, factor } = BACKOFF) {
  const full = Math.min(maxSeconds, firstSeconds * factor ** (failures - 1));
  return full / 2 + (random() * full) / 2;
}

export class Connection extends EventTarget {
  #url;
  #socket = null;
  #timer = null;
  #failures = 0;     // in a row, since confirm()
  #error = null;     // the last message, if it was an error
  #finished = false; // nothing is missing, however the connection ends

  constructor(url) {
    super();
    this.#url = url;
  }

  get active() {
    return this.#socket !== null || this.#timer !== null;
  }

  // Open now, also when a retry is planned for later.
  open() {
    this.#forgetRetry();
    this.#error = null;
    this.#finished = false;
    let opened = false;
    const socket = new WebSocket(this.#url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      opened = true;
      this.#emit("open");
    };
    socket.onmessage = (event) => socket === this.#socket && this.#receive(event.data);
    socket.onclose = (event) => socket === this.#socket && this.#onClose(event, opened);
    this.#socket = socket;
    this.#emit("opening");
  }

  send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  // The session works: a later failure starts again with the shortest delay.
  confirm() {
    this.#failures = 0;
  }

  // The server has said that it is done: any close from now on is a normal end.
  finish() {
    this.#finished = true;
  }

  // End for good: close what is open, or give up the planned retry.
  close() {
    if (this.#timer !== null) {
      this.#forgetRetry();
      this.#emit("end", { end: { code: 1000, reason: "", error: null, opened: false, retryable: false, normal: true } });
    } else {
      this.#finished = true;
      this.#socket?.close(1000);
    }
  }

  // End for good because this side cannot go on; `error` is {code, message}.
  fail(error) {
    this.#error = { ...error, retryable: false };
    this.#socket?.close(1000);
  }

  #receive(data) {
    if (typeof data !== "string") {
      this.#emit("media", data);
      return;
    }
    const message = JSON.parse(data);
    this.#error = message.type === "error" ? message : null;
    this.#emit("message", message);
  }

  #onClose({ code, reason }, opened) {
    this.#socket = null;
    const error = this.#finished ? null : this.#error;
    const normal = this.#finished || (error === null && NORMAL.has(code));
    const retryable = !normal && (error?.retryable ?? RETRYABLE.has(code));
    const end = { code, reason, error, opened, retryable, normal };
    if (!retryable) {
      this.#failures = 0;
      this.#emit("end", { end });
      return;
    }
    this.#failures += 1;
    const seconds = Math.max(delaySeconds(this.#failures), error?.retry_after_seconds ?? 0);
    this.#timer = setTimeout(() => this.open(), seconds * 1000);
    this.#emit("retry", { end, seconds });
  }

  #forgetRetry() {
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
