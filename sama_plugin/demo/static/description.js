/** Words for what a frame, a span or a place shows: for screen readers, and for everyone. */

import { marksOn } from "./marks.js";
import { measureMask } from "./rle.js";

/** What is shown, as a sentence or two. */
export function describeFrame(talk, player, frame) {
  const where = `Frame ${frame} of 0 to ${player.count - 1}, ${formatTime(player.timeOf(frame))}.`;
  const seen = marksOn(talk, frame).map(({ label, rle }) => `${label}: ${describePlace(rle)}.`);
  return [where, ...(seen.length ? seen : ["Nothing is marked on it."])].join(" ");
}

/** Where a mask lies and how large it is, such as "upper left, 4 % of the picture". */
export function describePlace(rle) {
  const box = measureMask(rle);
  if (!box) return "not seen";
  const [height, width] = rle.size;
  const third = (middle, words) => words[Math.min(2, Math.floor(3 * middle))];
  const across = third((box.x0 + box.x1) / 2 / width, ["left", "", "right"]);
  const down = third((box.y0 + box.y1) / 2 / height, ["upper", "", "lower"]);
  const share = (100 * box.area) / (width * height);
  return `${`${down} ${across}`.trim() || "centre"}, ${share < 1 ? "under 1" : Math.round(share)} % of the picture`;
}

/** Seconds as `0:04.25`. */
export function formatTime(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(2).padStart(5, "0")}`;
}

/** When an object is seen, in words. */
export function describeSpans(spans) {
  if (!spans.length) return "not seen in the video";
  const words = spans.slice(0, 3).map(([from, to]) => `${from.toFixed(1)}–${to.toFixed(1)} s`);
  const more = spans.length > 3 ? ` and ${spans.length - 3} more times` : "";
  return `seen ${words.join(", ")}${more}`;
}

/** Bytes as people say them. */
export function formatBytes(bytes) {
  const [unit, size] = [["GB", 2 ** 30], ["MB", 2 ** 20], ["kB", 2 ** 10]].find(([, least]) => bytes >= least) ?? ["bytes", 1];
  return `${+(bytes / size).toFixed(1)} ${unit}`;
}
