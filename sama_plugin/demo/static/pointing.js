/** Pointing: clicks, boxes and scribbles, by pointer or by keyboard, become regions. */

const TOOLS = ["point", "box", "scribble"];
const LEAST_DRAG = 4; // pixels of the page; less was meant as a click
const HINTS = {
  point: "Click what you mean. Shift-click what is not part of it. More clicks refine the same region.",
  box: "Drag a box around what you mean.",
  scribble: "Draw a line over what you mean.",
};

export class Pointing {
  /**
   * @param {object} parts elements by name: `stage`, `canvas`, `tools`, `outside`, `newRegion`, `hint`, `pointFault`, `crossText`
   * @param {import("./talk.js").Talk} talk
   * @param {import("./player.js").Player} player
   * @param {import("./stage.js").Stage} stage
   */
  constructor(parts, talk, player, stage) {
    Object.assign(this, { parts, talk, player, stage });
    this.line = Promise.resolve(); // requests go one after the other
    this.isOutside = false;
    const { canvas } = parts;
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#lift(event));
    canvas.addEventListener("pointercancel", () => this.#forgetDrag());
    parts.stage.addEventListener("keydown", (event) => this.#key(event));
    parts.stage.addEventListener("blur", () => this.#showCross(null));
    parts.tools.addEventListener("change", (event) => this.choose(event.target.value));
    parts.outside.addEventListener("click", () => this.#setOutside(!this.isOutside));
    parts.newRegion.addEventListener("click", () => this.beginNew());
    talk.on("session", () => this.#reset());
    talk.on("active", () => this.#showHint());
    player.on("shown", () => this.#turnAway());
    this.choose("point");
  }

  /** Takes up a tool. */
  choose(tool) {
    this.tool = tool;
    for (const input of this.parts.tools.querySelectorAll("input")) input.checked = input.value === tool;
    this.parts.canvas.dataset.tool = tool;
    this.parts.outside.hidden = tool !== "point";
    this.beginNew();
  }

  /** Takes up a tool by its number from 1. */
  chooseNumber(number) {
    this.choose(TOOLS[number - 1]);
  }

  /** Lets the next click begin another region. */
  beginNew() {
    this.clicks = null;
    this.talk.activate(null);
    this.#setOutside(false);
    this.#showHint();
  }

  /** Takes up the keyboard's cross, or puts it away. */
  toggleCross() {
    if (this.stage.cross) return this.#showCross(null);
    const { width, height } = this.talk.video;
    this.player.pause();
    this.parts.stage.focus();
    this.#showCross([width / 2, height / 2]);
  }

  #reset() {
    this.drag = null;
    this.stage.draft = null;
    this.clicks = null;
    this.#showCross(null);
    this.#complain("");
    this.#showHint();
  }

  /** On another frame, clicks mean something else. */
  #turnAway() {
    if (this.talk.active && !this.#refined()) this.talk.activate(null);
    if (this.clicks && this.clicks.frame !== this.player.shown) this.clicks = null;
    this.#showHint();
  }

  #setOutside(isOutside) {
    this.isOutside = isOutside;
    this.parts.outside.setAttribute("aria-pressed", `${isOutside}`);
  }

  #showHint() {
    const refining = this.tool === "point" && this.#refined();
    this.parts.hint.textContent = refining
      ? `More clicks refine ${refining.name}; “New region” (N) begins another.`
      : HINTS[this.tool];
    this.parts.newRegion.disabled = !refining;
  }

  /** The region that a click would refine. */
  #refined() {
    const region = this.talk.region(this.talk.active);
    return region?.kind === "point" && region.frame === this.player.shown ? region : null;
  }

  // The pointer.

  #press(event) {
    if (event.button !== 0 || this.player.shown === null) return;
    this.player.pause();
    this.stage.parts.canvas.setPointerCapture(event.pointerId);
    this.#begin(this.#placeOf(event));
    event.preventDefault();
    this.parts.stage.focus({ preventScroll: true });
  }

  #move(event) {
    if (!this.drag) return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) this.#extend(this.#placeOf(part));
  }

