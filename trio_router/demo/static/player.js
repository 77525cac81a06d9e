// Plays self-contained fMP4 segments one after another through one SourceBuffer.

const KEEP_BEHIND_SECONDS = 60;

export class Player {
  constructor(video) {
    this.video = video;
    this.waiting = [];
    this.ended = false;
    this.buffer = null;
    this.source = new MediaSource();
    this.source.addEventListener("sourceopen", () => this.advance(), { once: true });
    this.url = URL.createObjectURL(this.source);
    video.src = this.url;
  }

  static supports(mime) {
    return "MediaSource" in window && MediaSource.isTypeSupported(mime);
  }

  // Every segment begins with its own init and its own time 0: "sequence" puts it after the one before it.
  init(mime) {
    this.waiting.push(() => {
      if (this.buffer === null) {
        this.buffer = this.source.addSourceBuffer(mime);
        this.buffer.mode = "sequence";
        this.buffer.addEventListener("updateend", () => this.advance());
      } else {
        this.buffer.abort(); // the segment before may have been cut inside a box: forget the incomplete one
        this.buffer.changeType(mime);
      }
    });
    this.advance();
  }

  append(data) {
    this.waiting.push(() => this.buffer.appendBuffer(data));
    this.advance();
  }

  end() {
    this.ended = true;
    this.advance();
  }

  get bufferedEnd() {
    const ranges = this.video.buffered;
    return ranges.length ? ranges.end(ranges.length - 1) : 0;
  }

  dispose() {
    this.waiting = [];
    URL.revokeObjectURL(this.url);
  }

  advance() {
    while (this.source.readyState === "open" && !this.buffer?.updating && this.waiting.length) {
      this.waiting.shift()();
    }
    this.startPlaying();
    if (this.source.readyState !== "open" || this.buffer?.updating) return;
    if (this.ended && !this.waiting.length) this.source.endOfStream();
    else this.forgetOld();
  }

  // A video that has run dry waits by itself; only the first start, and one that a browser refused, need a call.
  startPlaying() {
    if (this.video.paused && !this.video.ended && this.bufferedEnd > this.video.currentTime) {
      this.video.play().catch(() => {});
    }
  }

  forgetOld() {
    const until = this.video.currentTime - KEEP_BEHIND_SECONDS;
    if (this.buffer && this.video.buffered.length && this.video.buffered.start(0) < until - 5) {
      this.buffer.remove(0, until);
    }
  }
}
