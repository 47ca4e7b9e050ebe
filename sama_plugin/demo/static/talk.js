/**
 * What the page knows of a session: video, regions, turns, what is highlighted. Parts of the page listen to it:
 * `session` (opened or closed), `gone` (the server has forgotten it), `regions`, `turns`, `answer` (the one being made),
 * `masks`, `highlight`, `active` (the region that clicks refine).
 */

import * as api from "./api.js";
import { isSeen } from "./rle.js";
import { Subject } from "./subject.js";

export class Talk extends Subject {
  constructor() {
    super();
    this.forget();
  }

  /** Back to no session. */
  forget() {
    this.id = null;
    this.name = "";
    this.video = null;
    this.regions = [];
    this.turns = [];
    /** The turn in the making, or the last one if it failed; see `asking.js`. */
    this.current = null;
    /** Ids of objects and names of regions that are shown before all others. */
    this.highlighted = new Set();
    this.active = null;
  }

  /** Takes over a session's document. */
  adopt({ id, name, video, regions, turns }) {
    this.forget();
    Object.assign(this, { id, name, video, regions, turns });
    this.tell("session", "regions", "turns", "masks", "highlight", "active");
  }

  /** Takes over regions and turns of a document of the same session. */
  update({ regions, turns }) {
    Object.assign(this, { regions, turns, current: null });
    this.highlighted.clear();
    this.tell("regions", "turns", "masks", "highlight");
  }

  /** Ends the session, here and on the server. */
  close() {
    if (this.id) api.closeSession(this.id).catch(() => {}); // it ends by itself if the server is out of reach
    this.forget();
    this.tell("session", "regions", "turns", "masks", "highlight", "active");
  }

  /** Objects of all answers, that of the one being made included. */
  get objects() {
    return [...this.turns, this.current].flatMap((turn) => turn?.objects ?? []);
  }

  /** What a question can mean, in order: regions, and objects that are seen. */
  get meanable() {
    const finished = this.turns.flatMap((turn) => turn.objects).filter(isSeen);
    return [
      ...this.regions.map((region) => ({ name: region.name, colour: region.colour, about: `region on frame ${region.frame}` })),
      ...finished.map((thing) => ({ name: thing.id, colour: thing.colour, about: thing.phrase || "object" })),
    ];
  }

  /** A region by its name. */
  region(name) {
    return this.regions.find((region) => region.name === name);
  }

  /** Shows some objects or regions before all others. */
  highlight(...names) {
    this.highlighted = new Set(names);
    this.tell("highlight");
  }

  /** Says which region further clicks refine; null for a new one. */
  activate(name) {
    if (this.active === name) return;
    this.active = name;
    this.tell("active");
  }

  /**
   * Does what needs the server.
   *
   * @param {() => Promise} act
   * @param {(words: string) => void} complain gets what went wrong, and "" when it starts
   * @returns {Promise<boolean>} whether it worked
   */
  async attempt(act, complain) {
    const { id } = this;
    complain("");
    try {
      await act();
      return true;
    } catch (failure) {
      if (!(failure instanceof api.Failure)) throw failure;
      if (this.id !== id) return false; // it was about a session that is closed
      if (failure.code === "no_session") this.tell("gone");
      if (failure.code !== "aborted") complain(failure.message);
      return false;
    }
  }

  /** Points at something new, or anew at the region of that name; gives its name. */
  async point(name, pointed) {
    const region = await this.#reply(name ? api.redrawRegion(this.id, name, pointed) : api.addRegion(this.id, pointed));
    this.#put(name ?? region.name, region);
    return region.name;
  }

  /** Renames or recolours a region. */
  async changeRegion(name, changes) {
    const region = await this.#reply(api.changeRegion(this.id, name, changes));
    if (this.active === name) this.activate(region.name);
    this.#put(name, region);
  }

  /** Forgets a region. */
  async deleteRegion(name) {
    await this.#reply(api.deleteRegion(this.id, name));
    this.regions = this.regions.filter((region) => region.name !== name);
    if (this.active === name) this.activate(null);
    this.tell("regions");
  }

  /** Goes back to so many turns. */
  async rewind(turns) {
    this.update(await this.#reply(api.rewindTo(this.id, turns)));
  }

  /** What the server says to this session; what it says to one that was closed meanwhile is passed over. */
  async #reply(request) {
    const { id } = this;
    const reply = await request;
    if (this.id !== id) throw new api.Failure("aborted", "Another video was opened.");
    return reply;
  }

  #put(name, region) {
    const place = this.regions.findIndex((other) => other.name === name);
    if (place < 0) this.regions.push(region);
    else this.regions[place] = region;
    this.tell("regions");
  }
}
