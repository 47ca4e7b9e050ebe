/** Names suggested after `<` in the question field: arrows choose, Enter or Tab takes one, Escape closes. */

import { make } from "./dom.js";

export class Suggestions {
  /**
   * @param {HTMLTextAreaElement} field
   * @param {HTMLUListElement} list
   * @param {() => {name: string, colour: string, about: string}[]} choices
   */
  constructor(field, list, choices) {
    Object.assign(this, { field, list, choices });
    this.found = [];
    this.chosen = 0;
    field.addEventListener("input", () => this.#open());
    field.addEventListener("blur", () => this.#close());
    field.addEventListener("click", () => this.#open());
  }

  /** Uses up a key that is meant for the list; tells whether it was. */
  takeKey(event) {
    if (!this.found.length) return false;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      this.chosen = (this.chosen + step + this.found.length) % this.found.length;
      this.#mark();
    } else if ((event.key === "Enter" && !event.shiftKey) || event.key === "Tab") {
      this.#take(this.found[this.chosen].name);
    } else if (event.key === "Escape") {
      this.#close();
    } else {
      return false;
    }
    event.preventDefault();
    return true;
  }

  #open() {
    const begun = /<([A-Za-z0-9_]*)$/.exec(this.field.value.slice(0, this.field.selectionStart));
    this.found = begun ? this.choices().filter((thing) => thing.name.toLowerCase().startsWith(begun[1].toLowerCase())) : [];
    this.chosen = 0;
    this.list.replaceChildren(...this.found.map((thing, i) => this.#row(thing, i)));
    this.list.hidden = !this.found.length;
    this.field.setAttribute("aria-expanded", `${this.found.length > 0}`);
    this.#mark();
  }

  #row({ name, colour, about }, i) {
    const row = make("li", {
      id: `suggestion-${i}`, role: "option",
      onpointerdown: (event) => {
        event.preventDefault(); // the field keeps the focus
        this.#take(name);
      },
    }, make("span", { className: "chip" }, name), ` ${about}`);
    row.style.setProperty("--colour", colour);
    return row;
  }

  #mark() {
    [...this.list.children].forEach((row, i) => row.setAttribute("aria-selected", `${i === this.chosen}`));
    this.list.children[this.chosen]?.scrollIntoView({ block: "nearest" });
    if (this.found.length) this.field.setAttribute("aria-activedescendant", `suggestion-${this.chosen}`);
    else this.field.removeAttribute("aria-activedescendant");
  }

  #take(name) {
    const end = this.field.selectionStart;
    const start = this.field.value.lastIndexOf("<", end - 1);
    this.field.setRangeText(`<${name}>`, start, end, "end");
    this.field.dispatchEvent(new Event("input")); // which closes the list
  }

  #close() {
    this.found = [];
    this.list.hidden = true;
    this.field.setAttribute("aria-expanded", "false");
    this.#mark();
  }
}
