import { simplify } from "../geometry.js";
import { act, segments, takesBack } from "./options.js";

const CLOSE_PX = 12;
const DRAG_PX = 5;
const SAMPLE_PX = 3;

/** A new outline by clicks, freehand by dragging, or both; rasterised by the server when it is closed. */
export class PolygonTool {
  name = "polygon";
  icon = "polygon";
  title = "Polygon and freehand";
  cursor = "crosshair";
  mode = "add";
  #points = [];
  #groups = []; // how many points each click or drag added, for Backspace
  #press = null;
  #at = null;

  constructor(editor) {
    this.editor = editor;
  }

  get points() {
    return this.#points;
  }

  hint() {
    if (this.#points.length) {
      return ["Click the first point, double-click or press Enter to close.", "Backspace: last point away. Esc: discard."];
    }
    const { current } = this.editor;
    const target = !current ? "starts a new product" : this.mode === "cut" ? "is cut out of the selected product" : "is added to the selected product";
    return [`Click point by point or drag freehand: the area ${target}.`];
  }

  options() {
    const { editor } = this;
    const choose = (mode) => {
      this.mode = mode;
      editor.emit("tool");
    };
    const open = this.#points.length;
    return [
      segments("What the outline does", [
        { value: "add", text: "Add area", sign: "plus" },
        { value: "cut", text: "Cut hole", sign: "minus", title: "Take the area away: holes, too much" },
      ], this.mode, choose),
      open > 0 && act("Close", "Enter", "check", () => this.close(), { disabled: open < 3 }),
      open > 0 && act("Discard", "Esc", "cross", () => this.cancel()),
    ];
  }

  leave() {
    const done = this.#points.length >= 3 ? this.close() : this.cancel();
    this.#at = null;
    return done;
  }

  down(point) {
    this.#press = { ...point, added: 0, freehand: false, began: this.#points.length };
    if (this.#points.length >= 3 && this.#near(point)) {
      this.#press = null;
      this.close();
      return;
    }
    this.#add([point.x, point.y]);
  }

  move(points) {
    for (const point of points) {
      const press = this.#press;
      if (!press) return;
      const far = Math.hypot(point.sx - press.sx, point.sy - press.sy);
      if (far < (press.freehand ? SAMPLE_PX : DRAG_PX)) continue;
      press.freehand = true;
      [press.sx, press.sy] = [point.sx, point.sy];
      this.#points.push([point.x, point.y]);
      press.added++;
    }
    this.hover(points.at(-1));
  }

  up(point) {
    const press = this.#press;
    this.#press = null;
    if (!press?.freehand) return;
    const drawn = this.#points.splice(press.began);
    this.#points.push(...simplify(drawn, 0.4 / this.editor.canvas.view.scale));
    this.#groups[this.#groups.length - 1] = this.#points.length - press.began;
    // A loop drawn in one go is closed where it comes back to its start.
    if (press.began === 0 && this.#points.length > 3 && this.#near(point, 2 * CLOSE_PX)) this.close();
    else this.#changed();
  }

  hover(point) {
    this.#at = [point.x, point.y];
    this.editor.canvas.redraw("tool");
  }

  double() {
    if (this.#points.length >= 3) this.close();
  }

  cancel() {
    this.#points = [];
    this.#groups = [];
    this.#press = null;
    this.#changed();
  }

  interrupt() {
    if (!this.#press) return;
    this.#points.length = this.#press.began;
    this.#groups.pop();
    this.#press = null;
    this.#changed();
  }

  key(event) {
    if (!this.#points.length) return false;
    if (event.key === "Enter") this.close();
    else if (event.key === "Escape") this.cancel();
    else if (takesBack(event)) {
      this.#points.splice(this.#points.length - (this.#groups.pop() ?? 1));
      this.#changed();
    } else return false;
    return true;
  }

  /** Rasterise and commit. A double click leaves its second point on its first: dropped. */
  async close() {
    const points = this.#points.filter((point, i, all) => !i || Math.hypot(point[0] - all[i - 1][0], point[1] - all[i - 1][1]) > 1e-6);
    const { mode } = this;
    this.cancel();
    if (points.length < 3) return this.editor.say("An outline needs three points.");
    await this.editor.combineRing(points, mode);
  }

  #near({ sx, sy }, reach = CLOSE_PX) {
    const [x, y] = this.editor.canvas.toScreen(...this.#points[0]);
    return Math.hypot(sx - x, sy - y) <= reach;
  }

  #add(point) {
    this.#points.push(point);
    this.#groups.push(1);
    this.#changed();
  }

  #changed() {
    this.editor.canvas.redraw("tool");
    this.editor.emit("tool");
  }

  draw(context, { scale }) {
    if (!this.#points.length) return;
    const line = new Path2D();
    this.#points.forEach(([x, y], i) => (i ? line.lineTo(x, y) : line.moveTo(x, y)));
    if (this.#at && !this.#press?.freehand) line.lineTo(...this.#at);
    const colour = this.mode === "cut" ? "#ff6b5e" : "#ffffff";
    for (const [width, style] of [[3.5, "rgba(0, 0, 0, 0.5)"], [1.75, colour]]) {
      context.lineWidth = width / scale;
      context.strokeStyle = style;
      context.stroke(line);
    }
    const closes = this.#points.length >= 3;
    this.#points.forEach(([x, y], i) => {
      if (i && this.#points.length > 60) return;
      context.beginPath();
      context.arc(x, y, (i === 0 && closes ? 6 : 3.5) / scale, 0, 2 * Math.PI);
      context.fillStyle = i === 0 && closes ? colour : "#fff";
      context.lineWidth = 1.25 / scale;
      context.strokeStyle = "rgba(0, 0, 0, 0.7)";
      context.fill();
      context.stroke();
    });
  }
}
