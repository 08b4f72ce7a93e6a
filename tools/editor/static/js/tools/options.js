// Controls that tools show above the photo.
import { button, el, icon } from "../dom.js";
import { prefs } from "../prefs.js";

export function slider({ label, value, min, max, step = 1, show, change }) {
  const shown = el("output", { class: "number" }, show(value));
  const range = el("input", {
    type: "range", min, max, step, value, "aria-label": label,
    on: {
      input: () => {
        change(Number(range.value));
        shown.textContent = show(Number(range.value));
      },
      change: () => range.blur(),
    },
  });
  return el("label", { class: "slider" }, el("span", {}, label), range, shown);
}

/** A choice of few: [{value, text, title}]. */
export function segments(label, choices, chosen, change) {
  const nodes = choices.map(({ value, text, title, sign }) =>
    button({
      class: "segment", title, "aria-pressed": value === chosen,
      on: { click: () => change(value) },
    }, sign && icon(sign), text));
  return el("div", { class: "segments", role: "group", "aria-label": label }, nodes);
}

/** The brush's size: the slider runs over its logarithm. */
export function brushOptions(editor) {
  const most = Math.log(editor.brushRange[1]);
  return [
    slider({
      label: "Size", value: Math.log(editor.brushSize), min: 0, max: most, step: most / 100,
      show: (value) => `${Math.round(Math.exp(value))} px`,
      change: (value) => editor.setBrushSize(Math.exp(value)),
    }),
    el("span", { class: "quiet keys-only" }, `or ${editor.keyHint("brush.smaller", "brush.larger")}`),
  ];
}

export function detailOption(editor, change) {
  const value = editor.detail;
  return slider({
    label: "Tolerance", value: Math.log2(value), min: -1, max: 5, step: 0.5,
    show: (power) => `${(2 ** power).toFixed(power < 1 ? 1 : 0)} px`,
    change: (power) => {
      prefs.set("detail", 2 ** power);
      change();
    },
  });
}

export function act(text, title, sign, click, more = {}) {
  return button({ class: "action", title, on: { click }, ...more }, sign && icon(sign), text);
}

/** Keys that take back the last point of what a tool has begun. */
export function takesBack(event) {
  return event.key === "Backspace" || ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z");
}
