// A bitmap cropped to a box of the photo, column-major as COCO's runs are, so that coding it is filling and searching.
import { fillBox, measureRuns, runsFromBox, runsOf, textFromRuns } from "./rle.js";

/** The box around two boxes {x, y, w, h}; an empty one (w = 0) adds nothing. */
export function unionBox(a, b) {
  if (!a.w || !a.h) return { ...b };
  if (!b.w || !b.h) return { x: a.x, y: a.y, w: a.w, h: a.h };
  const x = Math.min(a.x, b.x);
  const y = Math.min(a.y, b.y);
  return { x, y, w: Math.max(a.x + a.w, b.x + b.w) - x, h: Math.max(a.y + a.h, b.y + b.h) - y };
}

/** The box common to two boxes, w = h = 0 where there is none. */
export function clipBox(a, b) {
  const x = Math.max(a.x, b.x);
  const y = Math.max(a.y, b.y);
  const w = Math.min(a.x + a.w, b.x + b.w) - x;
  const h = Math.min(a.y + a.h, b.y + b.h) - y;
  return w > 0 && h > 0 ? { x, y, w, h } : { x: 0, y: 0, w: 0, h: 0 };
}

/** Bytes 0/1 of the box (x, y, w, h) of a photo (width x height px); pixel (c, r) of the photo is at
 *  data[(c - x) * h + r - y]. Outside the box everything is 0. */
export class Mask {
  constructor(width, height, box = { x: 0, y: 0, w: 0, h: 0 }, data = new Uint8Array(box.w * box.h)) {
    Object.assign(this, { width, height, x: box.x, y: box.y, w: box.w, h: box.h, data });
  }

  static fromRle(rle) {
    const [height, width] = rle.size;
    const runs = runsOf(rle);
    const box = measureRuns(runs, height);
    return new Mask(width, height, box, fillBox(runs, height, box));
  }

  toRle() {
    return { size: [this.height, this.width], counts: textFromRuns(runsFromBox(this.data, this, this.height, this.width)) };
  }

  get photoBox() {
    return { x: 0, y: 0, w: this.width, h: this.height };
  }

  has(x, y) {
    const c = Math.floor(x) - this.x;
    const r = Math.floor(y) - this.y;
    return c >= 0 && r >= 0 && c < this.w && r < this.h && this.data[c * this.h + r] === 1;
  }

  area() {
    let sum = 0;
    for (let i = 0; i < this.data.length; i++) sum += this.data[i];
    return sum;
  }

  /** A copy whose box is exactly this one (clipped to the photo); what lies outside it is lost. */
  copyIn(box) {
    const target = clipBox(box, this.photoBox);
    const copy = new Mask(this.width, this.height, target);
    const common = clipBox(target, this);
    for (let c = common.x; c < common.x + common.w; c++) {
      const from = (c - this.x) * this.h + common.y - this.y;
      copy.data.set(this.data.subarray(from, from + common.h), (c - target.x) * target.h + common.y - target.y);
    }
    return copy;
  }

  clone() {
    return new Mask(this.width, this.height, this, this.data.slice());
  }

  /** Make room for a box in place: the mask's own grows to hold it, with some to spare for what comes next. */
  growTo(box, spare = 0) {
    const wanted = clipBox(box, this.photoBox);
    if (!wanted.w) return;
    const union = unionBox(this, wanted);
    if (this.w && union.w === this.w && union.h === this.h) return;
    const padX = Math.round(union.w * spare);
    const padY = Math.round(union.h * spare);
    const padded = { x: union.x - padX, y: union.y - padY, w: union.w + 2 * padX, h: union.h + 2 * padY };
    const grown = this.copyIn(padded);
    Object.assign(this, { x: grown.x, y: grown.y, w: grown.w, h: grown.h, data: grown.data });
  }

  /** The tight box of what is set. */
  tightBox() {
    const { w, h, data } = this;
    let [left, right, top, foot] = [-1, -1, h, -1];
    for (let c = 0; c < w; c++) {
      const column = data.subarray(c * h, (c + 1) * h);
      const first = column.indexOf(1);
      if (first === -1) continue;
      if (left === -1) left = c;
      right = c;
      if (first < top) top = first;
      const last = column.lastIndexOf(1);
      if (last > foot) foot = last;
    }
    if (left === -1) return { x: 0, y: 0, w: 0, h: 0 };
    return { x: this.x + left, y: this.y + top, w: right - left + 1, h: foot - top + 1 };
  }

  tight() {
    return this.copyIn(this.tightBox());
  }

