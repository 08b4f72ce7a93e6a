// Outlines of a bitmap along the edges of its pixels.

const STEP = [[1, 0], [0, 1], [-1, 0], [0, -1]]; // right, down, left, up: y points down

/** Closed rings around a Mask's pixels and its holes, 8-connected, each an Int32Array [x, y, x, y, ...] of photo pixel
 *  corners where the outline turns. What is inside lies to the right of the way. */
export function traceRings(mask) {
  const { w, h, data } = mask;
  const seen = new Uint8Array(data.length); // upper edges walked: every ring has at least one
  const rings = [];
  for (let c = 0; c < w; c++) {
    const column = data.subarray(c * h, (c + 1) * h);
    for (let row = column.indexOf(1); row !== -1; ) {
      if (!seen[c * h + row]) rings.push(walk(mask, seen, c, row));
      const gap = column.indexOf(0, row); // the next upper edge lies behind this run of ones
      row = gap === -1 ? -1 : column.indexOf(1, gap);
    }
  }
  return rings;
}

function walk(mask, seen, column, row) {
  const { w, h, data, x: left, y: top } = mask;
  const at = (c, r) => c >= 0 && r >= 0 && c < w && r < h && data[c * h + r] === 1;
  const points = [];
  let [x, y, direction] = [column, row, 0];
  do {
    if (direction === 0) seen[x * h + y] = 1;
    x += STEP[direction][0];
    y += STEP[direction][1];
    // The two pixels ahead of the corner, left and right of the way.
    const [leftSet, rightSet] =
      direction === 0 ? [at(x, y - 1), at(x, y)]
      : direction === 1 ? [at(x, y), at(x - 1, y)]
      : direction === 2 ? [at(x - 1, y), at(x - 1, y - 1)]
      : [at(x - 1, y - 1), at(x, y - 1)];
    const turned = leftSet ? (direction + 3) % 4 : rightSet ? direction : (direction + 1) % 4;
    if (turned !== direction) points.push(x + left, y + top);
    direction = turned;
  } while (x !== column || y !== row || direction !== 0);
  return Int32Array.from(points);
}

/** A ring with points nearer than `distance` to the one kept before left out; at least three stay. */
export function thinRing(ring, distance) {
  if (distance <= 1 || ring.length <= 12) return ring;
  const kept = [ring[0], ring[1]];
  for (let i = 2; i < ring.length; i += 2) {
    const dx = ring[i] - kept[kept.length - 2];
    const dy = ring[i + 1] - kept[kept.length - 1];
    if (dx * dx + dy * dy >= distance * distance) kept.push(ring[i], ring[i + 1]);
  }
  return kept.length >= 6 ? kept : ring;
}
