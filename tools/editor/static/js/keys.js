// Keys to actions: combos such as "Ctrl+Shift+Z", changed by the person, kept in this browser.
import { Emitter } from "./events.js";
import { prefs } from "./prefs.js";

const SIGNS = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Delete: "Del", Escape: "Esc", PageDown: "Pg Dn", PageUp: "Pg Up", Backspace: "⌫" };
const NATIVE = new Set(["Tab", "Shift+Tab", "Enter", "Space", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Backspace"]);
export const MODIFIERS = new Set(["Control", "Shift", "Alt", "Meta", "AltGraph", "CapsLock"]);

/** The combo of a keydown event. Command counts as Ctrl; Shift is named only with keys that do not show it. */
export function comboOf(event) {
  let { key } = event;
  if (key === " ") key = "Space";
  const written = event.getModifierState?.("AltGraph"); // a sign that needs AltGr is that sign
  const letter = key.length === 1 && key.toLowerCase() !== key.toUpperCase();
  if (letter) key = key.toUpperCase();
  const parts = [];
  if ((event.ctrlKey || event.metaKey) && !written) parts.push("Ctrl");
  if (event.altKey && !written) parts.push("Alt");
  if (event.shiftKey && (letter || key.length > 1)) parts.push("Shift");
  return [...parts, key].join("+");
}

export function shownCombo(combo) {
  const parts = combo === "+" ? ["+"] : combo.split(/\+(?!$)/);
  return parts.map((part) => SIGNS[part] ?? part).join(" ");
}

export class Keymap extends Emitter {
  #actions;
  #byCombo = new Map();

  constructor(actions) {
    super();
    this.#actions = new Map(actions.map((action) => [action.name, action]));
    this.#index();
  }

  get actions() {
    return [...this.#actions.values()];
  }

  combos(name) {
    const changed = prefs.get("keys")[name];
    return Array.isArray(changed) ? changed : this.#actions.get(name)?.combos ?? [];
  }

  shown(name) {
    const [first] = this.combos(name);
    return first ? shownCombo(first) : "";
  }

  /** Give an action one key; whoever had it loses it. Returns the action that lost it, or null. */
  set(name, combo) {
    const loser = this.#byCombo.get(combo);
    const keys = { ...prefs.get("keys") };
    if (loser && loser !== name) keys[loser] = this.combos(loser).filter((one) => one !== combo);
    keys[name] = combo === null ? [] : [combo];
    this.#store(keys);
    return loser && loser !== name ? this.#actions.get(loser) : null;
  }

  reset() {
    this.#store({});
  }

  #store(keys) {
    prefs.set("keys", keys);
    this.#index();
    this.emit("change");
  }

  #index() {
    this.#byCombo.clear();
    for (const name of this.#actions.keys()) for (const combo of this.combos(name)) this.#byCombo.set(combo, name);
  }

  find(combo) {
    return this.#actions.get(this.#byCombo.get(combo)) ?? null;
  }
}

/** Listen to the keyboard. digit(n): number keys, 1 to 20. */
export function listen(editor, keymap, { digit }) {
  window.addEventListener("keydown", (event) => {
    if (MODIFIERS.has(event.key) || event.isComposing || document.querySelector("dialog[open]")) return;
    const combo = comboOf(event);
    const focused = document.activeElement;
    const elsewhere = focused && focused !== document.body;
    if (elsewhere && /^(INPUT|TEXTAREA|SELECT)$/.test(focused.tagName)) {
      if (event.key === "Escape") focused.blur();
      if (combo !== "Ctrl+S") return;
    }
    if (elsewhere && NATIVE.has(combo)) return;
    if (elsewhere && event.key === "Escape") return focused.blur();
    if (combo === "Space") {
      event.preventDefault();
      editor.input.hold(true);
      return;
    }
    if (editor.input.busy) { // in the middle of a stroke
      if (event.key === "Escape") editor.input.abort();
      return event.preventDefault();
    }
    if (editor.tool.key?.(event)) return event.preventDefault();
    const number = digitOf(event);
    if (number !== null && !keymap.find(combo)) {
      event.preventDefault();
      return digit(number);
    }
    const action = keymap.find(combo);
    if (!action) return;
    event.preventDefault();
    action.run();
  });
  window.addEventListener("keyup", (event) => event.key === " " && editor.input.hold(false));
}

/** 1 to 10 by the number keys of any layout and the number pad, 11 to 20 with Shift; null for other keys. */
function digitOf(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  const match = /^(?:Digit|Numpad)(\d)$/.exec(event.code);
  const plain = /^\d$/.exec(event.key);
  if (!match || (event.code.startsWith("Numpad") && !plain)) return null;
  return (Number(match[1]) || 10) + (event.shiftKey ? 10 : 0);
}