  /** A new mask: in this one or in the other. */
  union(other) {
    const result = this.copyIn(unionBox(this, other));
    result.combine(other, (a, b) => a | b);
    return result;
  }

  /** A new mask: in this one and not in the other. */
  minus(other) {
    const result = this.clone();
    result.combine(other, (a, b) => a & ~b);
    return result;
  }

  /** In place, over the common box: this = op(this, other). */
  combine(other, op) {
    const common = clipBox(this, other);
    for (let c = common.x; c < common.x + common.w; c++) {
      let i = (c - this.x) * this.h + common.y - this.y;
      let j = (c - other.x) * other.h + common.y - other.y;
      for (let r = 0; r < common.h; r++, i++, j++) this.data[i] = op(this.data[i], other.data[j]) & 1;
    }
  }

  equals(other) {
    const [a, b] = [this.tightBox(), other.tightBox()];
    if (a.x !== b.x || a.y !== b.y || a.w !== b.w || a.h !== b.h) return false;
    const [p, q] = [this.copyIn(a).data, other.copyIn(b).data];
    return p.every((value, i) => value === q[i]);
  }
}

/** The whole pixels that a brush of this diameter may touch between two points. */
export function capsuleBox(x0, y0, x1, y1, diameter) {
  const r = diameter / 2;
  const x = Math.floor(Math.min(x0, x1) - r);
  const y = Math.floor(Math.min(y0, y1) - r);
  return { x, y, w: Math.ceil(Math.max(x0, x1) + r) - x + 1, h: Math.ceil(Math.max(y0, y1) + r) - y + 1 };
}

/** Set (1) or clear (0) every pixel whose centre lies within diameter / 2 of the segment, in place; returns the box
 *  that may have changed. A brush of 1 px or less also takes the pixels its ends lie in, so that a tap leaves a mark. */
export function stamp(mask, x0, y0, x1, y1, diameter, value) {
  const touched = clipBox(capsuleBox(x0, y0, x1, y1, diameter), mask.photoBox);
  if (!touched.w) return touched;
  if (value) mask.growTo(touched, 0.25);
  const box = clipBox(touched, mask);
  for (let c = box.x; c < box.x + box.w; c++) {
    const span = capsuleSpan(c + 0.5, x0, y0, x1, y1, diameter / 2);
    if (!span) continue;
    const top = Math.max(Math.ceil(span[0] - 0.5), box.y);
    const foot = Math.min(Math.floor(span[1] - 0.5), box.y + box.h - 1);
    const base = (c - mask.x) * mask.h - mask.y;
    if (foot >= top) mask.data.fill(value, base + top, base + foot + 1);
  }
  if (diameter <= 1) {
    for (const [x, y] of [[Math.floor(x0), Math.floor(y0)], [Math.floor(x1), Math.floor(y1)]]) {
      const inside = x >= box.x && y >= box.y && x < box.x + box.w && y < box.y + box.h;
      if (inside) mask.data[(x - mask.x) * mask.h + y - mask.y] = value;
    }
  }
  return touched;
}

/** The part [lo, hi] of the vertical line at x that lies within r of the segment: the segment's surroundings are
 *  convex, so it is one piece: around both ends, and between the two long sides. */
function capsuleSpan(x, x0, y0, x1, y1, r) {
  let [lo, hi] = [Infinity, -Infinity];
  for (const [cx, cy] of [[x0, y0], [x1, y1]]) {
    const d = r * r - (x - cx) * (x - cx);
    if (d < 0) continue;
    const half = Math.sqrt(d);
    lo = Math.min(lo, cy - half);
    hi = Math.max(hi, cy + half);
  }
  const length = Math.hypot(x1 - x0, y1 - y0);
  if (length > 0) {
    const nx = (-(y1 - y0) / length) * r;
    const ny = ((x1 - x0) / length) * r;
    const corners = [[x0 + nx, y0 + ny], [x1 + nx, y1 + ny], [x1 - nx, y1 - ny], [x0 - nx, y0 - ny]];
    for (let i = 0; i < 4; i++) {
      const [ax, ay] = corners[i];
      const [bx, by] = corners[(i + 1) % 4];
      if (x < Math.min(ax, bx) || x > Math.max(ax, bx) || ax === bx) continue;
      const y = ay + ((x - ax) / (bx - ax)) * (by - ay);
      lo = Math.min(lo, y);
      hi = Math.max(hi, y);
    }
  }
  return hi >= lo ? [lo, hi] : null;
}
