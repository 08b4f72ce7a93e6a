// The editor's state: which photo, which products, which tool; and the edits that tools and panels share.
import { api, ApiError } from "./api.js";
import { Canvas } from "./canvas.js";
import { instanceColour, rgbOf, swatches } from "./colours.js";
import { Emitter } from "./events.js";
import { Figures } from "./figures.js";
import { CanvasInput } from "./input.js";
import { Opener } from "./opener.js";
import { prefs } from "./prefs.js";
import { Region } from "./region.js";
import { BrushTool } from "./tools/brush.js";
import { CutTool } from "./tools/cut.js";
import { OutlineTool } from "./tools/outline.js";
import { PolygonTool } from "./tools/polygon.js";
import { SelectTool } from "./tools/select.js";
import { SmartTool } from "./tools/smart.js";

/** Events: opening, document (another photo or none), edit, created, selection, tool, queue, saving, busy, say. */
export class Editor extends Emitter {
  constructor(container, session) {
    super();
    this.schema = session.schema;
    this.swatch = swatches(session.schema);
    this.categories = session.categories;
    this.session = session;
    this.doc = null;
    this.saver = null;
    this.problem = null; // why the photo cannot be shown
    this.hiddenIds = new Set();
    this.masksHidden = false;
    this.cutout = false;
    this.waiting = 0;
    this.lastCategory = session.categories[0] ?? "product";
    this.figures = new Figures();
    this.actions = new Map();
    this.#working = null;
    this.canvas = new Canvas(container, {
      items: () => this.items(),
      settings: () => ({ brightness: prefs.get("brightness"), cutout: this.cutout, hidden: this.masksHidden }),
      drawTool: (context, view) => this.tool.draw?.(context, view),
    });
    this.tools = [
      new SelectTool(this), new BrushTool(this, false), new BrushTool(this, true), new PolygonTool(this),
      new OutlineTool(this), new SmartTool(this), new CutTool(this),
    ];
    this.tool = this.tools[0];
    this.input = new CanvasInput(this);
    this.opener = new Opener(this);
    prefs.on("brightness", () => this.canvas.refresh());
  }

  #working;

  /** A mask on its way: {id, mask, path, selected, dashed}; shown in the place of its instance's. */
  get working() {
    return this.#working;
  }

  set working(value) {
    this.#working = value;
  }

  // What is shown and chosen

  items() {
    if (!this.doc) return [];
    const chosen = new Set(this.doc.selection);
    const numbered = this.doc.instances.map((one, i) => [one, String(i + 1)]);
    const shown = numbered.filter(([one]) => !this.hiddenIds.has(one.id)).map(([{ id, region }, tag]) => ({
      id, tag, box: region.box, area: region.area, selected: chosen.has(id),
      get mask() {
        return region.mask;
      },
      path: (distance) => (region.area ? region.path(distance) : null),
    }));
    const work = this.#working;
    if (work) {
      const place = shown.findIndex((item) => item.id === work.id);
      if (place >= 0) shown.splice(place, 1);
      shown.push({ ...work, area: 0, get mask() { return work.mask; } });
    }
    shown.sort((a, b) => a.selected - b.selected || b.area - a.area);
    return shown.map((item) => {
      const colour = instanceColour(item.id);
      const { mask, path, selected, dashed, tag, box } = item;
      return { mask, path, selected, dashed, tag, box, colour, rgb: rgbOf(colour) };
    });
  }

  get selected() {
    return this.doc ? this.doc.selection.map((id) => this.doc.find(id)).filter(Boolean) : [];
  }

  /** The one product that tools change: the last one chosen. */
  get current() {
    return this.selected.at(-1) ?? null;
  }

  select(ids) {
    if (!this.doc) return;
    const next = ids.filter((id) => this.doc.find(id));
    if (next.length === this.doc.selection.length && next.every((id, i) => id === this.doc.selection[i])) return;
    this.doc.selection = next;
    this.canvas.refresh();
    this.tool.sync?.();
    this.emit("selection");
    this.emit("tool");
  }

  toggle(id) {
    const chosen = this.doc.selection;
    this.select(chosen.includes(id) ? chosen.filter((one) => one !== id) : [...chosen, id]);
  }

  /** Choose what lies at a point: the smallest product there, at the next click the one beneath. */
  pick(point, more) {
    if (!this.doc) return;
    const here = this.doc.instances.filter((one) => !this.hiddenIds.has(one.id) && one.region.has(point.x, point.y));
    here.sort((a, b) => a.region.area - b.region.area);
    if (!here.length) {
      if (!more) this.select([]);
      return;
    }
    if (more) return this.toggle(here[0].id);
    const at = here.findIndex((one) => one.id === this.current?.id);
    this.select([here[(at + 1) % here.length].id]);
  }

  /** The next product (Tab), the previous one for -1. */
  step(by) {
    const all = this.doc?.instances ?? [];
    if (!all.length) return;
    const at = all.findIndex((one) => one.id === this.current?.id);
    const next = all[(at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by + all.length) % all.length];
    this.select([next.id]);
  }

