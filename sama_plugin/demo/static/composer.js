/** The question field: chips that put `<r1>` in, suggestions after `<`, Enter asks, and the button stops. */

import { isAnswering } from "./asking.js";
import { make } from "./dom.js";
import { icon } from "./icons.js";
import { Suggestions } from "./suggestions.js";

const STARTERS = ["Describe the video with masks."];
const REGION_STARTERS = ["What is <NAME>?", "What does <NAME> do?"];

export class Composer {
  /**
   * @param {object} parts elements by name: `form`, `field`, `chips`, `starters`, `send`, `editing`, `askFault`, `suggestions`
   * @param {import("./talk.js").Talk} talk
   * @param {object} acts `ask(question, number)` (number of turns to go back to first, or null) and `stop()`
   */
  constructor(parts, talk, acts) {
    Object.assign(this, { parts, talk, acts });
    this.edited = null;
    this.suggestions = new Suggestions(parts.field, parts.suggestions, () => talk.meanable);
    parts.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    parts.field.addEventListener("keydown", (event) => this.#key(event));
    parts.field.addEventListener("input", () => this.#grow());
    talk.on("regions turns", () => this.#show());
    talk.on("turns", () => !isAnswering(talk) && this.complain(""));
    talk.on("session", () => {
      this.#write("");
      this.#edit(null);
      this.complain("");
    });
  }

  /** Puts `<name>` where the cursor is. */
  mean(name) {
    const { field } = this.parts;
    const before = field.value.slice(0, field.selectionStart);
    const gap = before && !/\s$/.test(before) ? " " : "";
    field.setRangeText(`${gap}<${name}>`, field.selectionStart, field.selectionEnd, "end");
    this.#grow();
    field.focus();
  }

  /** Takes a question up for changing; `number` of turns are kept when it is asked again, null for all. */
  edit(question, number) {
    this.#write(question);
    this.#edit(number);
    this.parts.field.focus();
  }

  /** Says what is wrong with a question, next to it. */
  complain(words) {
    this.parts.askFault.textContent = words;
    this.parts.askFault.hidden = !words;
  }

  #key(event) {
    if (event.isComposing || this.suggestions.takeKey(event)) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      if (isAnswering(this.talk)) this.complain("The answer before is still being made. Ask when it is there, or stop it.");
      else this.#submit();
    } else if (event.key === "Escape" && this.edited !== null) {
      this.#edit(null);
      this.#write("");
    }
  }

  #submit() {
    if (isAnswering(this.talk)) return this.acts.stop();
    const question = this.parts.field.value.trim();
    if (!question) {
      this.complain("Write a question first.");
      return this.parts.field.focus();
    }
    this.complain("");
    const number = this.edited;
    this.#write("");
    this.#edit(null);
    this.acts.ask(question, number);
  }

  #write(words) {
    this.parts.field.value = words;
    this.#grow();
  }

  #grow() {
    const { field } = this.parts;
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + 2}px`;
  }

  #edit(number) {
    this.edited = number;
    const later = this.talk.turns.length - (number ?? 0);
    this.parts.editing.hidden = number === null;
    this.parts.editing.textContent =
      `You are changing question ${number + 1}. Asking drops ${later === 1 ? "its answer" : `its answer and the ${later - 1} after it`}. Esc leaves it as it was.`;
  }

  #show() {
    const busy = isAnswering(this.talk);
    this.parts.send.replaceChildren(icon(busy ? "stop" : "send"), busy ? "Stop" : "Ask");
    this.parts.send.classList.toggle("is-stop", busy);
    this.parts.chips.replaceChildren(...this.talk.meanable.map((thing) => this.#chip(thing)));
    this.#showStarters();
  }

  #chip({ name, colour, about }) {
    const chip = make("button", { type: "button", className: "chip", title: `Put <${name}> into the question (${about})`, onclick: () => this.mean(name) }, name);
    chip.style.setProperty("--colour", colour);
    return chip;
  }

  #showStarters() {
    const region = this.talk.regions.at(-1);
    const questions = [...(region ? REGION_STARTERS.map((words) => words.replace("NAME", region.name)) : []), ...STARTERS];
    const isNew = !this.talk.turns.length && !this.talk.current;
    this.parts.starters.hidden = !isNew;
    this.parts.starters.replaceChildren(
      ...questions.map((words) => make("button", { type: "button", className: "starter", onclick: () => this.edit(words, null) }, words)),
    );
  }
}
