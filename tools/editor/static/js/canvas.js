// The Konva stage: photo, the masks' fill, their outlines, the tool. One layer each, so that a brush stroke redraws
// the fill alone. Layers carry the view: what is drawn on them is in photo px.
import { Emitter } from "./events.js";
import { fitted, toPhoto, toScreen, zoomedAt } from "./geometry.js";
import { Overlay } from "./overlay.js";

const MARGIN_PX = 28;
const MOST_ZOOM = 48; // screen px a photo px
const UNSMOOTHED = 2.5; // from this zoom on a photo px is a square

export class Canvas extends Emitter {
  #sources = []; // the photo, halved, halved again, ...
  #fitted = true;
  #layers = {};

  /** scene: {items() -> what is shown of the instances, drawTool(context, view), settings() -> {brightness, ...}} */
  constructor(container, scene) {
    super();
    this.container = container;
    this.scene = scene;
    this.photo = null;
    this.view = { scale: 1, x: 0, y: 0 };
    this.overlay = new Overlay();
    Konva.autoDrawEnabled = false;
    this.stage = new Konva.Stage({ container, width: 10, height: 10, listening: false });
    const painters = { photo: this.#drawPhoto, fill: this.#drawFill, lines: this.#drawLines, tool: this.#drawTool };
    for (const [name, paint] of Object.entries(painters)) {
      const layer = new Konva.Layer({ listening: false });
      const sceneFunc = (context) => {
        const native = context._context;
        native.save();
        paint.call(this, native);
        native.restore();
      };
      layer.add(new Konva.Shape({ sceneFunc, listening: false, perfectDrawEnabled: false }));
      this.stage.add(layer);
      this.#layers[name] = layer;
    }
    new ResizeObserver(() => this.#resize()).observe(container);
    this.#resize();
  }

  get size() {
    return { width: this.stage.width(), height: this.stage.height() };
  }

  get zoomRange() {
    return [Math.min(this.#fit().scale, 1) / 4, MOST_ZOOM];
  }

  /** bitmap: an ImageBitmap, null while there is none. */
  setPhoto(bitmap, width, height) {
    for (const source of this.#sources) source.close();
    this.#sources = bitmap ? [bitmap] : [];
    this.photo = width ? { width, height } : null;
    this.overlay.invalidate();
    if (this.photo) this.fit();
    else this.redraw();
    if (bitmap) this.#halve(bitmap);
  }

  async #halve(bitmap) {
    let { width, height } = bitmap;
    while (Math.min(width, height) > 500 && this.#sources[0] === bitmap) {
      [width, height] = [Math.round(width / 2), Math.round(height / 2)];
      const from = this.#sources.at(-1);
      const half = await createImageBitmap(from, { resizeWidth: width, resizeHeight: height, resizeQuality: "medium" })
        .catch(() => null); // another photo was opened
      if (!half || this.#sources[0] !== bitmap) return;
      this.#sources.push(half);
    }
    this.redraw("photo");
  }

  #fit() {
    return this.photo ? fitted(this.photo, this.size, MARGIN_PX) : { scale: 1, x: 0, y: 0 };
  }

  fit() {
    this.setView(this.#fit());
    this.#fitted = true;
  }

  /** Show a box of the photo as large as it fits. */
  fitBox(box) {
    const { scale, x, y } = fitted({ width: box.w, height: box.h }, this.size, 60);
    const bounded = Math.min(scale, 8);
    const shift = [(this.size.width - box.w * bounded) / 2, (this.size.height - box.h * bounded) / 2];
    const [left, top] = bounded === scale ? [x, y] : shift;
    this.setView({ scale: bounded, x: left - box.x * bounded, y: top - box.y * bounded });
  }

  zoomAt(x, y, factor) {
    this.setView(zoomedAt(this.view, x, y, factor, this.zoomRange));
  }

  /** Zoom around the middle. */
  zoom(factor) {
    this.zoomAt(this.size.width / 2, this.size.height / 2, factor);
  }

  pan(dx, dy) {
    this.setView({ ...this.view, x: this.view.x + dx, y: this.view.y + dy });
  }

  setView(view) {
    this.#fitted = false;
    this.view = this.#held(view);
    const { x, y, scale } = this.view;
    for (const layer of Object.values(this.#layers)) layer.setAttrs({ x, y, scaleX: scale, scaleY: scale });
    this.redraw();
    this.emit("view", this.view);
  }

  /** Some of the photo always stays in sight. */
  #held({ scale, x, y }) {
    if (!this.photo) return { scale, x, y };
    const { width, height } = this.size;
    const keep = 60;
    return {
      scale,
      x: Math.min(width - keep, Math.max(keep - this.photo.width * scale, x)),
      y: Math.min(height - keep, Math.max(keep - this.photo.height * scale, y)),
    };
  }

  #resize() {
    const { clientWidth, clientHeight } = this.container;
    if (!clientWidth || !clientHeight) return;
    this.stage.size({ width: clientWidth, height: clientHeight });
    if (this.#fitted) this.fit();
    else this.redraw();
  }

  /** Draw again in the next frame: everything, or one layer. */
  redraw(name) {
    if (name) this.#layers[name].batchDraw();
    else for (const layer of Object.values(this.#layers)) layer.batchDraw();
  }

  /** The instances, their colours or what is shown of them changed. */
  refresh() {
    this.overlay.invalidate();
    this.redraw("fill");
    this.redraw("lines");
  }

  /** A box of a mask that is being painted changed. */
  refreshBox(box) {
    const { items, ground } = this.#painted();
    this.overlay.repaint(box, items, ground);
    this.redraw("fill");
  }

  toPhoto(x, y) {
    return toPhoto(this.view, x, y);
  }

  toScreen(x, y) {
    return toScreen(this.view, x, y);
  }

  #seen() {
    const { scale, x, y } = this.view;
    const left = Math.max(0, -x / scale);
    const top = Math.max(0, -y / scale);
    const right = Math.min(this.photo.width, (this.size.width - x) / scale);
    const foot = Math.min(this.photo.height, (this.size.height - y) / scale);
    return { x: left, y: top, w: right - left, h: foot - top };
  }

  #drawPhoto(context) {
    if (!this.photo) return;
    const { width, height } = this.photo;
    const { scale } = this.view;
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    const density = scale * (window.devicePixelRatio || 1);
    const level = Math.min(Math.max(0, Math.floor(Math.log2(1 / density))), this.#sources.length - 1);
    const source = this.#sources[level];
    const seen = this.#seen();
    if (!source || seen.w <= 0 || seen.h <= 0) return;
    const x0 = Math.floor(seen.x);
    const y0 = Math.floor(seen.y);
    const w = Math.min(width, Math.ceil(seen.x + seen.w)) - x0;
    const h = Math.min(height, Math.ceil(seen.y + seen.h)) - y0;
    const [fx, fy] = [source.width / width, source.height / height];
    context.imageSmoothingEnabled = scale < UNSMOOTHED;
    context.drawImage(source, x0 * fx, y0 * fy, w * fx, h * fy, x0, y0, w, h);
  }

  /** The items with the alpha of their fill; in the cut-out view the masks are holes in a dark ground. */
  #painted() {
    const { brightness, cutout, hidden } = this.scene.settings();
    const strength = hidden ? 0 : brightness / 100;
    const items = this.scene.items().map((item) => ({
      ...item,
      alpha: cutout && !hidden ? 0 : Math.round(255 * strength * (item.selected ? 1 : 0.75)),
    }));
    return { items, ground: cutout && !hidden ? 225 : 0 };
  }

  #drawFill(context) {
    if (!this.photo) return;
    const { items, ground } = this.#painted();
    const seen = this.#seen();
    if (seen.w <= 0 || seen.h <= 0) return;
    this.overlay.update(this.photo, seen, this.view.scale, items, ground);
    this.overlay.draw(context, this.view.scale);
  }

  #drawLines(context) {
    const { hidden, cutout } = this.scene.settings();
    if (!this.photo || hidden) return;
    const { scale } = this.view;
    context.lineJoin = "round";
    for (const item of this.scene.items()) {
      const path = item.path?.(0.75 / scale);
      if (!path || (cutout && !item.selected)) continue;
      if (item.dashed) context.setLineDash([6 / scale, 4 / scale]);
      if (item.selected) {
        context.lineWidth = 3.5 / scale;
        context.strokeStyle = "rgba(0, 0, 0, 0.45)";
        context.stroke(path);
      }
      context.lineWidth = (item.selected ? 2 : 1.25) / scale;
      context.strokeStyle = item.colour;
      context.stroke(path);
      context.setLineDash([]);
    }
    this.#drawTags(context);
  }

  /** The products' numbers, as the list has them; one product needs none. */
  #drawTags(context) {
    const tagged = this.scene.items().filter((item) => item.tag && item.box.w);
    if (tagged.length < 2) return;
    const unit = 1 / this.view.scale;
    context.font = `700 ${11 * unit}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const { tag, box, colour } of tagged) {
      const width = (tag.length > 1 ? 22 : 17) * unit;
      const height = 16 * unit;
      const left = box.x + box.w / 2 - width / 2;
      const top = Math.max(box.y - height / 2, 0);
      context.beginPath();
      context.roundRect(left, top, width, height, 4 * unit);
      context.fillStyle = colour;
      context.fill();
      context.lineWidth = unit;
      context.strokeStyle = "rgba(255, 255, 255, 0.85)";
      context.stroke();
      context.fillStyle = "#fff";
      context.fillText(tag, left + width / 2, top + height / 2 + 0.5 * unit);
    }
  }

  #drawTool(context) {
    if (this.photo) this.scene.drawTool(context, this.view);
  }
}
