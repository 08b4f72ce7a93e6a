// COCO's run-length code: column-major runs, zeros first, compressed to text in groups of 5 bits; from the fourth run
// on stored as the difference to the run two before. Pure functions on typed arrays: no DOM, no I/O.

/** Raised for counts that are none: the message is for the reader. */
export class RleError extends Error {
  name = "RleError";
}

/** Run lengths of compressed counts. @param {string} text @returns {Int32Array} zeros, ones, zeros, ... */
export function runsFromText(text) {
  const runs = new Int32Array(text.length);
  let count = 0;
  for (let i = 0; i < text.length; ) {
    let value = 0;
    let shift = 0;
    for (let more = true; more; ) {
      const digit = text.charCodeAt(i++) - 48;
      if (!(digit >= 0 && digit < 64) || shift > 30) throw new RleError("the mask's RLE counts are damaged");
      value |= (digit & 0x1f) << shift;
      shift += 5;
      more = (digit & 0x20) !== 0;
      if (!more && digit & 0x10 && shift < 32) value |= -1 << shift;
    }
    if (count > 2) value += runs[count - 2];
    if (value < 0) throw new RleError("the mask's RLE counts hold a negative run");
    runs[count++] = value;
  }
  return runs.subarray(0, count);
}

/** Compressed counts of run lengths. @param {ArrayLike<number>} runs @returns {string} */
export function textFromRuns(runs) {
  const codes = [];
  const pieces = [];
  for (let i = 0; i < runs.length; i++) {
    let value = i > 2 ? runs[i] - runs[i - 2] : runs[i];
    for (let more = true; more; ) {
      let digit = value & 0x1f;
      value >>= 5;
      more = digit & 0x10 ? value !== -1 : value !== 0;
      if (more) digit |= 0x20;
      codes.push(digit + 48);
    }
    if (codes.length > 8192) pieces.push(String.fromCharCode(...codes.splice(0)));
  }
  return pieces.join("") + String.fromCharCode(...codes);
}

/** Run lengths of an RLE {size: [h, w], counts: text or list}; throws RleError where they do not add up to h x w. */
export function runsOf(rle) {
  const [height, width] = rle.size;
  const runs = typeof rle.counts === "string" ? runsFromText(rle.counts) : Int32Array.from(rle.counts);
  let sum = 0;
  for (const run of runs) sum += run;
  if (sum !== height * width) {
    throw new RleError(`the mask's runs add up to ${sum}, expected ${height} x ${width} = ${height * width}`);
  }
  return runs;
}

/** Tight box {x, y, w, h} and number of pixels of runs in an image of this height. */
export function measureRuns(runs, height) {
  let [x0, x1, y0, y1, area, start] = [Infinity, -1, Infinity, -1, 0, 0];
  for (let i = 0; i < runs.length; i++) {
    const end = start + runs[i];
    if (i & 1 && end > start) {
      const first = Math.floor(start / height);
      const last = Math.floor((end - 1) / height);
      const top = first === last ? start - first * height : 0;
      const foot = first === last ? end - 1 - last * height : height - 1;
      if (first < x0) x0 = first;
      if (last > x1) x1 = last;
      if (top < y0) y0 = top;
      if (foot > y1) y1 = foot;
      area += end - start;
    }
    start = end;
  }
  return area ? { x: x0, y: y0, w: x1 - x0 + 1, h: y1 - y0 + 1, area } : { x: 0, y: 0, w: 0, h: 0, area: 0 };
}

/** Column-major bytes (0 or 1) of the box of a mask given as runs. */
export function fillBox(runs, height, box) {
  const data = new Uint8Array(box.w * box.h);
  let start = 0;
  for (let i = 0; i < runs.length; i++) {
    const end = start + runs[i];
    if (i & 1) {
      for (let from = start; from < end; ) {
        const column = Math.floor(from / height);
        const to = Math.min(end, (column + 1) * height);
        const base = (column - box.x) * box.h - box.y - column * height;
        data.fill(1, base + from, base + to);
        from = to;
      }
    }
    start = end;
  }
  return data;
}

/** Runs of an image (height x width) that is empty but for column-major bytes in a box. */
export function runsFromBox(data, box, height, width) {
  const runs = [];
  let last = 0; // where the last run of ones ended, in the image
  const n = box.w * box.h;
  for (let i = data.indexOf(1); i !== -1 && i < n; ) {
    let j = data.indexOf(0, i);
    if (j === -1) j = n;
    for (let from = i; from < j; ) {
      const column = Math.floor(from / box.h);
      const to = Math.min(j, (column + 1) * box.h);
      const start = (box.x + column) * height + box.y + from - column * box.h;
      // A run to the foot of one column and one from the head of the next are one run.
      if (start === last && runs.length) runs[runs.length - 1] += to - from;
      else runs.push(start - last, to - from);
      last = start + to - from;
      from = to;
    }
    i = data.indexOf(1, j);
  }
  if (last < height * width) runs.push(height * width - last);
  return runs;
}
