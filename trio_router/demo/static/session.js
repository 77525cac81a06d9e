// What this tab knows of its stream: the prompts and how far each is, the place in the queue, the replica.
// A prompt that was not answered survives its connection and is sent again on the next one. No page, no socket:
// the owner hands in messages, and gets the messages to send through `send`.

const UNANSWERED = new Set(["waiting", "sent", "generating"]);

export class Session extends EventTarget {
  prompts = [];      // {text, state}: waiting, sent, generating, complete, not sent, stopped
  phase = "idle";    // connecting, queued, ready, generating, streaming, retrying, complete, failed, closed
  place = null;      // {position, depth, estimateSeconds, at} while in the queue
  serving = null;    // {replica, gpu}
  making = null;     // {segment, step, steps}
  end = null;        // how the last connection ended
  retryAt = null;    // milliseconds of performance.now()
  #inOrder = [];     // the prompts sent on this connection; the server counts segments from 0 on each
  #ready = false;    // prompts may be sent

  constructor(send) {
    super();
    this.send = send;
  }

  get unfinished() {
    return this.prompts.filter(({ state }) => state !== "complete");
  }

  get notSent() {
    return this.prompts.filter(({ state }) => state === "not sent");
  }

  add(text) {
    const prompt = { text, state: this.phase === "complete" ? "not sent" : "waiting" };
    this.prompts.push(prompt);
    if (this.#ready) this.#sendPrompt(prompt);
    this.changed();
  }

  // A new story: prompts that were never answered stay; without any, the last one is asked again.
  restart() {
    const last = this.prompts.at(-1);
    this.prompts = this.unfinished.filter(({ state }) => state !== "stopped");
    if (!this.prompts.length && last) this.prompts.push(last);
    for (const prompt of this.prompts) prompt.state = "waiting";
  }

  connecting() {
    Object.assign(this, { phase: "connecting", place: null, serving: null, making: null, end: null, retryAt: null });
    this.#forgetConnection("waiting");
    this.changed();
  }

  retrying(end, seconds) {
    this.#ended("retrying", end, "waiting");
    this.retryAt = performance.now() + seconds * 1000;
    this.changed();
  }

  ended(end) {
    if (!end.normal) this.#ended("failed", end, "waiting");
    else if (this.phase === "complete") this.#ended("complete", end, "not sent");
    else this.#ended("closed", end, "stopped");
    this.changed();
  }

  // A type that is not known here is not an error: the protocol grows by adding types.
  receive(message) {
    this.#handlers[message.type]?.(message);
    this.changed();
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }

  #handlers = {
    queue_status: ({ position, queue_depth: depth, estimated_wait_seconds: estimateSeconds }) => {
      if (!(position > 0)) return;
      this.phase = "queued";
      this.place = { position, depth, estimateSeconds, at: performance.now() };
    },
    gpu_assigned: ({ replica, gpu_id: gpu }) => {
      this.phase = "connecting";
      this.place = null;
      this.serving = { replica: replica ?? null, gpu };
    },
    ltx2_stream_start: () => {
      this.#ready = true;
      this.phase = "ready";
      this.prompts.filter(({ state }) => state === "waiting").forEach((prompt) => this.#sendPrompt(prompt));
    },
    ltx2_segment_start: ({ segment_idx: index, total_steps: steps }) => {
      this.phase = "generating";
      this.#mark(index, "generating");
      this.making = { segment: index + 1, step: 0, steps };
    },
    step_complete: ({ segment_idx: index, step, total_steps: steps }) => {
      this.making = { segment: index + 1, step, steps };
    },
    media_init: () => {
      this.phase = "streaming";
    },
    ltx2_segment_complete: ({ segment_idx: index }) => {
      this.phase = "ready";
      this.making = null;
      this.#mark(index, "complete");
    },
    ltx2_stream_complete: () => {
      this.phase = "complete";
      this.#forgetConnection("not sent");
    },
  };

  #ended(phase, end, state) {
    Object.assign(this, { phase, end, place: null, serving: null, making: null });
    this.#forgetConnection(state);
  }

  #forgetConnection(state) {
    this.#ready = false;
    this.#inOrder = [];
    for (const prompt of this.prompts) if (UNANSWERED.has(prompt.state)) prompt.state = state;
  }

  #sendPrompt(prompt) {
    prompt.state = "sent";
    this.#inOrder.push(prompt);
    this.send({ type: "segment_prompt_source", prompt: prompt.text, source: "user" });
  }

  #mark(index, state) {
    if (this.#inOrder[index]) this.#inOrder[index].state = state;
  }
}
