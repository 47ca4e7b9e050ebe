/** Which frame is shown: seeking, stepping, playing by the frames' own times. A frame counts as shown once it is there. */

import { Subject } from "./subject.js";

const AHEAD = 24;
const BEHIND = 4;
const LONGEST_TICK_S = 0.25; // after a hidden tab, go on where it was

/** Tells `shown` when another frame is shown, `sought` when one is asked for, `playing` when it starts or stops. */
export class Player extends Subject {
  /** @param {import("./frames.js").FrameStore} frames */
  constructor(frames) {
    super();
    this.frames = frames;
    this.isLooping = true;
    this.rate = 1;
    frames.on("loaded", () => this.#arrive());
    this.open(null);
  }

  /** Begins with a video; null for none. */
  open(video) {
    this.isPlaying = false;
    this.video = video;
    this.sought = 0;
    this.shown = null;
    this.clock = 0;
    if (video) this.seek(0);
  }

  /** Frames in the video. */
  get count() {
    return this.video?.num_frames ?? 0;
  }

  /** When a frame begins to be shown, seconds. */
  timeOf(index) {
    return this.video.timestamps_s[index];
  }

  /** The frame that is shown at a time. */
  frameAt(seconds) {
    const times = this.video.timestamps_s;
    let [low, high] = [0, times.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (times[middle] <= seconds) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Goes to a frame; it is shown as soon as it is there. */
  seek(index) {
    if (!this.video) return;
    this.sought = Math.max(0, Math.min(this.count - 1, Math.round(index)));
    this.clock = this.timeOf(this.sought);
    this.frames.retry();
    this.#aim();
    this.tell("sought");
    this.#arrive();
  }

  /** Goes some frames on, or back. */
  step(frames) {
    this.pause();
    this.seek(this.sought + frames);
  }

  toggle() {
    if (this.isPlaying) this.pause();
    else this.play();
  }

  play() {
    if (!this.video || this.count < 2) return;
    this.seek(this.sought === this.count - 1 ? 0 : this.sought);
    this.isPlaying = true;
    this.tell("playing");
    let before = performance.now();
    const run = (this.run = {});
    const tick = (now) => {
      if (!this.isPlaying || this.run !== run) return; // or two of them would play at once
      this.#advance(Math.min((now - before) / 1000, LONGEST_TICK_S) * this.rate);
      before = now;
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  pause() {
    if (!this.isPlaying) return;
    this.isPlaying = false;
    this.tell("playing");
  }

  #advance(seconds) {
    let clock = this.clock + seconds;
    if (clock >= this.video.duration_s) {
      if (!this.isLooping) {
        this.pause();
        return;
      }
      clock = 0;
    }
    const due = this.frameAt(clock);
    if (due !== this.sought && this.frames.faults.has(due)) {
      this.pause();
      this.seek(due); // which says what is wrong, or has it after all
      return;
    }
    if (due !== this.sought && !this.frames.get(due)) {
      this.frames.aim(this.#needed(due)); // the clock waits for it
      return;
    }
    this.clock = clock;
    if (due === this.sought) return;
    this.sought = due;
    this.#aim();
    this.tell("sought");
    this.#arrive();
  }

  #aim() {
    this.frames.aim(this.#needed(this.sought));
  }

  #needed(from) {
    const wrap = (index) => (this.isLooping ? (index + this.count) % this.count : index);
    const ahead = Array.from({ length: AHEAD + 1 }, (_, i) => wrap(from + i));
    const behind = Array.from({ length: BEHIND }, (_, i) => wrap(from - 1 - i));
    return [...new Set([...ahead, ...behind])].filter((index) => index >= 0 && index < this.count);
  }

  #arrive() {
    if (!this.video || this.shown === this.sought || !this.frames.get(this.sought)) return;
    this.shown = this.sought;
    this.tell("shown");
  }
}
