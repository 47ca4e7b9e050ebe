/** A question on its way: the server's events → the turn in the making, `talk.current`. */

import { askQuestion, cancelAnswer, Failure } from "./api.js";

/**
 * Asks. `talk.current` is then `{question, text, objects, state, position, message}`, with state `queued`, `answering`,
 * `grounding`, or, if it came to nothing, `failed` or `stopped`; finished, it moves to `talk.turns`.
 *
 * @param {import("./talk.js").Talk} talk
 * @param {string} question
 * @param {(frame: number) => void} onMasks masks of a frame have come
 * @returns {Promise<boolean>} whether it was answered
 */
export async function ask(talk, question, onMasks) {
  const turn = { question, text: "", objects: [], state: "queued", position: null, message: "" };
  talk.current = turn;
  talk.tell("turns");
  try {
    for await (const [event, data] of askQuestion(talk.id, question)) {
      if (talk.current !== turn) return false; // another session was opened meanwhile
      take(talk, turn, event, data);
      if (event === "masks") onMasks(data.frame);
      if (event === "done") return true;
    }
    throw new Failure("unreachable", "The connection ended before the answer did. Ask again.");
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    if (talk.current === turn) giveUp(talk, turn, failure);
    return false;
  }
}

/** Stops the answer that is being made. */
export function stopAnswer(talk) {
  return cancelAnswer(talk.id);
}

/** Whether an answer is being made. */
export const isAnswering = (talk) => ["queued", "answering", "grounding"].includes(talk.current?.state);

function take(talk, turn, event, data) {
  if (event === "error") throw new Failure(data.code, data.message);
  if (event === "queue") {
    turn.position = data.position;
  } else if (event === "text") {
    turn.state = "answering";
    turn.text += data.text;
  } else if (event === "object") {
    turn.objects.push({ ...data, rle: new Array(talk.video.num_frames) });
  } else if (event === "masks") {
    turn.state = "grounding";
    for (const thing of turn.objects) if (thing.id in data.rles) thing.rle[data.frame] = data.rles[thing.id];
    talk.tell("masks");
  } else if (event === "done") {
    talk.turns.push(data);
    talk.current = null;
    talk.tell("turns", "masks");
    return;
  }
  talk.tell("answer");
}

function giveUp(talk, turn, { code, message }) {
  if (code === "no_session") talk.tell("gone");
  turn.state = code === "cancelled" ? "stopped" : "failed";
  turn.message = code === "cancelled" ? "Stopped. The conversation is as it was before this question." : message;
  turn.objects = [];
  talk.tell("turns", "masks");
}
