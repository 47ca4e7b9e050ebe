/** The tab "From code": snippets name this very server, and can be copied. */

import { make } from "./dom.js";

const PRINTED = "http://127.0.0.1:7860";

/** Fills the tab; `root` holds the snippets. */
export function begin(root) {
  for (const code of root.querySelectorAll("pre code")) {
    code.textContent = code.textContent.replaceAll(PRINTED, location.origin);
    const button = make("button", { type: "button", className: "copy" }, "Copy");
    button.addEventListener("click", async () => {
      button.textContent = await copy(code);
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
    code.before(button);
  }
}

/** Copies; where the browser keeps the clipboard shut, the text is selected for the user to copy. */
async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return "Copied";
  } catch {
    getSelection().selectAllChildren(code);
    return "Selected: press Ctrl+C";
  }
}
