/** The tab "This model": what the server says of itself. */

import { getStatus } from "./api.js";
import { make, partsOf } from "./dom.js";

const SHOWN = ["model", "device", "dtype", "version"];

/** Fills the tab; `root` holds the tables. */
export async function begin(root) {
  const { facts } = partsOf(root);
  try {
    const status = await getStatus();
    for (const name of SHOWN) if (name in status) facts.append(make("dt", {}, name), make("dd", {}, `${status[name]}`));
  } catch (failure) {
    facts.replaceChildren(failure.message);
  }
}
