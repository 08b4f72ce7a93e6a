// Connected parts of a bitmap: splitting, filling holes, dropping specks.
import { Mask, stamp, unionBox } from "./mask.js";

/** The parts of a Mask where data equals `value`, by its vertical runs: {runs: Int32Array [column, top, foot, name],
 *  areas: [0, a1, ...]}, names from 1 in the order of their first pixel. eight: diagonal neighbours belong together. */
export function label(mask, { value = 1, eight = true } = {}) {
  const runs = verticalRuns(mask, value);
  const parent = [];
  const root = (i) => {
    while (parent[i] !== i) i = parent[i] = parent[parent[i]];
    return i;
  };
  const reach = eight ? 1 : 0;
  for (let i = 0, before = 0; i < runs.length / 4; i++) {
    parent.push(i);
    const [column, top, foot] = [runs[4 * i], runs[4 * i + 1], runs[4 * i + 2]];
    // `before` walks along the column to the left; a run of it that ends above this one meets none further down.
    const above = (k) => runs[4 * k] < column - 1 || (runs[4 * k] === column - 1 && runs[4 * k + 2] + reach < top);
    while (before < i && above(before)) before++;
    for (let k = before; k < i && runs[4 * k] === column - 1 && runs[4 * k + 1] - reach <= foot; k++) {
      const [a, b] = [root(k), root(i)];
      parent[Math.max(a, b)] = Math.min(a, b);
    }
  }
  const names = new Map();
  const areas = [0];
  for (let i = 0; i < runs.length / 4; i++) {
    const top = root(i);
    if (!names.has(top)) names.set(top, areas.push(0) - 1);
    runs[4 * i + 3] = names.get(top);
    areas[runs[4 * i + 3]] += runs[4 * i + 2] - runs[4 * i + 1] + 1;
  }
  return { runs, areas };
}

function verticalRuns({ w, h, data }, value) {
  const runs = [];
  for (let c = 0; c < w; c++) {
    const column = data.subarray(c * h, (c + 1) * h);
    for (let top = column.indexOf(value); top !== -1; ) {
      const end = column.indexOf(1 - value, top);
      runs.push(c, top, (end === -1 ? h : end) - 1, 0);
      top = end === -1 ? -1 : column.indexOf(value, end);
    }
  }
  return Int32Array.from(runs);
}

/** Every pixel's name, 0 where it has none. */
function labelMap({ w, h }, runs) {
  const labels = new Int32Array(w * h);
  for (let i = 0; i < runs.length; i += 4) {
    labels.fill(runs[i + 3], runs[i] * h + runs[i + 1], runs[i] * h + runs[i + 2] + 1);
  }
  return labels;
}

function pick(mask, labels, chosen) {
  const part = new Mask(mask.width, mask.height, mask);
  for (let i = 0; i < labels.length; i++) if (labels[i] && chosen.has(labels[i])) part.data[i] = 1;
  return part.tight();
}

/** The connected parts of a mask as masks, largest first. */
export function parts(mask) {
  const { runs, areas } = label(mask);
  const boxes = areas.map(() => ({ x: 0, y: 0, w: 0, h: 0 }));
  for (let i = 0; i < runs.length; i += 4) {
    const run = { x: mask.x + runs[i], y: mask.y + runs[i + 1], w: 1, h: runs[i + 2] - runs[i + 1] + 1 };
    boxes[runs[i + 3]] = unionBox(boxes[runs[i + 3]], run);
  }
  const found = boxes.map((box) => new Mask(mask.width, mask.height, box));
  for (let i = 0; i < runs.length; i += 4) {
    const part = found[runs[i + 3]];
    const base = (mask.x + runs[i] - part.x) * part.h + mask.y - part.y;
    part.data.fill(1, base + runs[i + 1], base + runs[i + 2] + 1);
  }
  const order = areas.map((_, name) => name).slice(1).sort((a, b) => areas[b] - areas[a]);
  return order.map((name) => found[name]);
}

/** The mask without its holes: ground that no way leads from to the border. */
export function fillHoles(mask) {
  const box = mask.tightBox();
  const result = mask.copyIn(box);
  const { runs } = label(result, { value: 0, eight: false });
  const open = new Set();
  for (let i = 0; i < runs.length; i += 4) {
    const rim = runs[i] === 0 || runs[i] === result.w - 1 || runs[i + 1] === 0 || runs[i + 2] === result.h - 1;
    if (rim) open.add(runs[i + 3]);
  }
  for (let i = 0; i < runs.length; i += 4) {
    if (open.has(runs[i + 3])) continue;
    result.data.fill(1, runs[i] * result.h + runs[i + 1], runs[i] * result.h + runs[i + 2] + 1);
  }
  return result;
}

