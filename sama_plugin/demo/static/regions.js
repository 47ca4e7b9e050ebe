/** The list of regions: rename, recolour, go to, put into the question, delete. */

import { iconButton, make } from "./dom.js";

export class RegionList {
  /**
   * @param {object} parts elements by name: `regions`, `noRegions`, `regionFault`, `stage`
   * @param {import("./talk.js").Talk} talk
   * @param {import("./player.js").Player} player
   * @param {(name: string) => void} mean puts `<name>` into the question
   */
  constructor(parts, talk, player, mean) {
    Object.assign(this, { parts, talk, player, mean });
    talk.on("regions active", () => this.#show());
  }

  #show() {
    const { regions } = this.talk;
    const focused = this.#focusedField();
    this.parts.regions.replaceChildren(...regions.map((region) => this.#row(region)));
    this.parts.noRegions.hidden = regions.length > 0;
    if (!focused) return;
    const last = this.parts.regions.querySelector("li:last-child [data-field=delete]"); // the one that had it is gone
    (this.parts.regions.querySelector(focused) ?? last ?? this.parts.stage).focus();
  }

  /** What had the focus in the list, as a selector that finds it in the new one. */
  #focusedField() {
    const field = this.parts.regions.contains(document.activeElement) ? document.activeElement : null;
    const row = field?.closest("li");
    return row ? `li:nth-child(${[...row.parentNode.children].indexOf(row) + 1}) [data-field="${field.dataset.field}"]` : null;
  }

  #row(region) {
    const { name, colour, frame } = region;
    const row = make("li", {
      className: "region",
      onpointerenter: () => this.talk.highlight(name),
      onpointerleave: () => this.talk.highlight(),
    });
    row.classList.toggle("is-active", name === this.talk.active);
    row.append(
      make("input", {
        type: "color", value: colour, title: "Colour", "aria-label": `Colour of ${name}`, "data-field": "colour",
        onchange: (event) => this.#change(name, { colour: event.target.value }),
      }),
      this.#nameField(name),
      make("button", {
        type: "button", className: "quiet", title: "Go to its frame", "data-field": "frame",
        "aria-label": `Go to frame ${frame}, where ${name} is`, onclick: () => this.#goTo(region),
      }, `frame ${frame}`),
      make("button", {
        type: "button", className: "chip-button", title: "Put it into the question", "data-field": "mean",
        onclick: () => this.mean(name),
      }, `ask about it`),
      this.#deleteButton(name),
    );
    return row;
  }

  #nameField(name) {
    const field = make("input", {
      type: "text", className: "name", value: name, maxLength: 40, spellcheck: false, autocomplete: "off",
      title: "Name: letters, digits and _", "aria-label": `Name of ${name}`, "data-field": "name",
    });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") field.blur();
      if (event.key === "Escape") field.value = name;
    });
    field.addEventListener("change", async () => {
      const wanted = field.value.trim();
      if (wanted && wanted !== name && (await this.#change(name, { name: wanted }))) return;
      field.value = name;
    });
    return field;
  }

  #deleteButton(name) {
    const button = iconButton("trash", `Delete ${name}`, () =>
      this.talk.attempt(() => this.talk.deleteRegion(name), (words) => this.#complain(words)),
    );
    button.dataset.field = "delete";
    return button;
  }

  #change(name, changes) {
    return this.talk.attempt(() => this.talk.changeRegion(name, changes), (words) => this.#complain(words));
  }

  #goTo(region) {
    this.player.pause();
    this.player.seek(region.frame);
    if (region.kind === "point") this.talk.activate(region.name);
    this.talk.highlight(region.name);
  }

  #complain(words) {
    this.parts.regionFault.textContent = words;
    this.parts.regionFault.hidden = !words;
  }
}
