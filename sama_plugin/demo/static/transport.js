/** The buttons below the picture, and its head: play, step, loop, speed, masks; name and facts; another video. */

import { formatTime } from "./description.js";
import { icon } from "./icons.js";

export class Transport {
  /**
   * @param {object} parts elements by name: `play`, `stepBack`, `stepOn`, `loop`, `rate`, `masks`, `name`, `facts`, `damage`,
   *   `another`
   * @param {import("./talk.js").Talk} talk
   * @param {import("./player.js").Player} player
   * @param {import("./stage.js").Stage} stage
   */
  constructor(parts, talk, player, stage) {
    Object.assign(this, { parts, talk, player, stage });
    parts.play.addEventListener("click", () => player.toggle());
    parts.stepBack.addEventListener("click", () => player.step(-1));
    parts.stepOn.addEventListener("click", () => player.step(1));
    parts.loop.addEventListener("click", () => {
      player.isLooping = !player.isLooping;
      parts.loop.setAttribute("aria-pressed", `${player.isLooping}`);
    });
    parts.rate.addEventListener("change", () => (player.rate = Number(parts.rate.value)));
    parts.masks.addEventListener("click", () => this.toggleMasks());
    parts.another.addEventListener("click", () => this.#leave());
    player.on("playing", () => this.#showPlaying());
    talk.on("session", () => this.#open());
  }

  /** Shows the picture with masks, or bare. */
  toggleMasks() {
    this.stage.showsMasks = !this.stage.showsMasks;
    this.parts.masks.setAttribute("aria-pressed", `${this.stage.showsMasks}`);
    this.stage.redraw();
  }

  #open() {
    this.#showPlaying();
    const { video, name } = this.talk;
    if (!video) return;
    this.parts.name.textContent = this.parts.name.title = name;
    this.parts.facts.textContent =
      `${video.num_frames} frames · ${video.width} × ${video.height} · ${+video.fps.toFixed(2)} fps · ${formatTime(video.duration_s)}`;
    this.parts.damage.textContent = video.damage ?? "";
    this.parts.damage.hidden = !video.damage;
  }

  #showPlaying() {
    const { isPlaying } = this.player;
    this.parts.play.replaceChildren(icon(isPlaying ? "pause" : "play"));
    this.parts.play.title = isPlaying ? "Pause (Space)" : "Play (Space)";
    this.parts.play.setAttribute("aria-label", isPlaying ? "Pause" : "Play");
  }

  /** Closes the conversation, after asking back where there is one. */
  #leave() {
    const { another } = this.parts;
    if (this.talk.turns.length && another.dataset.asked !== "yes") {
      another.dataset.asked = "yes";
      const words = another.lastChild.textContent;
      another.lastChild.textContent = "Drop this conversation?";
      another.focus(); // not every browser does so on a click
      another.addEventListener("blur", () => {
        another.lastChild.textContent = words;
        delete another.dataset.asked;
      }, { once: true });
      return;
    }
    another.blur();
    this.talk.close();
  }
}