/** The largest connected part alone. */
export function largestPart(mask) {
  return parts(mask)[0] ?? mask.tight();
}

/** Cut a mask along a line of points [[x, y], ...]. Returns its pieces, largest first; one piece where the line does
 *  not part anything. No pixel is lost: those under the line go to a piece beside them. Pieces that the line did not
 *  touch stay with the largest, and so do crumbs of less than `crumb` px. */
export function cut(mask, line, crumb = 16) {
  const before = labelMap(mask, label(mask).runs);
  const left = mask.clone();
  let knife = { x: 0, y: 0, w: 0, h: 0 };
  for (let i = 1; i < line.length; i++) {
    // 1.5 px: no 8-connected way leads across.
    knife = unionBox(knife, stamp(left, ...line[i - 1], ...line[i], 1.5, 0));
  }
  const { runs, areas } = label(left);
  const after = { labels: labelMap(left, runs), areas };
  giveBack(mask, after);
  const origin = new Int32Array(after.areas.length); // piece -> the part it was cut from
  for (let i = 0; i < after.labels.length; i++) if (after.labels[i]) origin[after.labels[i]] = before[i];
  const pieces = after.areas.map((_, name) => name).slice(1);
  pieces.sort((a, b) => after.areas[b] - after.areas[a]);
  const largest = new Map();
  for (const name of pieces) if (!largest.has(origin[name])) largest.set(origin[name], name);
  const apart = pieces.filter((name) => largest.get(origin[name]) !== name && after.areas[name] >= crumb);
  const stay = new Set(pieces.filter((name) => !apart.includes(name)));
  return [pick(mask, after.labels, stay), ...apart.map((name) => pick(mask, after.labels, new Set([name])))];
}

/** Pixels of the mask without a label take a neighbour's, from the labelled ones outwards. */
function giveBack(mask, { labels, areas }) {
  const { w, h, data } = mask;
  let edge = [];
  for (let i = 0; i < data.length; i++) if (data[i] && !labels[i]) edge.push(i);
  while (edge.length) {
    const found = [];
    for (const i of edge) {
      const c = Math.floor(i / h);
      const r = i - c * h;
      const near = [r > 0 && i - 1, r < h - 1 && i + 1, c > 0 && i - h, c < w - 1 && i + h];
      const beside = near.find((j) => j !== false && labels[j]);
      if (beside !== undefined) found.push([i, labels[beside]]);
    }
    if (!found.length) { // all of a part lay under the line
      const name = areas.push(0) - 1;
      found.push([edge[0], name]);
    }
    for (const [i, name] of found) {
      labels[i] = name;
      areas[name]++;
    }
    edge = edge.filter((i) => !labels[i]);
  }
}

/** Where two rasters differ, and up to `reach` px around, the new one; elsewhere the mask as it is. So moving one
 *  vertex of a simplified outline leaves the rest of the mask alone. */
export function blendChange(mask, oldRaster, newRaster, reach) {
  const box = unionBox(unionBox(mask, oldRaster), newRaster);
  const whole = { x: box.x - reach, y: box.y - reach, w: box.w + 2 * reach, h: box.h + 2 * reach };
  const result = mask.copyIn(whole);
  const [before, after] = [oldRaster.copyIn(result), newRaster.copyIn(result)];
  const near = spread(before.data, after.data, result.w, result.h, reach);
  for (let i = 0; i < near.length; i++) if (near[i]) result.data[i] = after.data[i];
  return result.tight();
}

function spread(a, b, w, h, reach) {
  const near = new Uint8Array(a.length);
  for (let c = 0; c < w; c++) {
    for (let r = 0; r < h; r++) {
      if (a[c * h + r] === b[c * h + r]) continue;
      const [top, foot] = [Math.max(r - reach, 0), Math.min(r + reach, h - 1)];
      for (let k = Math.max(c - reach, 0); k <= Math.min(c + reach, w - 1); k++) near.fill(1, k * h + top, k * h + foot + 1);
    }
  }
  return near;
}