  // Tools

  async useTool(name) {
    if (this.tool.name === name) return;
    const left = this.tool;
    this.tool = this.tools.find((tool) => tool.name === name);
    const done = left.leave?.();
    this.tool.enter?.();
    this.input.cursor();
    this.canvas.redraw("tool");
    this.emit("tool");
    await done;
  }

  /** Whatever a tool has begun becomes an edit. */
  async finishTool() {
    if (document.activeElement !== document.body) document.activeElement?.blur(); // a comment being written counts too
    await this.tool.leave?.();
    this.tool.enter?.();
  }

  get brushRange() {
    return [1, Math.max(50, Math.round(Math.max(this.doc?.width ?? 0, this.doc?.height ?? 0) / 2))];
  }

  get brushSize() {
    return prefs.get("brushSize") ?? Math.max(6, Math.round(Math.max(this.doc?.width ?? 0, this.doc?.height ?? 0) / 25));
  }

  setBrushSize(size) {
    const [least, most] = this.brushRange;
    prefs.set("brushSize", Math.round(Math.min(most, Math.max(least, size))));
    this.canvas.redraw("tool");
  }

  /** Tolerance of editable outlines, photo px. */
  get detail() {
    return prefs.get("detail") ?? Math.max(1, 2 ** Math.round(Math.log2(Math.max(this.doc?.width ?? 0, this.doc?.height ?? 0) / 800)));
  }

  wheelPref() {
    return prefs.get("wheel");
  }

  // Edits

  newInstance(region, document = this.doc) {
    return {
      id: document.nextId(), category: this.lastCategory, attributes: {}, region, iscrowd: 0, score: null,
      probabilities: null, extra: {},
    };
  }

  /** Give an instance another mask; a new product where there is none. where: {document} it belongs to. */
  setRegion(label, instance, region, { document } = {}) {
    const target = document ?? this.doc;
    const known = instance && target.find(instance.id);
    const changed = known ? { ...known, region } : this.newInstance(region, target);
    if (!known && !region.area) return;
    if (!known) target.selection = [changed.id];
    target.commitInstance(known ? label : `New product (${label.toLowerCase()})`, changed.id, changed);
    if (known) return;
    this.emit("created", changed.id);
    this.say(`New product: ${changed.category}. Press a number for another category.`);
  }

  /** Add a closed ring to the current product or cut it out, rasterised by the server. */
  async combineRing(ring, mode) {
    const { doc, current } = this;
    if (mode === "cut" && !current) return this.say("Select the product to cut a hole into.");
    const rle = await this.waitFor(api.rasterise([doc.height, doc.width], [[ring]]));
    if (!rle) return;
    const drawn = new Region(rle);
    const known = current && doc.find(current.id);
    if (!drawn.area || (!known && mode === "cut")) return;
    const mask = !known ? drawn.mask : mode === "cut" ? known.region.mask.minus(drawn.mask) : known.region.mask.union(drawn.mask);
    this.setRegion(mode === "cut" ? "Cut hole" : "Polygon", known, Region.fromMask(mask), { document: doc });
  }

  /** One product becomes several: the first keeps its id, all its attributes. */
  divide(instance, regions, label) {
    const { doc } = this;
    const first = doc.nextId();
    const pieces = regions.map((region, i) =>
      i === 0 ? { ...instance, region } : { ...this.newInstance(region), id: first + i - 1, category: instance.category, attributes: instance.attributes });
    const instances = doc.instances.flatMap((one) => (one.id === instance.id ? pieces.map(Object.freeze) : [one]));
    doc.selection = pieces.map((piece) => piece.id);
    doc.commit(label, { instances });
  }

  /** Change what is not a mask of all selected products: change(instance) -> new instance. */
  changeSelected(label, change) {
    if (!this.selected.length) return;
    const ids = new Set(this.doc.selection);
    const instances = this.doc.instances.map((one) => (ids.has(one.id) ? Object.freeze(change(one)) : one));
    this.doc.commit(label, { instances });
  }

  // Telling

  /** Show a passing message; more: {action: {text, run}, kind}. */
  say(text, more = {}) {
    this.emit("say", { text, ...more });
  }

  /** The value of a request, undefined where it failed: said to the person, unless it was called off. */
  async waitFor(promise) {
    this.waiting++;
    this.emit("busy");
    try {
      return await promise;
    } catch (error) {
      if (error instanceof ApiError) this.say(error.message, { kind: "bad" });
      else if (error.name !== "AbortError") throw error;
      return undefined;
    } finally {
      this.waiting--;
      this.emit("busy");
    }
  }

  act(name) {
    return this.actions.get(name)?.run();
  }

  /** The keys of actions, for hints. */
  keyHint(...names) {
    return names.map((name) => this.keymap?.shown(name)).filter(Boolean).join(" ");
  }
}
