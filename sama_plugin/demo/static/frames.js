/** Pictures of exact frames, fetched ahead of need, the latest kept in memory. */

import { Failure, frameAddress, getPicture } from "./api.js";
import { Subject } from "./subject.js";

const KEPT_BYTES = 256 * 2 ** 20;
const AT_ONCE = 4; // browsers allow six connections, and an answer holds one
const WIDTHS = [320, 480, 640, 960, 1280, 1920];

/** Tells `loaded` when a frame has come, `fault` when one cannot be had; that one is not asked for again before `retry`. */
export class FrameStore extends Subject {
  constructor() {
    super();
    this.pictures = new Map(); // index → ImageBitmap, the one used last at the end
    this.faults = new Map(); // index → words
    this.fetching = new Map(); // index → AbortController
    this.wanted = [];
  }

  /**
   * Begins with a session's video; null for none.
   *
   * @param {string|null} id
   * @param {object} video
   */
  open(id, video) {
    this.#drop();
    this.id = id;
    this.video = video;
    this.width = 0;
  }

  /** Says how many pixels wide frames are shown; fetches them anew if they are too small for that. */
  fit(pixels) {
    const enough = WIDTHS.find((width) => width >= pixels) ?? Infinity;
    const width = Math.min(enough, this.video.width);
    if (width <= this.width) return;
    this.width = width;
    const wanted = this.wanted;
    this.#drop();
    this.aim(wanted);
  }

  /** The frame's picture if it is there. */
  get(index) {
    const picture = this.pictures.get(index);
    if (picture) {
      this.pictures.delete(index);
      this.pictures.set(index, picture);
    }
    return picture;
  }

  /** Says which frames are needed, the most urgent first; others are given up, and those that there is no room for. */
  aim(indices) {
    this.wanted = indices.slice(0, this.#room);
    for (const [index, controller] of this.fetching) if (!this.wanted.includes(index)) controller.abort();
    this.#fetchMore();
  }

  /** Lets frames that could not be had be asked for again. */
  retry() {
    this.faults.clear();
  }

  /** How many frames are kept. */
  get #room() {
    const height = (this.width * this.video?.height) / this.video?.width;
    return this.width ? Math.max(2, Math.floor(KEPT_BYTES / (4 * this.width * height))) : Infinity;
  }

  #fetchMore() {
    if (!this.id || !this.width) return;
    for (const index of this.wanted) {
      if (this.fetching.size >= AT_ONCE) return;
      if (this.pictures.has(index) || this.fetching.has(index) || this.faults.has(index)) continue;
      this.#fetch(index);
    }
  }

  async #fetch(index) {
    const controller = new AbortController();
    this.fetching.set(index, controller);
    try {
      const picture = await getPicture(frameAddress(this.id, index, this.width), controller.signal);
      const bitmap = await createImageBitmap(picture);
      if (controller.signal.aborted) return;
      this.#keep(index, bitmap);
      this.tell("loaded");
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      if (failure.code === "aborted" || controller.signal.aborted) return;
      this.faults.set(index, failure);
      this.tell("fault");
    } finally {
      if (this.fetching.get(index) === controller) this.fetching.delete(index);
      this.#fetchMore();
    }
  }

  #keep(index, bitmap) {
    this.pictures.set(index, bitmap);
    for (const [oldest, picture] of this.pictures) {
      if (this.pictures.size <= this.#room) break;
      if (this.wanted.includes(oldest)) continue;
      picture.close();
      this.pictures.delete(oldest);
    }
  }

  #drop() {
    for (const controller of this.fetching.values()) controller.abort();
    for (const picture of this.pictures.values()) picture.close();
    this.fetching.clear();
    this.pictures.clear();
    this.faults.clear();
    this.wanted = [];
  }
}
