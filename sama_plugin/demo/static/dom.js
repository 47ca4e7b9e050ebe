/** Builds elements and finds them. Text goes in as text nodes, so that no name or question is ever read as markup. */

import { icon } from "./icons.js";

/**
 * Makes an element.
 *
 * @param {string} tag
 * @param {object} given properties (`className`, `disabled`), attributes (`role`, `aria-label`, `data-x`), listeners (`onclick`)
 * @param {...(Node|string)} children
 */
export function make(tag, given = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/**
 * Makes a button that shows an icon only; its name is read out and shown as a tooltip.
 *
 * @param {string} name of the icon, see `icons.js`
 * @param {string} label
 * @param {(event: Event) => void} onclick
 */
export function iconButton(name, label, onclick) {
  return make("button", { type: "button", className: "icon-button", title: label, "aria-label": label, onclick }, icon(name));
}

/** Elements below `root` by their `data-part`. */
export function partsOf(root) {
  return Object.fromEntries([...root.querySelectorAll("[data-part]")].map((node) => [node.dataset.part, node]));
}

/** Whether the user asked their system for less motion. */
export const prefersStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
