// Points and rings ([[x, y], ...], not closed by a repeated point) in photo pixels.

export function distanceToSegment([px, py], [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const square = dx * dx + dy * dy;
  const t = square ? Math.max(0, Math.min(1, ((px - ax) * dx + (py - ay) * dy) / square)) : 0;
  return Math.hypot(px - ax - t * dx, py - ay - t * dy);
}

/** The vertex of parts [[ring, hole, ...], ...] nearest to a point within reach: {part, ring, index}, or null. */
export function nearestVertex(parts, [px, py], reach) {
  let best = null;
  let least = reach;
  parts.forEach((rings, part) => rings.forEach((points, ring) => points.forEach(([x, y], index) => {
    const d = Math.hypot(px - x, py - y);
    if (d <= least) [least, best] = [d, { part, ring, index }];
  })));
  return best;
}

/** The edge nearest to a point within reach: index is that of its first vertex. */
export function nearestEdge(parts, point, reach) {
  let best = null;
  let least = reach;
  parts.forEach((rings, part) => rings.forEach((points, ring) => points.forEach((from, index) => {
    const d = distanceToSegment(point, from, points[(index + 1) % points.length]);
    if (d <= least) [least, best] = [d, { part, ring, index }];
  })));
  return best;
}

/** Parts with one vertex moved, inserted behind an edge's first, or removed. A ring left with fewer than three points
 *  goes; a part whose outer ring goes takes its holes with it. The given parts are not changed. */
export function moveVertex(parts, { part, ring, index }, point) {
  return editRing(parts, part, ring, (points) => points.with(index, point));
}

export function insertVertex(parts, { part, ring, index }, point) {
  return editRing(parts, part, ring, (points) => points.toSpliced(index + 1, 0, point));
}

export function removeVertices(parts, where) {
  const gone = new Set(where.map(({ part, ring, index }) => `${part}/${ring}/${index}`));
  const kept = parts.map((rings, part) =>
    rings.map((points, ring) => points.filter((_, index) => !gone.has(`${part}/${ring}/${index}`))));
  return kept.filter((rings) => rings[0].length >= 3)
    .map((rings) => rings.filter((points) => points.length >= 3));
}

function editRing(parts, part, ring, edit) {
  return parts.map((rings, p) => (p === part ? rings.map((points, r) => (r === ring ? edit(points) : points)) : rings));
}

/** Twice the signed area of a ring, by the shoelace formula; above 0 clockwise on a screen. */
export function signedArea(points) {
  let sum = 0;
  for (let i = 0, j = points.length - 1; i < points.length; j = i++) {
    sum += points[j][0] * points[i][1] - points[i][0] * points[j][1];
  }
  return sum;
}

/** A line with the points left out that lie within tolerance of what remains (Douglas-Peucker). */
export function simplify(line, tolerance) {
  if (line.length < 3) return line.slice();
  const keep = new Uint8Array(line.length);
  keep[0] = keep[line.length - 1] = 1;
  const spans = [[0, line.length - 1]];
  while (spans.length) {
    const [from, to] = spans.pop();
    let [far, index] = [tolerance, -1];
    for (let i = from + 1; i < to; i++) {
      const d = distanceToSegment(line[i], line[from], line[to]);
      if (d > far) [far, index] = [d, i];
    }
    if (index < 0) continue;
    keep[index] = 1;
    spans.push([from, index], [index, to]);
  }
  return line.filter((_, i) => keep[i]);
}

/** The view: a photo point p is seen at p * scale + (x, y), in CSS px from the canvas's corner. */
export function toPhoto(view, x, y) {
  return [(x - view.x) / view.scale, (y - view.y) / view.scale];
}

export function toScreen(view, x, y) {
  return [x * view.scale + view.x, y * view.scale + view.y];
}

/** The view scaled by a factor so that what is under (x, y) stays there. */
export function zoomedAt(view, x, y, factor, [least, most]) {
  const scale = Math.min(most, Math.max(least, view.scale * factor));
  const ratio = scale / view.scale;
  return { scale, x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio };
}

/** The view that shows the whole photo in the middle. */
export function fitted(photo, canvas, margin) {
  const room = [Math.max(canvas.width - 2 * margin, 20), Math.max(canvas.height - 2 * margin, 20)];
  const scale = Math.min(room[0] / photo.width, room[1] / photo.height);
  return { scale, x: (canvas.width - photo.width * scale) / 2, y: (canvas.height - photo.height * scale) / 2 };
}
