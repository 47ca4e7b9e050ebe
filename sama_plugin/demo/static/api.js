/** The server's REST interface: one function per route, failures as `Failure` with words for the person at the page. */

const SERVER = new URL("../..", import.meta.url);

/** What went wrong. `code` is the server's, or `unreachable`, or `aborted` where the page gave the request up. */
export class Failure extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

const UNREACHABLE = "The server does not answer. See that `sama serve` is still running, then try again.";

/** Version, model, limits, examples. */
export const getStatus = () => callJson("GET", "api/status");

/** A session's document: video, regions, turns. */
export const getSession = (id) => callJson("GET", sessionPath(id));

/** Opens one of the examples the server offers. */
export const openExample = (example) => callJson("POST", "api/sessions", { example });

/**
 * Uploads a video and opens a session on it.
 *
 * @param {File} file
 * @param {(share: number) => void} onProgress share of the bytes that are sent, 0 to 1
 * @param {AbortSignal} signal
 */
export function openFile(file, onProgress, signal) {
  // fetch cannot tell how far an upload is
  const request = new XMLHttpRequest();
  request.open("POST", new URL(`api/sessions?name=${encodeURIComponent(file.name)}`, SERVER));
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.upload.addEventListener("progress", (event) => onProgress(event.loaded / (event.total || 1)));
  signal.addEventListener("abort", () => request.abort());
  return new Promise((resolve, reject) => {
    request.addEventListener("load", () => {
      if (request.status === 201) resolve(JSON.parse(request.responseText));
      else reject(readFailure(request.status, request.responseText));
    });
    request.addEventListener("error", () => reject(new Failure("unreachable", UNREACHABLE)));
    request.addEventListener("abort", () => reject(new Failure("aborted", "The upload was stopped.")));
    request.send(file);
  });
}

/** Ends a session at once. */
export const closeSession = (id) => call("DELETE", sessionPath(id));

/** Says, while the page goes away, that its session may end; a reload comes back in time and keeps it. */
export function leaveSession(id) {
  navigator.sendBeacon(new URL(`${sessionPath(id)}/close`, SERVER), new Blob(["{}"], { type: "application/json" }));
}

/** Address of an exact frame as a picture, no wider than needed. */
export function frameAddress(id, index, width) {
  return new URL(`${sessionPath(id)}/frames/${index}.jpg?width=${width}`, SERVER);
}

/** Fetches one. */
export const getPicture = (address, signal) => callBlob("GET", address, signal);

/** Points at something: `{frame, point | box | scribble}`, and a name or colour if one is wanted. */
export const addRegion = (id, pointed) => callJson("POST", `${sessionPath(id)}/regions`, pointed);

/** Points anew: all clicks of a region, after another one was added. */
export const redrawRegion = (id, name, pointed) => callJson("PUT", regionPath(id, name), pointed);

/** Renames or recolours: `{name}` or `{colour}`. */
export const changeRegion = (id, name, changes) => callJson("PATCH", regionPath(id, name), changes);

/** Forgets a region. */
export const deleteRegion = (id, name) => call("DELETE", regionPath(id, name));

/** Stops the answer that is being made. */
export const cancelAnswer = (id) => call("POST", `${sessionPath(id)}/cancel`, {});

/** Goes back to so many turns; gives the session's document. */
export const rewindTo = (id, turns) => callJson("POST", `${sessionPath(id)}/rewind`, { turns });

/** A file of the conversation, such as `overlay.mp4`. */
export const getExport = (id, file) => callBlob("GET", `${sessionPath(id)}/export/${file}`);

/**
 * Asks; yields `[event, data]` as they come: queue, text, object, masks, then done or error.
 *
 * @param {string} id
 * @param {string} question
 */
export async function* askQuestion(id, question) {
  const response = await call("POST", `${sessionPath(id)}/ask`, { question });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    while (true) {
      const { value, done } = await reader.read().catch(() => {
        throw new Failure("unreachable", "The connection broke while the answer came. Ask again.");
      });
      if (done) return;
      rest += value;
      if (!value.includes("\n")) continue; // masks of a long video come in hundreds of pieces
      const blocks = rest.replaceAll("\r\n", "\n").split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = readEvent(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // whoever left lets the connection go
  }
}

/** One block of an event stream → `[event, data]`; null for a comment that only keeps the connection open. */
export function readEvent(block) {
  const fields = { event: "message", data: "" };
  for (const line of block.split("\n")) {
    const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (name in fields) fields[name] = value;
  }
  return fields.data ? [fields.event, JSON.parse(fields.data)] : null;
}

const sessionPath = (id) => `api/sessions/${encodeURIComponent(id)}`;
const regionPath = (id, name) => `${sessionPath(id)}/regions/${encodeURIComponent(name)}`;

async function callJson(method, path, body) {
  const response = await call(method, path, body);
  return response.json().catch(fail);
}

async function callBlob(method, path, signal) {
  const response = await call(method, path, undefined, signal);
  return response.blob().catch(fail);
}

async function call(method, path, body, signal) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const request = { method, headers, body: JSON.stringify(body), signal };
  const response = await fetch(new URL(path, SERVER), request).catch(fail);
  if (!response.ok) throw readFailure(response.status, await response.text().catch(fail));
  return response;
}

/** What the browser threw, in our words. */
function fail(error) {
  if (error.name === "AbortError") throw new Failure("aborted", "Given up.");
  throw new Failure("unreachable", UNREACHABLE);
}

function readFailure(status, text) {
  try {
    const { code, message } = JSON.parse(text).error;
    return new Failure(code, message);
  } catch {
    return new Failure("internal", `The server answered with status ${status}. Its log says more.`);
  }
}
