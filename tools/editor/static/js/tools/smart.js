import { api } from "../api.js";
import { Region } from "../region.js";
import { act, segments, takesBack } from "./options.js";

const DRAG_PX = 6;

/** Click-to-segment: points inside and outside, or a box; the server answers with a mask to apply. */
export class SmartTool {
  name = "smart";
  icon = "smart";
  title = "Click to segment";
  cursor = "crosshair";
  mode = 1;
  points = []; // [x, y, 1 inside | 0 outside]
  box = null;
  #preview = null; // Region
  #target = null; // the instance it refines, null for a new one
  #document = null;
  #press = null;
  #order = []; // "point" | "box", for Backspace
  #abort = null;
  #pending = null;

  constructor(editor) {
    this.editor = editor;
  }

  get preview() {
    return this.#preview;
  }

  hint() {
    if (this.#order.length) return ["Click to add, right or Alt+click to leave out.", "Enter: apply. Esc: discard. Backspace: last point away."];
    const target = this.editor.current ? "correct the selected product" : "outline a new product";
    return [`Click on the product or drag a box around it to ${target}.`];
  }

  options() {
    return [
      segments("Points", [
        { value: 1, text: "Inside", sign: "plus", title: "Clicks say: this belongs to it" },
        { value: 0, text: "Outside", sign: "minus", title: "Clicks say: this does not (also right button or Alt)" },
      ], this.mode, (mode) => {
        this.mode = mode;
        this.editor.emit("tool");
      }),
      this.#order.length > 0 && act("Apply", "Enter", "check", () => this.apply(), { class: "action primary" }),
      this.#order.length > 0 && act("Discard", "Esc", "cross", () => this.cancel()),
    ];
  }

  leave() {
    return this.#order.length ? this.apply() : this.cancel();
  }

  down(point) {
    this.#press = { ...point, to: null };
  }

  move(points) {
    const point = points.at(-1);
    const press = this.#press;
    if (!press || (!press.to && Math.hypot(point.sx - press.sx, point.sy - press.sy) < DRAG_PX)) return;
    press.to = [point.x, point.y];
    this.editor.canvas.redraw("tool");
  }

  up(point) {
    const press = this.#press;
    this.#press = null;
    if (!press) return;
    if (!this.#order.length) {
      this.#target = this.editor.current;
      this.#document = this.editor.doc;
    }
    if (press.to) {
      const { width, height } = this.editor.doc;
      const within = (value, most) => Math.min(Math.max(value, 0), most);
      const [xs, ys] = [[press.x, point.x].sort((a, b) => a - b), [press.y, point.y].sort((a, b) => a - b)];
      this.box = [within(xs[0], width), within(ys[0], height), within(xs[1], width), within(ys[1], height)];
      this.#order.push("box");
    } else {
      const inside = press.invert ? 1 - this.mode : this.mode;
      this.points.push([press.x, press.y, inside]);
      this.#order.push("point");
    }
    this.#ask();
  }

  interrupt() {
    this.#press = null;
    this.editor.canvas.redraw("tool");
  }

  key(event) {
    if (!this.#order.length) return false;
    if (event.key === "Enter") this.apply();
    else if (event.key === "Escape") this.cancel();
    else if (takesBack(event)) {
      if (this.#order.pop() === "box") this.box = null;
      else this.points.pop();
      if (this.#order.length) this.#ask();
      else this.cancel();
    } else return false;
    return true;
  }

  async #ask() {
    const { editor } = this;
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    const began = performance.now();
    const base = this.#target?.region;
    const asked = { points: this.points, box: this.box, segmentation: base?.area && !this.box ? base.rle : null };
    editor.emit("tool");
    this.#pending = editor.waitFor(api.click(this.#document.key, asked, abort.signal));
    const segmentation = await this.#pending;
    if (!segmentation || abort.signal.aborted) return;
    this.#preview = new Region(segmentation);
    editor.figures.click(performance.now() - began);
    this.#show();
  }

  #show() {
    const { editor } = this;
    const id = this.#target?.id ?? this.#document.nextId();
    const region = this.#preview;
    editor.working = { id, mask: region.mask, path: (distance) => region.path(distance), selected: true, dashed: true };
    editor.canvas.refresh();
    editor.canvas.redraw("tool");
  }

  /** The preview becomes the product's mask. */
  async apply() {
    await this.#pending;
    const [region, target, document] = [this.#preview, this.#target, this.#document];
    const asked = this.#order.length;
    this.cancel();
    if (!asked || !region) return;
    if (!region.area) return this.editor.say("Nothing was found there: add points, or draw a box around it.");
    this.editor.setRegion("Click to segment", target && document.find(target.id), region, { document });
  }

  cancel() {
    this.#abort?.abort();
    Object.assign(this, { points: [], box: null });
    this.#preview = null;
    this.#pending = null;
    this.#press = null;
    this.#order = [];
    this.editor.working = null;
    this.editor.canvas.refresh();
    this.editor.canvas.redraw("tool");
    this.editor.emit("tool");
  }

  draw(context, { scale }) {
    const press = this.#press;
    const box = press?.to ? [press.x, press.y, ...press.to] : this.box;
    if (box) {
      context.setLineDash([6 / scale, 4 / scale]);
      for (const [width, colour] of [[3, "rgba(0, 0, 0, 0.5)"], [1.5, "#fff"]]) {
        context.lineWidth = width / scale;
        context.strokeStyle = colour;
        context.strokeRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
      }
      context.setLineDash([]);
    }
    for (const [x, y, inside] of this.points) {
      context.beginPath();
      context.arc(x, y, 6.5 / scale, 0, 2 * Math.PI);
      context.fillStyle = inside ? "#12b76a" : "#f04438";
      context.fill();
      context.lineWidth = 2 / scale;
      context.strokeStyle = "#fff";
      context.stroke();
      context.beginPath();
      context.moveTo(x - 3 / scale, y);
      context.lineTo(x + 3 / scale, y);
      if (inside) {
        context.moveTo(x, y - 3 / scale);
        context.lineTo(x, y + 3 / scale);
      }
      context.stroke();
    }
  }
}
