// An instance's mask as it is stored: RLE, never changed. Its bitmap and outline are made when asked for and forgotten
// again, so that a long undo stack costs text, not bitmaps.
import { thinRing, traceRings } from "./contour.js";
import { Mask } from "./mask.js";
import { measureRuns, runsOf } from "./rle.js";

const KEPT_BYTES = 192 * 2 ** 20;
const kept = new Map(); // Region -> {mask, rings, paths}, least recently used first
let bytes = 0;

function derived(region, make) {
  let entry = kept.get(region);
  if (entry) {
    kept.delete(region);
  } else {
    entry = { mask: make(), rings: null, paths: new Map() };
    bytes += entry.mask.data.length;
  }
  kept.set(region, entry);
  for (const [oldest, { mask }] of kept) {
    if (bytes <= KEPT_BYTES || oldest === region) break;
    kept.delete(oldest);
    bytes -= mask.data.length;
  }
  return entry;
}

export class Region {
  /** rle: {size: [h, w], counts}. Throws RleError for one that is none. */
  constructor(rle) {
    this.rle = rle;
    const [height, width] = rle.size;
    Object.assign(this, { width, height });
    const { area, ...box } = measureRuns(runsOf(rle), height);
    Object.assign(this, { box, area });
    Object.freeze(this);
  }

  static fromMask(mask) {
    const tight = mask.tight();
    const region = new Region(tight.toRle());
    derived(region, () => tight);
    return region;
  }

  static empty(width, height) {
    return Region.fromMask(new Mask(width, height));
  }

  /** The tight bitmap; not to be changed: clone it. */
  get mask() {
    return derived(this, () => Mask.fromRle(this.rle)).mask;
  }

  /** The outline as a Path2D in photo px, points nearer than `distance` px left out. */
  path(distance) {
    const entry = derived(this, () => Mask.fromRle(this.rle));
    const level = distance <= 1 ? 0 : Math.round(Math.log2(distance) * 2);
    if (!entry.paths.has(level)) {
      entry.rings ??= traceRings(entry.mask);
      entry.paths.set(level, pathOf(entry.rings, level ? 2 ** (level / 2) : 0));
    }
    return entry.paths.get(level);
  }

  has(x, y) {
    const { box } = this;
    return x >= box.x && y >= box.y && x < box.x + box.w && y < box.y + box.h && this.mask.has(x, y);
  }
}

export function pathOf(rings, distance) {
  const path = new Path2D();
  for (const ring of rings) {
    const points = thinRing(ring, distance);
    path.moveTo(points[0], points[1]);
    for (let i = 2; i < points.length; i += 2) path.lineTo(points[i], points[i + 1]);
    path.closePath();
  }
  return path;
}
