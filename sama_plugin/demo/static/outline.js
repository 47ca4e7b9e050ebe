/** The outline of a mask as polygons along the edges of its pixels, so that it is crisp at any size. */

import { columnsOf } from "./rle.js";

/**
 * Walks around a mask.
 *
 * @param {{size: number[], counts: string}} rle
 * @returns {number[][]} closed polygons `[x, y, x, y, …]`; holes are polygons too (fill by the even-odd rule)
 */
export function outlineOf(rle) {
  return linkEdges(edgesOf(columnsOf(rle)));
}

/** Edges between inside and outside, each with the inside at its right hand. */
function edgesOf(columns) {
  const edges = [];
  let left = [];
  [...columns, []].forEach((runs, x) => {
    for (let i = 0; i < runs.length; i += 2) {
      edges.push([x, runs[i], x + 1, runs[i]], [x + 1, runs[i + 1], x, runs[i + 1]]);
    }
    for (const [top, bottom, entering] of differences(left, runs)) {
      edges.push(entering ? [x, bottom, x, top] : [x, top, x, bottom]);
    }
    left = runs;
  });
  return edges;
}

/** Where two columns differ: `[top, bottom, whether the right one is inside there]`. */
function differences(left, right) {
  const ends = [...left.map((y) => [y, 0]), ...right.map((y) => [y, 1])].sort((a, b) => a[0] - b[0]);
  const inside = [false, false];
  const found = [];
  ends.forEach(([y, side], i) => {
    inside[side] = !inside[side];
    const next = ends[i + 1]?.[0] ?? y;
    if (next > y && inside[0] !== inside[1]) found.push([y, next, inside[1]]);
  });
  return found;
}

function linkEdges(edges) {
  const leaving = new Map();
  const keyOf = (x, y) => x * 65536 + y;
  for (const edge of edges) {
    const key = keyOf(edge[0], edge[1]);
    if (leaving.has(key)) leaving.get(key).push(edge);
    else leaving.set(key, [edge]);
  }
  const polygons = [];
  for (const first of edges) {
    const polygon = [];
    let edge = leaving.get(keyOf(first[0], first[1])).pop();
    while (edge) {
      polygon.push(edge[0], edge[1]);
      edge = leaving.get(keyOf(edge[2], edge[3])).pop();
    }
    if (polygon.length) polygons.push(withoutStraightPoints(polygon));
  }
  return polygons;
}

function withoutStraightPoints(polygon) {
  const kept = [];
  const count = polygon.length;
  for (let i = 0; i < count; i += 2) {
    const [x0, y0] = [polygon.at(i - 2), polygon.at(i - 1)];
    const [x1, y1] = [polygon[i], polygon[i + 1]];
    const [x2, y2] = [polygon[(i + 2) % count], polygon[(i + 3) % count]];
    if ((x1 - x0) * (y2 - y1) !== (y1 - y0) * (x2 - x1)) kept.push(x1, y1);
  }
  return kept;
}

const paths = new WeakMap();

/** The outline as a path to fill and stroke, its corners rounded by half a pixel; kept as long as the mask is. */
export function pathOf(rle) {
  if (!paths.has(rle)) paths.set(rle, roundedPath(outlineOf(rle)));
  return paths.get(rle);
}

function roundedPath(polygons) {
  const path = new Path2D();
  for (const polygon of polygons) {
    const count = polygon.length;
    for (let i = 0; i < count; i += 2) {
      const [x, y] = [polygon[i], polygon[i + 1]];
      const [fromX, fromY] = halfStep(x, y, polygon.at(i - 2), polygon.at(i - 1));
      const [toX, toY] = halfStep(x, y, polygon[(i + 2) % count], polygon[(i + 3) % count]);
      if (i) path.lineTo(fromX, fromY);
      else path.moveTo(fromX, fromY);
      path.quadraticCurveTo(x, y, toX, toY);
    }
    path.closePath();
  }
  return path;
}

/** The point half a pixel from a corner towards the next one. */
function halfStep(x, y, otherX, otherY) {
  return [x + Math.sign(otherX - x) / 2, y + Math.sign(otherY - y) / 2];
}
