/** The head of the page: its button changes between light and dark, and the browser remembers. */

import { partsOf } from "./dom.js";
import { icon } from "./icons.js";

const KEPT = "sama.theme";

/** Fills the head; `root` holds `head.html`. Without a choice, Gradio follows the system. */
export function begin(root) {
  const chosen = localStorage.getItem(KEPT);
  if (chosen) setDark(chosen === "dark");
  const { theme } = partsOf(root);
  theme.append(icon("theme"));
  theme.addEventListener("click", () => {
    const isDark = !document.body.classList.contains("dark");
    localStorage.setItem(KEPT, isDark ? "dark" : "light");
    setDark(isDark);
  });
}

function setDark(isDark) {
  document.body.classList.toggle("dark", isDark);
}
