// The bar at the top: which photo, undo and redo, the view, saved or not.
import { button, el, fill, icon } from "../dom.js";
import { prefs } from "../prefs.js";
import { slider } from "../tools/options.js";
import { STATES } from "./queue.js";

export class TopBar {
  constructor(editor, node) {
    this.editor = editor;
    this.node = node;
  }

  /** Once all actions have their keys. */
  build() {
    const { editor } = this;
    const tool = (name, sign, title, more = {}) => {
      const node = button({ class: "tool", data: { action: name }, "aria-label": title, on: { click: () => editor.act(name) }, ...more }, icon(sign));
      node.dataset.title = title;
      return node;
    };
    this.buttons = [
      tool("queue.toggle", "list", "Show or hide the queue"),
      tool("photo.previous", "left", "Previous photo"), tool("photo.next", "right", "Next photo"),
      tool("edit.undo", "undo", "Undo"), tool("edit.redo", "redo", "Redo"),
      tool("view.out", "minus", "Zoom out"), tool("view.in", "plus", "Zoom in"), tool("view.fit", "fit", "Fit the photo"),
      tool("view.masks", "eye", "Hide or show all masks"), tool("view.cutout", "cutout", "Cut-out: dim the ground"),
      tool("export", "export", "Export"), tool("help", "keyboard", "Shortcuts and settings"),
    ];
    const [queue, previous, next, undo, redo, out, zoomIn, fit, masks, cutout, exporting, help] = this.buttons;
    Object.assign(this, { undo, redo, masks, cutout });
    this.name = el("span", { class: "name" });
    this.place = el("span", { class: "quiet" });
    this.state = el("span", { class: "badge" });
    this.zoom = button({ class: "zoom", title: "Actual pixels", on: { click: () => editor.act("view.actual") } }, "100 %");
    this.saved = el("button", { type: "button", class: "saved", "aria-live": "polite", on: { click: () => editor.act("edit.save") } });
    this.bright = el("span");
    const group = (...nodes) => el("div", { class: "group" }, nodes);
    fill(this.node,
      group(queue, el("strong", { class: "brand", title: editor.session.title }, editor.session.title || "segattr")),
      group(previous, next, el("span", { class: "photo-name" }, this.name, this.place), this.state),
      el("span", { class: "spring" }),
      group(undo, redo), group(out, this.zoom, zoomIn, fit), group(this.bright, masks, cutout),
      group(this.saved), group(exporting, help));
    this.#brightness();
    prefs.on("brightness", () => this.#brightness());
    editor.on("edit", () => this.draw());
    editor.on("document", () => this.draw());
    editor.on("queue", () => this.draw());
    editor.on("saving", () => this.#saving());
    editor.canvas.on("view", () => this.#view());
    editor.keymap.on("change", () => this.#titles());
    this.#titles();
    this.draw();
  }

  #titles() {
    for (const node of this.buttons) {
      const key = this.editor.keyHint(node.dataset.action);
      node.title = key ? `${node.dataset.title}  (${key})` : node.dataset.title;
    }
  }

  #brightness() {
    if (this.bright.contains(document.activeElement) && this.range) return;
    fill(this.bright, slider({
      label: "Masks", value: prefs.get("brightness"), min: 0, max: 100, step: 5, show: (value) => `${value} %`,
      change: (value) => prefs.set("brightness", value),
    }));
    this.range = true;
  }

  draw() {
    const { doc, queue } = this.editor;
    this.name.textContent = doc?.fileName.split("/").at(-1) ?? "";
    this.name.title = doc?.fileName ?? "";
    this.place.textContent = queue.position >= 0 ? `${queue.position + 1} of ${queue.total}` : "";
    const state = doc?.now.state ?? "";
    this.state.className = `badge ${state}`;
    this.state.textContent = new Map(STATES).get(state) ?? "";
    this.undo.disabled = !doc?.undoDepth;
    this.redo.disabled = !doc?.redoDepth;
    this.undo.dataset.title = doc?.undoLabel ? `Undo: ${doc.undoLabel.toLowerCase()}` : "Undo";
    this.redo.dataset.title = doc?.redoLabel ? `Redo: ${doc.redoLabel.toLowerCase()}` : "Redo";
    this.#titles();
    this.#saving();
    this.#view();
  }

  #view() {
    const { scale } = this.editor.canvas.view;
    this.zoom.textContent = `${scale < 0.1 ? (scale * 100).toFixed(1) : Math.round(scale * 100)} %`;
  }

  #saving() {
    const { saver, opener } = this.editor;
    const others = opener.savers.filter((one) => one !== saver && ["failed", "conflict", "gone"].includes(one.state)).length;
    const state = saver?.state ?? "saved";
    const words = {
      saved: "Saved", waiting: "Saving…", saving: "Saving…", failed: "Not saved", conflict: "Not saved: changed elsewhere",
      gone: "Not saved: photo gone",
    };
    const also = others ? ` · ${others} more ${others === 1 ? "photo" : "photos"} not saved` : "";
    this.saved.className = `saved ${others && state === "saved" ? "failed" : state}`;
    fill(this.saved, icon({ saved: "check", waiting: "more", saving: "more" }[state] ?? "warn"), el("span", {}, (saver ? words[state] : "") + also));
    this.saved.title = saver?.detail ? `${saver.detail}\nClick to try again.` : "Every edit is saved at once";
  }

  toggleMasks() {
    const { editor } = this;
    editor.masksHidden = !editor.masksHidden;
    this.masks.setAttribute("aria-pressed", editor.masksHidden);
    editor.canvas.refresh();
  }

  toggleCutout() {
    const { editor } = this;
    editor.cutout = !editor.cutout;
    this.cutout.setAttribute("aria-pressed", editor.cutout);
    editor.canvas.refresh();
  }
}
