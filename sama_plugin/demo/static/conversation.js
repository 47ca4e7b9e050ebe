/** The conversation: questions, answers as they come, their objects, and going back. */

import { answerNodes, questionNodes } from "./answer_text.js";
import { describeSpans } from "./description.js";
import { iconButton, make, partsOf } from "./dom.js";
import { withoutArticle } from "./marks.js";
import { isSeen, presenceOf } from "./rle.js";

const NEAR_END = 48; // pixels of the page

export class Conversation {
  /**
   * @param {object} parts elements by name: `turns`, `noTurns`, `spoken`, `turnFault`
   * @param {import("./talk.js").Talk} talk
   * @param {import("./player.js").Player} player
   * @param {object} acts what the buttons do: `mean(name)`, `edit(question, number)`, `askAgain(question)`
   */
  constructor(parts, talk, player, acts) {
    Object.assign(this, { parts, talk, player, acts });
    this.shown = new Map(); // turn → its element
    talk.on("turns", () => this.#show());
    talk.on("answer", () => this.#showCurrent());
    talk.on("highlight", () => this.#showHighlight());
  }

  #show() {
    const { turns, current } = this.talk;
    const before = this.shown;
    this.shown = new Map(
      [...turns, ...(current ? [current] : [])].map((turn, i) => [turn, before.get(turn) ?? this.#turn(turn, i)]),
    );
    for (const [turn, node] of before) if (!this.shown.has(turn)) node.remove();
    for (const node of this.shown.values()) if (!node.isConnected) this.parts.turns.append(node);
    turns.forEach((turn, i) => this.#showWaysBack(this.shown.get(turn), i));
    this.parts.noTurns.hidden = this.shown.size > 0;
    if (current) this.#showCurrent();
    else this.#speakLast(before);
    if (this.shown.size > before.size || current === null) this.#scroll();
  }

  /** Reads out the answer that has just been finished. */
  #speakLast(before) {
    const last = this.talk.turns.at(-1);
    if (!last || before.has(last) || !before.size) return;
    const found = last.objects.map((thing) => `${thing.id} ${thing.phrase}: ${describeSpans(thing.spans_s)}.`);
    this.#speak([`Answer: ${last.text}`, ...found].join(" "));
  }

  /** Lets a screen reader say something, once however often it is told. */
  #speak(words) {
    if (this.parts.spoken.textContent !== words) this.parts.spoken.textContent = words;
  }

  /** Whether the end is in sight: who has scrolled away reads something else. */
  get #isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.parts.turns;
    return scrollHeight - scrollTop - clientHeight < NEAR_END;
  }

  #scroll() {
    this.parts.turns.scrollTop = this.parts.turns.scrollHeight;
  }

  #turn(turn, index) {
    const node = make("article", { className: "turn", "aria-label": `Question ${index + 1}` },
      make("div", { className: "question" },
        make("p", { "data-part": "asked" }, ...questionNodes(turn.question, this.talk.meanable, (name) => this.#showNamed(name))),
        make("div", { className: "ways", "data-part": "ways" }),
      ),
      make("div", { className: "answer", "data-part": "answer" }),
      make("ul", { className: "objects", "data-part": "objects" }),
      make("p", { className: "faint", "data-part": "facts" }),
    );
    if (!turn.state) this.#fill(node, turn);
    return node;
  }

  #fill(node, turn) {
    const { answer, objects, facts } = partsOf(node);
    answer.replaceChildren(...answerNodes(turn.text, turn.objects, (group) => this.#link(group)));
    if (!turn.text && !turn.state) answer.append(make("em", {}, "(no words)"));
    objects.replaceChildren(...turn.objects.map((thing) => this.#object(thing, Boolean(turn.state))));
    facts.textContent = turn.timing_s ? `answered in ${totalSeconds(turn.timing_s)}` : "";
  }

  #showCurrent() {
    const turn = this.talk.current;
    const node = this.shown.get(turn);
    if (!node) return;
    const wasAtEnd = this.#isAtEnd;
    this.#fill(node, turn);
    const isEnded = turn.state === "failed" || turn.state === "stopped";
    node.classList.toggle("is-failed", turn.state === "failed");
    const { answer, facts } = partsOf(node);
    facts.replaceChildren(isEnded ? this.#ending(turn) : make("span", { className: "busy" }, progressWords(turn, this.talk)));
    answer.setAttribute("aria-busy", `${!isEnded}`);
    this.#speak(isEnded ? turn.message : progressWords(turn, this.talk, true));
    if (wasAtEnd) this.#scroll();
  }

  #ending(turn) {
    return make("span", { role: turn.state === "failed" ? "alert" : "status", className: turn.state === "failed" ? "fault" : "" },
      `${turn.message} `,
      make("button", { type: "button", className: "quiet", onclick: () => this.#askAgain(turn) }, "Ask again"),
      make("button", { type: "button", className: "quiet", onclick: () => this.acts.edit(turn.question, null) }, "Edit"),
    );
  }

  #askAgain(turn) {
    this.parts.turns.focus({ preventScroll: true }); // the button goes
    this.acts.askAgain(turn.question);
  }

  #link(group) {
    const ids = group.map((thing) => thing.id);
    const link = make("a", {
      href: `#${ids[0]}`, className: "phrase", "data-ids": ids.join(" "), title: `${ids.join(", ")}: show where it is`,
      onpointerenter: () => this.talk.highlight(...ids),
      onpointerleave: () => this.talk.highlight(),
      onfocus: () => this.talk.highlight(...ids),
      onblur: () => this.talk.highlight(),
      onclick: (event) => {
        event.preventDefault();
        this.#goTo(ids);
      },
    });
    link.style.setProperty("--colour", group[0].colour);
    return link;
  }

  #object(thing, isUnfinished) {
    const { id, phrase, colour, spans_s: spans, score } = thing;
    const words = isUnfinished ? "being found …" : describeSpans(spans ?? []);
    const node = make("li", { "data-ids": id, onpointerenter: () => this.talk.highlight(id), onpointerleave: () => this.talk.highlight() },
      make("button", { type: "button", className: "chip", title: "Show where it is", onclick: () => this.#goTo([id]) }, id),
      make("span", { className: "phrase-name" }, withoutArticle(phrase) || "object"),
      make("span", { className: "faint" }, words),
    );
    node.style.setProperty("--colour", colour);
    if (!isUnfinished && isSeen(thing)) {
      node.append(
        make("span", { className: "faint", title: "How sure the model is that it is in the video" }, `${Math.round(100 * score)} %`),
        make("button", { type: "button", className: "chip-button", onclick: () => this.acts.mean(id) }, "use as region"),
      );
    }
    return node;
  }

  #showWaysBack(node, index) {
    const later = this.talk.turns.length - index - 1;
    const question = this.talk.turns[index].question;
    const ways = [iconButton("edit", "Edit and ask again", () => this.acts.edit(question, index))];
    if (later) ways.push(this.#rewindButton(index + 1, later));
    partsOf(node).ways.replaceChildren(...ways);
  }

  /** Asks back before it drops answers. */
  #rewindButton(turns, later) {
    const button = iconButton("rewind", "Go back to here", () => {
      const sure = make("button", { type: "button", className: "warn", onblur: () => sure.replaceWith(button) },
        later === 1 ? "Drop the answer after this?" : `Drop the ${later} answers after this?`);
      sure.addEventListener("click", async () => {
        if (await this.talk.attempt(() => this.talk.rewind(turns), (words) => this.#complain(words))) this.parts.turns.focus();
      });
      button.replaceWith(sure);
      sure.focus();
    });
    return button;
  }

  #complain(words) {
    this.parts.turnFault.textContent = words;
    this.parts.turnFault.hidden = !words;
  }

  /** Shows an object where it is seen: here, or else where it is seen first. */
  #goTo(ids) {
    this.player.pause();
    const things = this.talk.objects.filter((thing) => ids.includes(thing.id));
    const isHere = things.some((thing) => thing.rle[this.player.shown]);
    const starts = things.flatMap((thing) => presenceOf(thing.rle).slice(0, 1)).map(([first]) => first);
    if (!isHere && starts.length) this.player.seek(Math.min(...starts));
    this.talk.highlight(...ids);
  }

  #showNamed(name) {
    const region = this.talk.region(name);
    if (!region) return this.#goTo([name]);
    this.player.pause();
    this.player.seek(region.frame);
    this.talk.highlight(name);
  }

  #showHighlight() {
    for (const node of this.parts.turns.querySelectorAll("[data-ids]")) {
      node.classList.toggle("is-high", node.dataset.ids.split(" ").some((id) => this.talk.highlighted.has(id)));
    }
  }
}

function totalSeconds(timing) {
  return `${["encode", "generate", "ground"].reduce((sum, part) => sum + (timing[part] ?? 0), 0).toFixed(1)} s`;
}

function progressWords(turn, talk, isSpoken = false) {
  if (turn.state === "queued") {
    return turn.position ? `Waiting: ${turn.position} before you.` : "Looking at the video …";
  }
  if (turn.state === "answering" || isSpoken) return "Answering …";
  const found = Math.max(0, ...turn.objects.map((thing) => thing.rle.filter((mask) => mask !== undefined).length));
  return `Finding masks: ${found} of ${talk.video.num_frames} frames`;
}
