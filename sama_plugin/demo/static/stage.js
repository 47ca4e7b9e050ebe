/** The picture: the frame that is shown, masks of that very frame over it, regions, and what is being pointed with. */

import { describeFrame } from "./description.js";
import { isLight, marksOn } from "./marks.js";
import { pathOf } from "./outline.js";
import { measureMask } from "./rle.js";

const FILL = { plain: 0.36, high: 0.55, low: 0.12 };
const INSIDE = "#0a7d59";
const OUTSIDE = "#c2410c";

export class Stage {
  /**
   * @param {object} parts elements by name: `stage`, `canvas`, `stageText`, `stageNote`
   * @param {import("./talk.js").Talk} talk
   * @param {import("./player.js").Player} player
   */
  constructor(parts, talk, player) {
    this.parts = parts;
    this.talk = talk;
    this.player = player;
    this.context = parts.canvas.getContext("2d");
    this.showsMasks = true;
    /** What is being pointed with: `{frame, points, box, scribble, isBusy}`; and where the keyboard points. */
    this.draft = null;
    this.cross = null;
    this.isDue = false;
    talk.on("regions turns masks highlight active", () => this.redraw());
    talk.on("session", () => this.#open());
    player.on("shown", () => this.redraw());
    player.frames.on("loaded", () => this.redraw());
    player.frames.on("fault", () => this.#showFault());
    player.on("sought", () => this.#showFault());
    new ResizeObserver(() => this.#resize()).observe(parts.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  /** Pixels of the video per pixel of the page. */
  get scale() {
    return this.talk.video.width / this.parts.canvas.clientWidth;
  }

  /** Draws before the next refresh of the screen. */
  redraw() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.#draw();
    });
  }

  #open() {
    const { video } = this.talk;
    this.parts.stageText.textContent = "";
    if (!video) return;
    this.parts.stage.style.setProperty("--ratio", `${video.width / video.height}`);
    this.#resize();
  }

  #resize() {
    const { canvas } = this.parts;
    if (!this.talk.video || !canvas.clientWidth) return;
    const density = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * density);
    const height = Math.round(canvas.clientHeight * density);
    this.player.frames.fit(width);
    if (canvas.width === width && canvas.height === height) return;
    [canvas.width, canvas.height] = [width, height];
    this.redraw();
  }

  #showFault() {
    const fault = this.player.frames.faults.get(this.player.sought);
    if (fault?.code === "no_session") this.talk.tell("gone");
    this.parts.stageNote.textContent = fault ? `Frame ${this.player.sought} cannot be shown. ${fault.message}` : "";
    this.parts.stageNote.hidden = !fault;
  }

  #draw() {
    const { video } = this.talk;
    const frame = this.player.shown;
    const picture = video && frame !== null && this.player.frames.get(frame);
    if (!picture) return;
    const { canvas } = this.parts;
    const pen = this.context;
    pen.setTransform(canvas.width / video.width, 0, 0, canvas.height / video.height, 0, 0);
    pen.drawImage(picture, 0, 0, video.width, video.height);
    pen.lineJoin = pen.lineCap = "round";
    if (this.showsMasks) this.#drawMasks(frame);
    if (this.draft?.frame === frame) this.#drawDraft(this.draft);
    if (this.cross) this.#drawCross(this.cross);
    if (!this.player.isPlaying) this.parts.stageText.textContent = describeFrame(this.talk, this.player, frame);
  }

  #drawMasks(frame) {
    const marks = marksOn(this.talk, frame);
    const high = this.talk.highlighted;
    const isAnyHigh = marks.some((mark) => high.has(mark.name));
    for (const mark of marks) {
      mark.isHigh = high.has(mark.name);
      mark.fill = mark.isHigh ? FILL.high : isAnyHigh ? FILL.low : FILL.plain;
      this.#drawMask(mark);
    }
    for (const mark of marks) if (mark.points && mark.name === this.talk.active) this.#drawPoints(mark.points);
    const taken = [];
    for (const mark of marks) if (mark.isHigh || !isAnyHigh) this.#drawLabel(mark, taken);
  }

  #drawMask({ rle, colour, fill, isHigh }) {
    const pen = this.context;
    const path = pathOf(rle);
    pen.fillStyle = colour;
    pen.globalAlpha = fill;
    pen.fill(path, "evenodd");
    pen.globalAlpha = 1;
    for (const [width, style] of [[isHigh ? 6 : 4, "rgb(0 0 0 / 0.55)"], [isHigh ? 3.5 : 2, colour]]) {
      pen.lineWidth = width * this.scale;
      pen.strokeStyle = style;
      pen.stroke(path);
    }
  }

  #drawLabel({ rle, colour, label }, taken) {
    const box = measureMask(rle);
    if (!box) return;
    const pen = this.context;
    const size = 13 * this.scale;
    pen.font = `600 ${size}px system-ui, sans-serif`;
    const place = this.#placeLabel(box, pen.measureText(label).width + size, 1.6 * size, taken);
    taken.push(place);
    pen.fillStyle = colour;
    pen.beginPath();
    pen.roundRect(place.x, place.y, place.width, place.height, 0.4 * size);
    pen.fill();
    pen.fillStyle = isLight(colour) ? "#111" : "#fff";
    pen.textBaseline = "middle";
    pen.fillText(label, place.x + size / 2, place.y + 0.83 * size);
  }

  /** Above its mask, or below, or further off where other labels are in the way. */
  #placeLabel(box, width, height, taken) {
    const { video } = this.talk;
    const x = Math.max(0, Math.min((box.x0 + box.x1 - width) / 2, video.width - width));
    const gap = 0.2 * height;
    const heights = [box.y0 - height - gap, box.y1 + gap, box.y0 - 2 * height - 2 * gap, box.y1 + height + 2 * gap, box.y0 + gap];
    const places = heights.filter((y) => y >= 0 && y + height <= video.height).map((y) => ({ x, y, width, height }));
    const meets = (place) => taken.some((other) =>
      place.x < other.x + other.width && other.x < place.x + width && place.y < other.y + height && other.y < place.y + height);
    return places.find((place) => !meets(place)) ?? places[0] ?? { x, y: 0, width, height };
  }

  #drawDraft({ points, box, scribble, isBusy }) {
    const pen = this.context;
    pen.setLineDash(isBusy ? [5 * this.scale, 5 * this.scale] : []);
    for (const [width, style] of [[5, "rgb(0 0 0 / 0.5)"], [2.5, "#fff"]]) {
      pen.lineWidth = width * this.scale;
      pen.strokeStyle = style;
      pen.beginPath();
      if (box) pen.rect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
      for (const [i, [x, y]] of (scribble ?? []).entries()) {
        if (i) pen.lineTo(x, y);
        else pen.moveTo(x, y);
      }
      pen.stroke();
    }
    pen.setLineDash([]);
    if (points) this.#drawPoints(points);
  }

  #drawPoints(points) {
    const pen = this.context;
    const radius = 7 * this.scale;
    for (const [x, y, label] of points) {
      pen.beginPath();
      pen.arc(x, y, radius, 0, 2 * Math.PI);
      pen.fillStyle = label ? INSIDE : OUTSIDE;
      pen.fill();
      pen.lineWidth = 2 * this.scale;
      pen.strokeStyle = "#fff";
      pen.stroke();
      pen.beginPath();
      pen.moveTo(x - radius / 2, y);
      pen.lineTo(x + radius / 2, y);
      if (label) {
        pen.moveTo(x, y - radius / 2);
        pen.lineTo(x, y + radius / 2);
      }
      pen.stroke();
    }
  }

  #drawCross([x, y]) {
    const pen = this.context;
    const arm = 16 * this.scale;
    const gap = 4 * this.scale;
    for (const [width, style] of [[5, "#000"], [2.5, "#fff"]]) {
      pen.lineWidth = width * this.scale;
      pen.strokeStyle = style;
      pen.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        pen.moveTo(x + dx * gap, y + dy * gap);
        pen.lineTo(x + dx * arm, y + dy * arm);
      }
      pen.stroke();
    }
  }
}
