// Colours of instances: far apart, and neither the photo's whites nor its skin.
const HUES = ["#1f8fff", "#ff7a1a", "#12b76a", "#e0479e", "#8b5cf6", "#e0b400", "#06b6d4", "#f04438", "#7cb518", "#b8734a"];

export function instanceColour(id) {
  return HUES[(id - 1) % HUES.length];
}

export function rgbOf(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

/** What a value such as "navy" looks like, or null where it names no colour. */
function colourOf(value) {
  const name = String(value).toLowerCase().replaceAll(/[\s_-]/g, "");
  return /^[a-z]+$/.test(name) && CSS.supports("color", name) ? name : null;
}

/** A function (attribute name, value) -> CSS colour or null. Only attributes most of whose values are colours have any:
 *  a material may be called "linen" or "canvas". */
export function swatches(schema) {
  const coloured = new Set(
    schema.filter(({ values }) => values?.length && values.filter(colourOf).length * 2 > values.length).map(({ name }) => name));
  return (attribute, value) => (coloured.has(attribute) ? colourOf(value) : null);
}
