// Elements from data. Text only ever becomes text nodes: no name from a file is read as HTML.

/** An element: props are properties, `on` handlers, `class`, `data`, or attributes where their name has a dash. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name === "on") for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name.includes("-") || name === "role" || name === "for") node.setAttribute(name, String(value));
    else node[name] = value;
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** A button that leaves the keyboard where it was when a pointer presses it: shortcuts go on working. */
export function button(props, ...children) {
  const node = el("button", { type: "button", ...props }, ...children);
  node.addEventListener("pointerdown", (event) => event.preventDefault());
  node.addEventListener("mousedown", (event) => event.preventDefault());
  return node;
}

export function fill(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const ICONS = {
  select: "M5 3l14 8-6.2 1.6L9.6 19z",
  brush: "M14.5 4.5l5 5L10 19H5v-5zM12 7l5 5",
  eraser: "M9 20h11M4.5 14.5l9-9a2 2 0 0 1 2.8 0l3.2 3.2a2 2 0 0 1 0 2.8L12 19H8.500zM9.500 9.500l6 6",
  polygon: "M12 4l8 6-3 9H7l-3-9zM12 2.500v3M20 8.500v3M17 17.500v3M7 17.500v3M4 8.500v3",
  outline: "M5 18C3 9 9 4 12 6s8 1 7 8-9 8-14 4zM12 6h.01M19 14h.01M5 18h.01",
  smart: "M12 3v4M12 17v4M3 12h4M17 12h4M12 12h.01M6 6l2 2M16 16l2 2M18 6l-2 2M8 16l-2 2",
  cut: "M6 6.500a2.500 2.500 0 1 0 0-.01M6 18.500a2.500 2.500 0 1 0 0-.01M8 8l12 10M8 17L20 6",
  undo: "M8 5L4 9l4 4M4 9h9a6 6 0 0 1 0 12h-3",
  redo: "M16 5l4 4-4 4M20 9h-9a6 6 0 0 0 0 12h3",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  check: "M5 13l4.500 4.500L19 7",
  cross: "M6 6l12 12M18 6L6 18",
  eye: "M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12zM12 9a3 3 0 1 0 .01 0",
  hidden: "M3 3l18 18M10 5.300A10 10 0 0 1 12 5c6 0 10 7 10 7a18 18 0 0 1-3 3.700M6 7a17 17 0 0 0-4 5s4 7 10 7a10 10 0 0 0 4-.900",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  merge: "M5 4v4a4 4 0 0 0 4 4h6a4 4 0 0 1 4 4v4M19 4v4a4 4 0 0 1-4 4M5 20v-4",
  split: "M12 20v-6L6 8M12 14l6-6M6 4v4h4M18 4v4h-4",
  list: "M9 6h11M9 12h11M9 18h11M4 6h.01M4 12h.01M4 18h.01",
  keyboard: "M3 6h18v12H3zM7 10h.01M11 10h.01M15 10h.01M7 14h10",
  export: "M12 15V4M8 8l4-4 4 4M4 15v5h16v-5",
  filter: "M3 5h18l-7 8v6l-4-2v-4z",
  sun: "M12 8a4 4 0 1 0 .01 0M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.500 1.500M17.500 17.500L19 19M19 5l-1.500 1.500M6.500 17.500L5 19",
  cutout: "M4 4h16v16H4zM12 8a4 4 0 1 0 .01 0",
  comment: "M4 5h16v11H10l-5 4v-4H4z",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  warn: "M12 4l9 16H3zM12 10v4M12 17h.01",
  box: "M4 6h16v12H4zM4 6h.01M20 6h.01M4 18h.01M20 18h.01",
};

/** A line icon of 24 units, drawn in the text's colour. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

export function kbd(text) {
  return el("kbd", {}, text);
}
