/** Opening a video: choose, drop or take an example; and a session that is gone. */

import * as api from "./api.js";
import { make } from "./dom.js";
import { formatBytes } from "./description.js";
import { icon } from "./icons.js";

export class Opening {
  /**
   * @param {object} parts elements by name: `talk`, `opening`, `drop`, `file`, `examples`, `limits`, `progress`, `bar`,
   *   `progressWords`, `stopUpload`, `openFault`, `gone`, `beginAnew`, `again`, `stage`
   * @param {import("./talk.js").Talk} talk
   */
  constructor(parts, talk) {
    Object.assign(this, { parts, talk });
    this.limits = {};
    this.last = null; // what was opened, to open it again
    parts.file.addEventListener("change", () => this.#openFile(parts.file.files[0]));
    parts.stopUpload.addEventListener("click", () => this.upload?.abort());
    parts.beginAnew.addEventListener("click", () => talk.close());
    parts.again.addEventListener("click", () => this.#openAgain());
    this.#acceptDrops();
    talk.on("gone", () => this.#showGone());
    talk.on("session", () => this.#show());
    this.#show();
  }

  /** Asks the server what it offers. */
  async begin() {
    await this.talk.attempt(async () => {
      const { limits, examples } = await api.getStatus();
      this.limits = limits;
      this.parts.limits.textContent = limitWords(limits);
      this.parts.examples.replaceChildren(...examples.map((example) => this.#example(example)));
      this.parts.examples.hidden = !examples.length;
    }, (words) => this.#complain(words));
  }

  /** Goes on with the session this tab had, if the server still has it. */
  async resume(id) {
    try {
      this.talk.adopt(await api.getSession(id));
    } catch (failure) {
      if (!(failure instanceof api.Failure)) throw failure;
      if (failure.code === "no_session" && this.talk.id) this.talk.tell("gone"); // a page that the browser had kept
      else if (failure.code === "no_session") this.#complain("The conversation this tab had is closed: it was idle for too long, or the server began anew. Open the video again.");
      else this.#complain(failure.message);
    }
  }

  #show() {
    const isOpen = Boolean(this.talk.id);
    this.parts.talk.classList.toggle("is-open", isOpen);
    this.parts.opening.hidden = isOpen;
    this.parts.gone.hidden = true;
    if (isOpen) this.#complain("");
  }

  #showGone() {
    this.parts.again.hidden = !this.last;
    this.parts.gone.hidden = false;
    this.parts.gone.scrollIntoView({ block: "nearest" });
  }

  #example({ id, name }) {
    const open = () => this.#open(() => api.openExample(id));
    return make("button", { type: "button", className: "example", onclick: () => ((this.last = open), open()) }, icon("film"), name);
  }

  #openFile(file) {
    this.parts.file.value = "";
    if (!file || this.upload) return;
    const most = this.limits.upload_bytes;
    if (most && file.size > most) {
      return this.#complain(`“${file.name}” has ${formatBytes(file.size)}; this server takes ${formatBytes(most)} at most. Cut it or make it smaller, for instance with ffmpeg.`);
    }
    const open = () => this.#upload(file);
    this.last = open;
    open();
  }

  #openAgain() {
    const open = this.last;
    this.talk.close();
    open();
  }

  async #upload(file) {
    this.upload = new AbortController();
    const show = (share) => {
      this.parts.bar.value = share;
      this.parts.progressWords.textContent = share < 1 ? `Sending “${file.name}”: ${Math.round(100 * share)} %` : `Reading “${file.name}” …`;
    };
    show(0);
    this.parts.stopUpload.hidden = false;
    await this.#open(() => api.openFile(file, show, this.upload.signal));
    this.upload = null;
  }

  async #open(act) {
    if (this.parts.opening.getAttribute("aria-busy") === "true") return;
    this.#setBusy(true);
    const worked = await this.talk.attempt(async () => this.talk.adopt(await act()), (words) => this.#complain(words));
    this.#setBusy(false);
    if (worked) this.parts.stage.focus({ preventScroll: true }); // what was pressed is gone
  }

  #setBusy(isBusy) {
    this.parts.opening.setAttribute("aria-busy", `${isBusy}`);
    this.parts.progress.hidden = !isBusy;
    if (isBusy && !this.upload) {
      this.parts.bar.removeAttribute("value");
      this.parts.progressWords.textContent = "Opening …";
      this.parts.stopUpload.hidden = true;
    }
  }

  #acceptDrops() {
    const { talk, drop } = this.parts;
    const hasFile = (event) => event.dataTransfer.types.includes("Files");
    for (const kind of ["dragenter", "dragover"]) {
      talk.addEventListener(kind, (event) => {
        if (!hasFile(event)) return;
        event.preventDefault(); // or the browser would open the file in place of the page
        if (this.talk.id) event.dataTransfer.dropEffect = "none";
        else drop.classList.add("is-over");
      });
    }
    talk.addEventListener("dragleave", (event) => {
      if (!talk.contains(event.relatedTarget)) drop.classList.remove("is-over");
    });
    talk.addEventListener("drop", (event) => {
      if (!hasFile(event)) return;
      event.preventDefault();
      drop.classList.remove("is-over");
      if (!this.talk.id) this.#openFile(event.dataTransfer.files[0]);
    });
  }

  #complain(words) {
    this.parts.openFault.textContent = words;
    this.parts.openFault.hidden = !words;
  }
}

function limitWords({ upload_bytes: bytes, frames, duration_s: seconds }) {
  const minutes = Math.round(seconds / 60);
  const length = minutes % 60 ? `${minutes} minutes` : `${minutes / 60} hours`;
  return `Up to ${formatBytes(bytes)}, ${frames.toLocaleString("en")} frames, ${length}. It stays on this server and is deleted when you close the tab.`;
}
