// The masks' fill, painted by hand into one bitmap of about the screen's resolution: what it costs depends on the
// window, not on the photo or the number of products.
import { clipBox } from "./mask.js";

export class Overlay {
  #canvas = document.createElement("canvas");
  #context = this.#canvas.getContext("2d", { willReadFrequently: true });
  #image = null;
  #words = null; // the image's pixels as 32-bit words, ABGR
  #window = null; // {x, y, w, h, step} in photo px
  #stale = true;

  invalidate() {
    this.#stale = true;
  }

  /** Make it cover what is seen. items: [{mask, rgb, alpha}], later ones on top. ground: alpha of the dark laid over
   *  everything that no mask covers (0: none). */
  update(photo, seen, scale, items, ground) {
    const step = Math.max(1, 2 ** Math.round(Math.log2(1 / scale)));
    const now = this.#window;
    const covers = now && now.step === step && seen.x >= now.x && seen.y >= now.y
      && seen.x + seen.w <= now.x + now.w && seen.y + seen.h <= now.y + now.h;
    if (covers && !this.#stale) return;
    if (!covers) this.#place(photo, seen, step);
    this.#stale = false;
    this.repaint(this.#window, items, ground);
  }

  #place(photo, seen, step) {
    const [padX, padY] = [seen.w * 0.15, seen.h * 0.15];
    const x = Math.floor(Math.max(0, seen.x - padX) / step) * step;
    const y = Math.floor(Math.max(0, seen.y - padY) / step) * step;
    const w = Math.ceil((Math.min(photo.width, seen.x + seen.w + padX) - x) / step) * step;
    const h = Math.ceil((Math.min(photo.height, seen.y + seen.h + padY) - y) / step) * step;
    this.#window = { x, y, w: Math.max(w, step), h: Math.max(h, step), step };
    const [columns, rows] = [this.#window.w / step, this.#window.h / step];
    if (this.#canvas.width !== columns || this.#canvas.height !== rows) {
      Object.assign(this.#canvas, { width: columns, height: rows });
      this.#image = this.#context.createImageData(columns, rows);
      this.#words = new Uint32Array(this.#image.data.buffer);
    }
  }

  /** Paint a box of the photo anew. */
  repaint(box, items, ground) {
    const win = this.#window;
    if (!win || this.#stale) return;
    const common = clipBox(box, win);
    if (!common.w) return;
    const columns = this.#canvas.width;
    const [i0, i1] = cells(common.x - win.x, common.w, win.step, columns);
    const [j0, j1] = cells(common.y - win.y, common.h, win.step, this.#canvas.height);
    const dark = ((ground << 24) | 0x14100e) >>> 0;
    for (let j = j0; j < j1; j++) this.#words.fill(ground ? dark : 0, j * columns + i0, j * columns + i1);
    for (const item of items) this.#paint(item, i0, i1, j0, j1);
    this.#context.putImageData(this.#image, 0, 0, i0, j0, i1 - i0, j1 - j0);
  }

  #paint({ mask, rgb, alpha }, i0, i1, j0, j1) {
    const { x, y, step } = this.#window;
    const half = step >> 1;
    const columns = this.#canvas.width;
    const words = this.#words;
    const { data, h } = mask;
    const colour = ((alpha << 24) | (rgb[2] << 16) | (rgb[1] << 8) | rgb[0]) >>> 0;
    const [left, top] = [x + half - mask.x, y + half - mask.y]; // of cell (0, 0), in the mask's box
    const from = Math.max(i0, Math.ceil(-left / step));
    const to = Math.min(i1, Math.ceil((mask.w - left) / step));
    const first = Math.max(j0, Math.ceil(-top / step));
    const last = Math.min(j1, Math.ceil((h - top) / step));
    for (let i = from; i < to; i++) {
      let source = (left + i * step) * h + top + first * step;
      let target = first * columns + i;
      for (let j = first; j < last; j++, source += step, target += columns) {
        if (data[source]) words[target] = colour;
      }
    }
  }

  /** context: in photo px. */
  draw(context, scale) {
    const win = this.#window;
    if (!win) return;
    context.imageSmoothingEnabled = win.step * scale < 1;
    context.drawImage(this.#canvas, win.x, win.y, win.w, win.h);
  }
}

function cells(offset, length, step, most) {
  return [Math.max(0, Math.floor(offset / step)), Math.min(most, Math.ceil((offset + length) / step))];
}
