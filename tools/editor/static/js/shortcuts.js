// The dialog of shortcuts and settings.
import { FIXED } from "./actions.js";
import { ask } from "./dialogs.js";
import { button, el, fill, kbd } from "./dom.js";
import { comboOf, MODIFIERS, shownCombo } from "./keys.js";
import { prefs } from "./prefs.js";

export function showShortcuts(keymap) {
  const note = el("p", { class: "quiet", role: "status" }, "Click a key to change it.");
  const table = el("div", { class: "shortcuts" });
  const draw = () => {
    const groups = new Map();
    for (const action of keymap.actions) {
      if (!groups.has(action.group)) groups.set(action.group, []);
      groups.get(action.group).push(row(action, keymap, note, draw));
    }
    for (const [keys, group, label] of FIXED) {
      groups.get(group).push(el("div", { class: "row fixed" }, el("span", {}, label), kbd(keys)));
    }
    fill(table, [...groups].map(([name, rows]) => el("section", {}, el("h3", {}, name), rows)));
  };
  draw();
  const body = [settings(), note, table, el("div", { class: "reset" }, button({
    class: "link",
    on: {
      click: () => {
        keymap.reset();
        note.textContent = "All keys are as they were at first.";
        draw();
      },
    },
  }, "Reset all keys"))];
  return ask({ title: "Shortcuts and settings", body, choices: [{ value: "close", text: "Close", primary: true }], wide: true });
}

function row(action, keymap, note, redraw) {
  const combos = keymap.combos(action.name);
  const key = button({
    class: "key", data: { action: action.name }, title: "Change this key",
    "aria-label": `${action.label}: ${combos.map(shownCombo).join(" or ") || "no key"}. Change`,
    on: { click: () => capture(action, keymap, key, note, redraw) },
  }, combos.length ? combos.map((combo) => kbd(shownCombo(combo))) : el("span", { class: "quiet" }, "no key"));
  return el("div", { class: "row" }, el("span", {}, action.label), key);
}

/** The next key pressed becomes the action's; Esc leaves it as it was. */
function capture(action, keymap, key, note, redraw) {
  fill(key, el("span", { class: "listening" }, "press a key"));
  note.textContent = `Press the key for “${action.label}”. Esc: leave it as it is.`;
  const stop = () => {
    window.removeEventListener("keydown", onKey, true);
    window.removeEventListener("pointerdown", stop, true);
    redraw();
  };
  const onKey = (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
    if (MODIFIERS.has(event.key)) return;
    const combo = comboOf(event);
    if (/^(Digit|Numpad)\d$/.test(event.code) && !event.ctrlKey && !event.altKey) {
      note.textContent = "Number keys choose values; take another key.";
      return;
    }
    if (combo === "Space") {
      note.textContent = "The space bar moves the photo; take another key.";
      return;
    }
    note.textContent = "Click a key to change it.";
    if (combo !== "Escape") {
      const loser = keymap.set(action.name, combo);
      if (loser) note.textContent = `${shownCombo(combo)} was the key of “${loser.label}”, which has lost it.`;
    }
    stop();
  };
  window.addEventListener("keydown", onKey, true);
  setTimeout(() => window.addEventListener("pointerdown", stop, true));
}

function settings() {
  const wheel = el("select", {
    on: { change: () => prefs.set("wheel", wheel.value) },
  }, [["auto", "zooms with a mouse, moves with a touch pad"], ["zoom", "zooms"], ["pan", "moves the photo"]].map(([value, text]) =>
    el("option", { value, selected: prefs.get("wheel") === value }, text)));
  const advance = el("input", {
    type: "checkbox", checked: prefs.get("advance"),
    on: { change: () => prefs.set("advance", advance.checked) },
  });
  return el("div", { class: "settings" },
    el("label", {}, "The wheel ", wheel),
    el("label", {}, advance, " After a single choice, on to the next field"));
}
