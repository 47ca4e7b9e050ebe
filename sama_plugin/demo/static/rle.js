/**
 * COCO's run lengths of a mask: `{size: [height, width], counts}`. Runs go down the columns, left to right, outside
 * and inside in turn, beginning outside.
 */

/** Compressed counts → lengths of the runs. Groups of 5-bit digits; from the fourth on, differences from two before. */
export function decodeCounts(text) {
  const counts = [];
  for (let at = 0; at < text.length; ) {
    let value = 0;
    let shift = 0;
    let digit;
    do {
      digit = text.charCodeAt(at++) - 48;
      value |= (digit & 31) << shift;
      shift += 5;
    } while (digit & 32);
    if (digit & 16) value |= -1 << shift;
    if (counts.length > 2) value += counts[counts.length - 2];
    counts.push(value);
  }
  return counts;
}

/** What lies inside, per column: `[top, bottom, top, bottom, …]`, bottoms exclusive. */
export function columnsOf(rle) {
  const [height, width] = rle.size;
  const columns = Array.from({ length: width }, () => []);
  let at = 0;
  decodeCounts(rle.counts).forEach((length, i) => {
    if (i % 2) addRun(columns, height, at, at + length);
    at += length;
  });
  return columns;
}

function addRun(columns, height, start, end) {
  while (start < end) {
    const x = Math.floor(start / height);
    const stop = Math.min(end, (x + 1) * height);
    columns[x].push(start - x * height, stop - x * height);
    start = stop;
  }
}

/** `{area, x0, y0, x1, y1}` in pixels, the box exclusive at the right and bottom; null of an empty mask. */
export function measureMask(rle) {
  const box = { area: 0, x0: Infinity, y0: Infinity, x1: 0, y1: 0 };
  columnsOf(rle).forEach((runs, x) => {
    for (let i = 0; i < runs.length; i += 2) {
      box.area += runs[i + 1] - runs[i];
      box.x0 = Math.min(box.x0, x);
      box.x1 = x + 1;
      box.y0 = Math.min(box.y0, runs[i]);
      box.y1 = Math.max(box.y1, runs[i + 1]);
    }
  });
  return box.area ? box : null;
}

/** Whether an object is seen anywhere. */
export const isSeen = (thing) => thing.rle.some(Boolean);

/**
 * Frames on which a track is seen, as `[first, last]` runs.
 *
 * @param {(object|null|undefined)[]} track one mask per frame; null is absent, undefined not yet known
 */
export function presenceOf(track) {
  const runs = [];
  track.forEach((mask, frame) => {
    if (!mask) return;
    if (runs.length && runs.at(-1)[1] === frame - 1) runs.at(-1)[1] = frame;
    else runs.push([frame, frame]);
  });
  return runs;
}
