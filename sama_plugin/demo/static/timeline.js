/** The timeline: a slider, marks of the regions, and for each object a bar where it is seen. */

import { make, partsOf } from "./dom.js";
import { describeSpans, formatTime } from "./description.js";
import { withoutArticle } from "./marks.js";
import { presenceOf } from "./rle.js";

const MOST_NUDGES = 8; // marks of one frame that stand beside each other; more would tell of other times

export class Timeline {
  /**
   * @param {object} parts elements by name: `timeline`, `slider`, `time`, `marks`, `tracks`
   * @param {import("./talk.js").Talk} talk
   * @param {import("./player.js").Player} player
   */
  constructor(parts, talk, player) {
    Object.assign(this, { parts, talk, player });
    parts.slider.addEventListener("input", () => {
      player.pause();
      player.seek(Number(parts.slider.value));
    });
    parts.timeline.addEventListener("pointerdown", (event) => this.#scrub(event));
    parts.timeline.addEventListener("pointermove", (event) => event.buttons && this.#scrub(event));
    talk.on("session", () => this.#open());
    talk.on("regions", () => this.#showMarks());
    talk.on("turns masks", () => this.#showTracks());
    talk.on("highlight", () => this.#showHighlight());
    player.on("sought", () => this.#showPlace());
  }

  #open() {
    if (!this.talk.video) return;
    this.parts.slider.max = this.player.count - 1;
    this.#showPlace();
  }

  #showPlace() {
    const { sought, count } = this.player;
    const time = formatTime(this.player.timeOf(sought));
    this.parts.slider.value = sought;
    this.parts.slider.setAttribute("aria-valuetext", `frame ${sought}, ${time}`);
    this.parts.time.replaceChildren(`${time} · `, make("span", { className: "wide" }, "frame "), `${sought} of ${count - 1}`);
    this.parts.timeline.style.setProperty("--place", `${this.#share(sought)}`);
  }

  /** Where a frame lies, 0 to 1. */
  #share(frame) {
    return this.player.count > 1 ? frame / (this.player.count - 1) : 0;
  }

  #scrub(event) {
    const bar = event.target.closest(".track");
    if (!bar || event.target.closest("button")) return;
    const { left, width } = bar.getBoundingClientRect();
    this.player.pause();
    this.player.seek(((event.clientX - left) / width) * (this.player.count - 1));
    event.preventDefault();
  }

  #showMarks() {
    const marks = this.talk.regions.map(({ name, frame, colour }, i, all) => {
      const mark = make("button", {
        type: "button", className: "mark", title: `${name} on frame ${frame}`,
        "aria-label": `${name}: go to frame ${frame}`, onclick: () => this.#goTo(name, frame),
      });
      mark.style.setProperty("--at", this.#share(frame));
      const before = all.slice(0, i).filter((other) => other.frame === frame).length;
      mark.style.setProperty("--nudge", Math.min(before, MOST_NUDGES));
      mark.style.setProperty("--colour", colour);
      return mark;
    });
    this.parts.marks.replaceChildren(...marks);
    this.parts.marks.closest(".row").hidden = !marks.length;
  }

  #showTracks() {
    const objects = this.talk.objects;
    const ids = objects.map((thing) => thing.id).join();
    if (ids !== this.shownIds) {
      this.shownIds = ids;
      this.parts.tracks.replaceChildren(...objects.map((thing) => this.#row(thing)));
    }
    objects.forEach((thing, i) => this.#fillRow(this.parts.tracks.children[i], thing));
  }

  #row({ id }) {
    const label = make("button", { type: "button", className: "label", "data-part": "label", onclick: () => this.#goToObject(id) });
    const row = make("div", { className: "row", "data-id": id }, label, make("div", { className: "track", "data-part": "track" }));
    row.addEventListener("pointerenter", () => this.talk.highlight(id));
    row.addEventListener("pointerleave", () => this.talk.highlight());
    return row;
  }

  #fillRow(row, { id, phrase, colour, rle, spans_s: spans }) {
    const { label, track } = partsOf(row);
    const name = `${id} ${withoutArticle(phrase)}`.trim();
    label.textContent = label.title = name;
    label.setAttribute("aria-label", `${name}: ${spans ? describeSpans(spans) : "being found"}`);
    row.style.setProperty("--colour", colour);
    track.replaceChildren(
      ...presenceOf(rle).map(([first, last]) => {
        const bar = make("span", { className: "bar" });
        bar.style.setProperty("--from", this.#share(first));
        bar.style.setProperty("--to", this.#share(last));
        return bar;
      }),
    );
  }

  #showHighlight() {
    for (const row of this.parts.tracks.children) {
      row.classList.toggle("is-high", this.talk.highlighted.has(row.dataset.id));
    }
  }

  #goToObject(id) {
    const thing = this.talk.objects.find((other) => other.id === id);
    const seen = presenceOf(thing.rle);
    if (seen.length) this.#goTo(id, seen[0][0]);
  }

  #goTo(name, frame) {
    this.player.pause();
    this.player.seek(frame);
    this.talk.highlight(name);
  }
}
