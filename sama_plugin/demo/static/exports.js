/** The export menu: files of the conversation, and the conversation as Python on the clipboard. */

import { getExport } from "./api.js";
import { make } from "./dom.js";

const FILES = [
  ["overlay.mp4", "Video with masks", "mp4"],
  ["strip.png", "Picture strip", "PNG"],
  ["answer.json", "Conversation", "JSON"],
  ["coco.json", "Masks as COCO", "RLE in JSON"],
  ["masks.zip", "Masks as pictures", "PNG in a zip"],
];

export class ExportMenu {
  /**
   * @param {object} parts elements by name: `exports` (a details element), `exportList`, `exportNote`
   * @param {import("./talk.js").Talk} talk
   */
  constructor(parts, talk) {
    Object.assign(this, { parts, talk });
    parts.exportList.append(
      ...FILES.map(([file, words, kind]) => this.#item(words, kind, () => this.#download(file))),
      this.#item("Copy as Python", "a script", () => this.#copy()),
    );
    parts.exports.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("pointerdown", (event) => {
      if (!parts.exports.contains(event.target)) parts.exports.open = false;
    });
    talk.on("session", () => this.#note(""));
  }

  #item(words, kind, act) {
    return make("li", {}, make("button", { type: "button", onclick: () => this.#run(words, act) }, words, make("span", { className: "faint" }, kind)));
  }

  #key(event) {
    if (event.key !== "Escape") return;
    this.parts.exports.open = false;
    this.parts.exports.querySelector("summary").focus();
  }

  async #run(words, act) {
    this.#note(`${words}: being made …`);
    let done = "";
    const worked = await this.talk.attempt(async () => (done = await act()), (fault) => fault && this.#note(fault, true));
    if (worked) this.#note(done);
  }

  async #download(file) {
    const address = URL.createObjectURL(await getExport(this.talk.id, file));
    const stem = this.talk.name.replace(/\.[^.]*$/, "").replace(/[^\w.-]+/g, "_") || "video";
    make("a", { href: address, download: `${stem}.${file}` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    return `${file} is saved.`;
  }

  async #copy() {
    const script = await (await getExport(this.talk.id, "chat.py")).text();
    try {
      await navigator.clipboard.writeText(script);
      return "The conversation is on the clipboard, as Python.";
    } catch {
      this.#offer(script);
      return "The browser keeps the clipboard shut here; copy the script from the field below.";
    }
  }

  #offer(script) {
    const field = make("textarea", { readOnly: true, rows: 6, value: script, "aria-label": "The conversation as Python" });
    this.parts.exportNote.after(field);
    field.select();
    field.addEventListener("blur", () => field.remove());
  }

  #note(words, isFault = false) {
    this.parts.exportNote.textContent = words;
    this.parts.exportNote.classList.toggle("fault", isFault);
    this.parts.exportNote.hidden = !words;
  }
}
