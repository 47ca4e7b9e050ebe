/** Shortcuts of the whole page, and the dialog that lists them. */

/** What is listed in the dialog: keys, and what they do. */
const SHORTCUTS = [
  ["Space", "play, pause"],
  ["← →", "a frame back, on"],
  ["Shift ← →", "ten frames back, on"],
  ["Home End", "the first, the last frame"],
  ["1 2 3", "point, box, scribble"],
  ["N", "the next click begins a new region"],
  ["C", "point by keyboard: arrows move the cross, Enter presses, Shift Enter is outside; with box and scribble, Enter begins and ends"],
  ["M", "masks on, off"],
  ["/", "write a question"],
  ["Enter", "ask (Shift Enter: a new line)"],
  ["Esc", "leave a field, a cross or a menu"],
  ["?", "this list"],
];

/**
 * Makes the keys work wherever no field has the focus.
 *
 * @param {object} parts elements by name: `talk` (the tab), `help` (a dialog), `keys` (its list), `field`
 * @param {object} controls `talk`, `player`, `pointing`, and `toggleMasks()`
 */
export function listenToKeys(parts, { talk, player, pointing, toggleMasks }) {
  fillHelp(parts);
  const acts = {
    " ": () => player.toggle(),
    ArrowLeft: (event) => player.step(event.shiftKey ? -10 : -1),
    ArrowRight: (event) => player.step(event.shiftKey ? 10 : 1),
    Home: () => player.seek(0),
    End: () => player.seek(player.count - 1),
    1: () => pointing.chooseNumber(1),
    2: () => pointing.chooseNumber(2),
    3: () => pointing.chooseNumber(3),
    n: () => pointing.beginNew(),
    c: () => pointing.toggleCross(),
    m: toggleMasks,
    "/": () => parts.field.focus(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isForField(event)) return;
    if (parts.help.open || !parts.talk.checkVisibility()) return;
    if (event.key === "?") return void parts.help.showModal();
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || !talk.id) return;
    event.preventDefault();
    act(event);
  });
}

/** Whether the key does something of its own where the focus is. */
function isForField({ target, key }) {
  const field = target.closest("input, textarea, select, button, summary, a, [role=tab]");
  if (!field) return false;
  if (field.matches("textarea, select, input:not([type=range], [type=radio], [type=checkbox])")) return true;
  if (field.matches("input")) return key.startsWith("Arrow") || key === " " || key === "Home" || key === "End";
  return key === " " || key === "Enter" || (field.matches("[role=tab]") && key.startsWith("Arrow"));
}

function fillHelp({ help, keys }) {
  for (const [names, words] of SHORTCUTS) {
    const term = document.createElement("dt");
    for (const name of names.split(" ")) term.append(Object.assign(document.createElement("kbd"), { textContent: name }), " ");
    keys.append(term, Object.assign(document.createElement("dd"), { textContent: words }));
  }
  help.addEventListener("click", (event) => event.target === help && help.close());
}
