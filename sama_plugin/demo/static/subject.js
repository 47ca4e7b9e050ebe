/** Something that others listen to. */

export class Subject extends EventTarget {
  /** Calls `listener` whenever one of these is told; names parted by blanks. */
  on(names, listener) {
    for (const name of names.split(" ")) this.addEventListener(name, listener);
  }

  /** Tells everyone who listens. */
  tell(...names) {
    for (const name of names) this.dispatchEvent(new Event(name));
  }
}
