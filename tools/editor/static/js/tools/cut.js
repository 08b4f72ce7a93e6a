import { cut } from "../components.js";
import { Region } from "../region.js";
import { act } from "./options.js";

/** Split a product along a line drawn across it, or into the parts it has. */
export class CutTool {
  name = "cut";
  icon = "cut";
  title = "Split";
  cursor = "crosshair";
  #line = null;

  constructor(editor) {
    this.editor = editor;
  }

  hint() {
    if (!this.editor.current) return ["Select the product to split."];
    return ["Draw a line across the selected product: each side becomes a product of its own."];
  }

  options() {
    const { editor } = this;
    return [act("Split into its parts", "One product for each separate part", "split", () => editor.act("split.parts"), { disabled: !editor.current })];
  }

  leave() {
    this.cancel();
  }

  down(point) {
    if (!this.editor.current) {
      this.editor.pick(point, false);
      if (!this.editor.current) this.editor.say("Select the product to split.");
      return;
    }
    this.#line = [[point.x, point.y]];
  }

  move(points) {
    if (!this.#line) return;
    this.#line.push(...points.map(({ x, y }) => [x, y]));
    this.editor.canvas.redraw("tool");
  }

  up() {
    const line = this.#line;
    const { editor } = this;
    const { current } = editor;
    this.cancel();
    if (!line || line.length < 2 || !current) return;
    const pieces = cut(current.region.mask, line, Math.max(16, current.region.area * 0.0005));
    if (pieces.length < 2) editor.say("The line has to cross the product from edge to edge.");
    else editor.divide(current, pieces.map((piece) => Region.fromMask(piece)), "Split");
  }

  cancel() {
    this.#line = null;
    this.editor.canvas.redraw("tool");
  }

  draw(context, { scale }) {
    if (!this.#line) return;
    const path = new Path2D();
    this.#line.forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
    for (const [width, colour] of [[4, "rgba(0, 0, 0, 0.5)"], [2, "#ffd60a"]]) {
      context.lineWidth = width / scale;
      context.strokeStyle = colour;
      context.stroke(path);
    }
  }
}
