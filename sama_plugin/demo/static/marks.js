/** Which masks belong on a frame, and how their colours are read. */

/** What is marked on a frame: the regions pointed at there, and over them objects of all answers. */
export function marksOn(talk, frame) {
  const objects = talk.objects
    .filter((thing) => thing.rle[frame])
    .map(({ id, phrase, colour, rle }) => ({ name: id, label: `${id} ${withoutArticle(phrase)}`.trim(), colour, rle: rle[frame] }));
  const regions = talk.regions
    .filter((region) => region.frame === frame)
    .map(({ name, colour, rle, point }) => ({ name, label: name, colour, rle, points: point }));
  return [...regions, ...objects];
}

/** A phrase as a label: without its article, as in the pictures that are exported. */
export function withoutArticle(phrase) {
  return phrase.replace(/^(a|an|the)\s+(?=\S)/i, "");
}

/** Whether dark letters are read better on a `#rrggbb` than white ones. */
export function isLight(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => (parseInt(colour.slice(at, at + 2), 16) / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.2;
}