  #lift(event) {
    if (this.drag) this.#end(this.#placeOf(event), event.shiftKey);
  }

  /** Pixels of the video, within it. */
  #placeOf({ clientX, clientY }) {
    const { left, top, width, height } = this.parts.canvas.getBoundingClientRect();
    const { video } = this.talk;
    return this.#within([((clientX - left) / width) * video.width, ((clientY - top) / height) * video.height]);
  }

  #within([x, y]) {
    const { width, height } = this.talk.video;
    const clamp = (value, most) => Math.round(100 * Math.max(0, Math.min(value, most - 0.01))) / 100;
    return [clamp(x, width), clamp(y, height)];
  }

  // The keyboard: arrows move the cross, Enter presses; with box and scribble, Enter again lets go.

  #key(event) {
    const { cross } = this.stage;
    if (!cross || event.ctrlKey || event.metaKey || event.altKey) return;
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (way) {
      const far = (event.shiftKey ? 40 : 8) * this.stage.scale;
      this.#showCross(this.#within([cross[0] + far * way[0], cross[1] + far * way[1]]));
      if (this.drag) this.#extend(this.stage.cross);
    } else if (event.key === "Enter") {
      if (!this.drag) this.#begin(cross);
      if (this.tool === "point" || this.drag?.isHeld) this.#end(cross, event.shiftKey);
      else this.drag.isHeld = true;
    } else if (event.key === "Escape") {
      if (this.drag) this.#forgetDrag();
      else this.#showCross(null);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #showCross(place) {
    this.stage.cross = place;
    this.parts.crossText.textContent = place ? `Cross at ${Math.round(place[0])}, ${Math.round(place[1])}.` : "";
    this.stage.redraw();
  }

  // What both do.

  #begin(place) {
    this.drag = { start: place, path: [place] };
  }

  #extend(place) {
    const { start, path } = this.drag;
    if (this.tool === "point") return;
    path.push(place);
    const frame = this.player.shown;
    this.stage.draft = this.tool === "box" ? { frame, box: boxOf(start, place) } : { frame, scribble: path };
    this.stage.redraw();
  }

  #end(place, isShifted) {
    const { start, path } = this.drag;
    this.drag = null;
    if (this.tool === "point") return this.#click(place, isShifted || this.isOutside);
    const far = Math.max(...path.map(([x, y]) => Math.hypot(x - start[0], y - start[1])), Math.hypot(place[0] - start[0], place[1] - start[1]));
    const box = boxOf(start, place);
    if (far < LEAST_DRAG * this.stage.scale || (this.tool === "box" && (box[0] === box[2] || box[1] === box[3]))) {
      this.#forgetDrag();
      return this.#complain(`That was a click. ${HINTS[this.tool]}`);
    }
    this.#send({ frame: this.player.shown, ...(this.tool === "box" ? { box } : { scribble: thinned([...path, place]) }) });
  }

  #forgetDrag() {
    this.drag = null;
    this.stage.draft = null;
    this.stage.redraw();
  }

  #click(place, isOutside) {
    const frame = this.player.shown;
    const refined = this.#refined();
    if (this.clicks?.frame !== frame || (this.clicks.name && this.clicks.name !== refined?.name)) {
      const points = refined?.point ?? [];
      this.clicks = { name: refined?.name ?? null, frame, points: [...points], numSent: points.length };
    }
    const { clicks } = this;
    clicks.points.push([...place, isOutside ? 0 : 1]);
    this.stage.draft = { frame, points: clicks.points, isBusy: true };
    this.stage.redraw();
    this.#queue(() => this.#sendClicks(clicks));
  }

  /** Sends all clicks of a region, those that came meanwhile too; takes back those that cannot be used. */
  async #sendClicks(clicks) {
    const count = clicks.points.length;
    if (count === clicks.numSent) return;
    const points = clicks.points.slice(0, count);
    const worked = await this.#ask(clicks.name, { frame: clicks.frame, point: points }, (name) => {
      clicks.name = name;
      if (this.clicks === clicks) this.talk.activate(name);
    });
    if (worked) clicks.numSent = count;
    else clicks.points.splice(clicks.numSent, count - clicks.numSent);
    if (!clicks.points.length && this.clicks === clicks) this.clicks = null;
  }

  #send(pointed) {
    this.clicks = null;
    this.stage.draft = { ...pointed, isBusy: true };
    this.stage.redraw();
    this.#queue(() => this.#ask(null, pointed, () => {}));
  }

  /** Sends when what was sent before is answered, unless another video is open by then. */
  #queue(send) {
    const { id } = this.talk;
    this.line = this.line.then(() => (this.talk.id === id ? send() : null));
  }

  async #ask(name, pointed, onName) {
    this.parts.stage.setAttribute("aria-busy", "true");
    const draft = this.stage.draft;
    const worked = await this.talk.attempt(
      async () => onName(await this.talk.point(name, pointed)),
      (words) => this.#complain(words),
    );
    this.parts.stage.removeAttribute("aria-busy");
    if (this.stage.draft === draft) this.stage.draft = null;
    this.stage.redraw();
    return worked;
  }

  #complain(words) {
    this.parts.pointFault.textContent = words;
    this.parts.pointFault.hidden = !words;
  }
}

function boxOf([x0, y0], [x1, y1]) {
  return [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
}

/** A scribble with no more points than anyone can tell apart. */
function thinned(path) {
  const step = Math.ceil(path.length / 200);
  return path.filter((_, i) => i % step === 0 || i === path.length - 1);
}
