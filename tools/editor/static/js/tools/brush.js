import { clipBox, Mask, stamp, unionBox } from "../mask.js";
import { pathOf, Region } from "../region.js";
import { traceRings } from "../contour.js";
import { brushOptions } from "./options.js";

const LIVE_OUTLINE_PX = 500_000; // masks of a larger box get their outline when the stroke ends

/** Brush and eraser: a stroke is one edit. A pixel belongs to a stroke where its centre lies within half the brush's
 *  size of the pointer's way. */
export class BrushTool {
  cursor = "none";
  #stroke = null;
  #at = null; // where the pointer is, photo px
  #last = null; // end of the last stroke, for straight lines

  constructor(editor, erases) {
    this.editor = editor;
    this.erases = erases;
    this.name = erases ? "eraser" : "brush";
    this.icon = this.name;
    this.title = erases ? "Eraser" : "Brush";
  }

  hint() {
    const size = this.editor.keyHint("brush.smaller", "brush.larger");
    if (this.erases) return ["Drag to take away from the selected product.", `Size ${size}. Shift: straight line. Alt: paint.`];
    const target = this.editor.current ? "add to the selected product" : "start a new product";
    return [`Drag to ${target}.`, `Size ${size}. Shift: straight line. Alt or right button: erase.`];
  }

  options() {
    return brushOptions(this.editor);
  }

  leave() {
    this.cancel();
    this.#at = null;
  }

  down(point) {
    const { editor } = this;
    const erases = this.erases !== point.invert;
    const instance = editor.current;
    if (erases && !instance) {
      editor.say("Select a product to erase from.");
      return;
    }
    const mask = instance ? instance.region.mask.clone() : new Mask(editor.doc.width, editor.doc.height);
    const id = instance?.id ?? editor.doc.nextId();
    const live = mask.w * mask.h <= LIVE_OUTLINE_PX;
    this.#stroke = { id, mask, erases, live, from: [point.x, point.y], document: editor.doc, instance };
    editor.figures.strokeBegins();
    editor.working = { id, mask, path: () => null, selected: true };
    const start = point.shift && this.#last ? this.#last : [point.x, point.y];
    this.#extend([start, [point.x, point.y]]);
    editor.canvas.redraw("lines");
  }

  move(points) {
    const here = points.at(-1);
    this.#at = [here.x, here.y];
    if (this.#stroke) this.#extend([this.#stroke.from, ...points.map(({ x, y }) => [x, y])]);
    this.editor.canvas.redraw("tool");
  }

  hover(point) {
    this.#at = [point.x, point.y];
    this.editor.canvas.redraw("tool");
  }

  leaveCanvas() {
    this.#at = null;
    this.editor.canvas.redraw("tool");
  }

  up() {
    const stroke = this.#stroke;
    if (!stroke) return;
    const { editor } = this;
    const began = performance.now();
    this.#stroke = null;
    this.#last = stroke.from;
    editor.working = null;
    const region = Region.fromMask(stroke.mask);
    const before = stroke.instance?.region;
    if (region.rle.counts !== (before?.rle.counts ?? "") && (before || region.area)) {
      editor.setRegion(stroke.erases ? "Eraser" : "Brush", stroke.instance, region, stroke);
    }
    editor.canvas.refresh();
    editor.figures.strokeEnds(began);
  }

  cancel() {
    if (!this.#stroke) return;
    this.#stroke = null;
    this.editor.working = null;
    this.editor.canvas.refresh();
  }

  #extend(way) {
    const stroke = this.#stroke;
    const { editor } = this;
    let box = { x: 0, y: 0, w: 0, h: 0 };
    for (let i = 1; i < way.length; i++) {
      const touched = stamp(stroke.mask, ...way[i - 1], ...way[i], editor.brushSize, stroke.erases ? 0 : 1);
      box = unionBox(box, touched);
    }
    stroke.from = way.at(-1);
    editor.canvas.refreshBox(clipBox(box, stroke.mask.photoBox));
    if (stroke.live) {
      let path = null; // traced once a frame, when it is drawn
      editor.working.path = (distance) => (path ??= pathOf(traceRings(stroke.mask), distance));
      editor.canvas.redraw("lines");
    }
  }

  draw(context, { scale }) {
    if (!this.#at) return;
    const radius = this.editor.brushSize / 2;
    for (const [width, colour] of [[3, "rgba(0, 0, 0, 0.5)"], [1.25, this.erases ? "#ffb4a8" : "#ffffff"]]) {
      context.beginPath();
      context.arc(...this.#at, Math.max(radius, 1.5 / scale), 0, 2 * Math.PI);
      context.lineWidth = width / scale;
      context.strokeStyle = colour;
      context.stroke();
    }
  }
}
