/**
 * The tab "Talk": puts its parts together. `talk.js` is what the page knows, `player.js` which frame is shown; everything
 * else shows one of them or acts on it, and `api.js` alone speaks to the server.
 */

import { leaveSession } from "./api.js";
import { ask, stopAnswer } from "./asking.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { partsOf, prefersStill } from "./dom.js";
import { ExportMenu } from "./exports.js";
import { FrameStore } from "./frames.js";
import { icon } from "./icons.js";
import { listenToKeys } from "./keyboard.js";
import { Opening } from "./opening.js";
import { Player } from "./player.js";
import { Pointing } from "./pointing.js";
import { RegionList } from "./regions.js";
import { presenceOf } from "./rle.js";
import { Stage } from "./stage.js";
import { Talk } from "./talk.js";
import { Timeline } from "./timeline.js";
import { Transport } from "./transport.js";

const KEPT = "sama.session"; // where a tab remembers its session over a reload

/** Fills the tab; `root` holds `talk.html`. */
export function begin(root) {
  const parts = partsOf(root);
  for (const place of root.querySelectorAll("[data-icon]")) place.prepend(icon(place.dataset.icon));
  const talk = new Talk();
  const frames = new FrameStore();
  const player = new Player(frames);
  talk.on("session", () => {
    frames.open(talk.id, talk.video);
    player.open(talk.video);
  });

  const stage = new Stage(parts, talk, player);
  const pointing = new Pointing(parts, talk, player, stage);
  const transport = new Transport(parts, talk, player, stage);
  new Timeline(parts, talk, player);
  new ExportMenu(parts, talk);

  const composer = new Composer(parts, talk, {
    ask: (question, turns) => askAndFollow(talk, player, composer, question, turns),
    stop: () => talk.attempt(() => stopAnswer(talk), (words) => composer.complain(words)),
  });
  const mean = (name) => composer.mean(name);
  new RegionList(parts, talk, player, mean);
  new Conversation(parts, talk, player, {
    mean,
    edit: (question, turns) => composer.edit(question, turns),
    askAgain: (question) => askAndFollow(talk, player, composer, question, null),
  });
  listenToKeys(parts, { talk, player, pointing, toggleMasks: () => transport.toggleMasks() });
  parts.openHelp.addEventListener("click", () => parts.help.showModal());
  keepSession(talk, new Opening(parts, talk));
}

/** Asks; the picture follows the masks as they are found, unless the user moves it. */
async function askAndFollow(talk, player, composer, question, turns) {
  if (turns !== null && !(await talk.attempt(() => talk.rewind(turns), (words) => composer.complain(words)))) {
    return composer.edit(question, turns);
  }
  let last = player.sought;
  const follow = (frame) => {
    if (player.isPlaying || player.sought !== last || prefersStill()) return;
    player.seek(frame);
    last = frame;
  };
  const started = last;
  if (!(await ask(talk, question, follow)) || player.isPlaying || player.sought !== last) return;
  const starts = talk.turns.at(-1).objects.flatMap((thing) => presenceOf(thing.rle).slice(0, 1)).map(([first]) => first);
  if (starts.length) player.seek(Math.min(...starts));
  else player.seek(started);
}

/** A reload finds the session again; a tab that closes lets it go. */
function keepSession(talk, opening) {
  opening.begin();
  const before = sessionStorage.getItem(KEPT);
  if (before) opening.resume(before);
  talk.on("session", () => {
    if (talk.id) sessionStorage.setItem(KEPT, talk.id);
    else sessionStorage.removeItem(KEPT);
  });
  addEventListener("pagehide", () => talk.id && leaveSession(talk.id));
  addEventListener("pageshow", (event) => event.persisted && talk.id && opening.resume(talk.id));
}
