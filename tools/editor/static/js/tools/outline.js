import { api } from "../api.js";
import { blendChange } from "../components.js";
import { insertVertex, moveVertex, nearestEdge, nearestVertex, removeVertices } from "../geometry.js";
import { Mask } from "../mask.js";
import { Region } from "../region.js";
import { act, detailOption } from "./options.js";

const VERTEX_PX = 9;
const EDGE_PX = 7;

/** The selected product's outline as vertices to move, add and delete. The outline is a simplified view of the mask:
 *  only where it was changed does the mask follow it. */
export class OutlineTool {
  name = "outline";
  icon = "outline";
  title = "Edit vertices";
  cursor = "default";
  parts = [];
  #shown = null; // {document, id, region} the parts belong to
  #raster = null; // of the parts, as a promise
  #chosen = []; // [{part, ring, index}]
  #drag = null;
  #hovered = null;
  #asked = 0;
  #timer = 0;

  constructor(editor) {
    this.editor = editor;
  }

  hint() {
    if (!this.editor.current) return ["Select a product to edit its outline."];
    return ["Drag a vertex to move it, drag the line to add one, Delete or Alt+click to remove it."];
  }

  options() {
    const count = this.#chosen.length;
    return [
      detailOption(this.editor, () => {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#load(), 150);
      }),
      act(count > 1 ? `Delete ${count} vertices` : "Delete vertex", "Delete", "trash", () => this.#removeChosen(), { disabled: !count }),
    ];
  }

  enter() {
    this.sync();
  }

  leave() {
    clearTimeout(this.#timer);
    this.#forget();
  }

  /** The selection or the mask may have changed. */
  sync() {
    const { doc, current } = this.editor;
    const { document, id, region } = this.#shown ?? {};
    if (document === doc && id === current?.id && region === current?.region) return;
    this.#load();
  }

  #forget() {
    Object.assign(this, { parts: [] });
    this.#shown = null;
    this.#raster = null;
    this.#chosen = [];
    this.#drag = null;
    this.editor.canvas.redraw("tool");
  }

  async #load() {
    const { editor } = this;
    const { doc, current } = editor;
    const asked = ++this.#asked;
    this.#forget();
    if (!current) return;
    this.#shown = { document: doc, id: current.id, region: current.region };
    const parts = await editor.waitFor(api.polygons(current.region.rle, editor.detail));
    if (!parts || asked !== this.#asked || this.#shown?.region !== current.region) return;
    this.parts = parts;
    editor.canvas.redraw("tool");
  }

  down(point) {
    const { editor } = this;
    const reach = 1 / editor.canvas.view.scale;
    const vertex = nearestVertex(this.parts, [point.x, point.y], VERTEX_PX * reach);
    if (vertex && point.invert) {
      this.#chosen = [vertex];
      this.#removeChosen();
      return;
    }
    const edge = vertex ? null : nearestEdge(this.parts, [point.x, point.y], EDGE_PX * reach);
    if (!vertex && !edge) {
      this.#chosen = [];
      editor.emit("tool");
      return "pan";
    }
    const before = this.parts;
    if (edge) this.parts = insertVertex(this.parts, edge, [point.x, point.y]);
    const held = vertex ?? { ...edge, index: edge.index + 1 };
    this.#choose(held, point.shift);
    this.#drag = { held, before, label: edge ? "Added a vertex" : "Moved a vertex" };
    editor.canvas.redraw("tool");
  }

  click(point) {
    this.editor.pick(point, point.shift);
  }

  move(points) {
    const { x, y } = points.at(-1);
    if (!this.#drag) return;
    this.parts = moveVertex(this.parts, this.#drag.held, [x, y]);
    this.#drag.moved = true;
    this.editor.canvas.redraw("tool");
  }

  hover(point) {
    const reach = 1 / this.editor.canvas.view.scale;
    const here = [point.x, point.y];
    const vertex = nearestVertex(this.parts, here, VERTEX_PX * reach);
    const edge = vertex ? null : nearestEdge(this.parts, here, EDGE_PX * reach);
    this.#hovered = vertex ?? (edge ? { at: here } : null);
    this.cursor = vertex ? "move" : edge ? "copy" : "default";
    this.editor.input.cursor();
    this.editor.canvas.redraw("tool");
  }

  up() {
    const drag = this.#drag;
    this.#drag = null;
    if (drag && (drag.moved || drag.label.startsWith("Added"))) this.#commit(drag.label, drag.before);
  }

  cancel() {
    if (this.#drag) this.parts = this.#drag.before;
    this.#drag = null;
    this.editor.canvas.redraw("tool");
  }

  key(event) {
    if (event.key === "Escape" && this.#chosen.length) {
      this.#chosen = [];
      this.#changed();
      return true;
    }
    if ((event.key === "Delete" || event.key === "Backspace") && this.#chosen.length) {
      this.#removeChosen();
      return true;
    }
    return false;
  }

  #choose(vertex, more) {
    const same = ({ part, ring, index }) => part === vertex.part && ring === vertex.ring && index === vertex.index;
    if (!more) this.#chosen = [vertex];
    else if (!this.#chosen.some(same)) this.#chosen.push(vertex);
    this.#changed();
  }

  #changed() {
    this.editor.emit("tool");
    this.editor.canvas.redraw("tool");
  }

  #removeChosen() {
    if (!this.#chosen.length) return;
    const before = this.parts;
    const label = this.#chosen.length > 1 ? "Deleted vertices" : "Deleted a vertex";
    this.parts = removeVertices(this.parts, this.#chosen);
    this.#chosen = [];
    this.#changed();
    this.#commit(label, before);
  }

  /** The mask follows the outline where it changed. */
  async #commit(label, before) {
    const { editor } = this;
    const shown = this.#shown;
    const { width, height } = editor.doc;
    const raster = async (parts) => Mask.fromRle(await api.rasterise([height, width], parts));
    const old = this.#raster ?? raster(before);
    const fresh = raster(this.parts);
    this.#raster = fresh;
    this.#chain = this.#chain.then(async () => {
      const both = await editor.waitFor(Promise.all([old, fresh]));
      const instance = shown.document.find(shown.id);
      if (!both || !instance || instance.region !== shown.region) {
        if (this.#shown === shown) this.#load();
        return;
      }
      const reach = Math.ceil(editor.detail) + 1;
      const region = Region.fromMask(blendChange(instance.region.mask, ...both, reach));
      shown.region = region; // before the edit is told: these vertices stay
      editor.setRegion(label, instance, region, shown);
    });
    await this.#chain;
  }

  #chain = Promise.resolve();

  draw(context, { scale }) {
    if (!this.parts.length) return;
    const line = new Path2D();
    for (const ring of this.parts.flat()) {
      ring.forEach(([x, y], i) => (i ? line.lineTo(x, y) : line.moveTo(x, y)));
      line.closePath();
    }
    context.lineWidth = 1.5 / scale;
    context.strokeStyle = "#fff";
    context.stroke(line);
    const chosen = new Set(this.#chosen.map(({ part, ring, index }) => `${part}/${ring}/${index}`));
    const size = 7 / scale;
    context.lineWidth = 1.25 / scale;
    context.strokeStyle = "rgba(0, 0, 0, 0.75)";
    this.parts.forEach((rings, part) => rings.forEach((points, ring) => points.forEach(([x, y], index) => {
      const picked = chosen.has(`${part}/${ring}/${index}`);
      const hot = this.#hovered?.part === part && this.#hovered.ring === ring && this.#hovered.index === index;
      const side = picked || hot ? size * 1.4 : size;
      context.fillStyle = picked ? "#ffb020" : "#fff";
      context.fillRect(x - side / 2, y - side / 2, side, side);
      context.strokeRect(x - side / 2, y - side / 2, side, side);
    })));
    if (this.#hovered?.at) {
      context.fillStyle = "#7dd3fc";
      context.fillRect(this.#hovered.at[0] - size / 2, this.#hovered.at[1] - size / 2, size, size);
    }
  }
}
