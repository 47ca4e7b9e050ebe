/** Questions and answers as text with links: `<r1>` and grounded phrases in the colour of what they mean. */

import { make } from "./dom.js";

const PLACEHOLDER = /<([A-Za-z][A-Za-z0-9_]*)>/g;

/**
 * A question, its `<names>` as chips.
 *
 * @param {string} question
 * @param {{name: string, colour: string}[]} meanable
 * @param {(name: string) => void} show called with the name of a chip that is pressed
 * @returns {Node[]}
 */
export function questionNodes(question, meanable, show) {
  const nodes = [];
  let at = 0;
  for (const match of question.matchAll(PLACEHOLDER)) {
    nodes.push(question.slice(at, match.index), chip(match[1], meanable, show));
    at = match.index + match[0].length;
  }
  return [...nodes, question.slice(at)];
}

function chip(name, meanable, show) {
  const node = make("button", { type: "button", className: "chip", title: `Show ${name}`, onclick: () => show(name) }, name);
  const colour = meanable.find((thing) => thing.name === name)?.colour;
  if (colour) node.style.setProperty("--colour", colour);
  return node;
}

/**
 * An answer, its grounded phrases as links. Places count characters as Python does, not UTF-16 units.
 *
 * @param {string} text
 * @param {{id: string, start: number, end: number, colour: string}[]} objects
 * @param {(objects: object[]) => HTMLElement} link makes the link of a phrase; several objects may share one
 * @returns {Node[]}
 */
export function answerNodes(text, objects, link) {
  const letters = Array.from(text);
  const nodes = [];
  let at = 0;
  for (const group of phrasesOf(objects, letters.length)) {
    const { start, end } = group[0];
    if (start < at) continue;
    const anchor = link(group);
    anchor.textContent = letters.slice(start, end).join("");
    nodes.push(letters.slice(at, start).join(""), anchor);
    at = end;
  }
  return [...nodes, letters.slice(at).join("")];
}

/** Objects by the phrase they share, in the order of the text; those without a phrase are left out. */
function phrasesOf(objects, length) {
  const groups = new Map();
  for (const thing of objects) {
    if (!(thing.start < thing.end && thing.end <= length)) continue;
    const key = `${thing.start}-${thing.end}`;
    groups.set(key, [...(groups.get(key) ?? []), thing]);
  }
  return [...groups.values()].sort(([a], [b]) => a.start - b.start);
}
