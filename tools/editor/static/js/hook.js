// window.segattrEditor: what a test reads. Nothing here changes anything.
const PURE = ["rle", "mask", "contour", "components", "geometry"];

export function expose(editor, keymap) {
  const modules = Promise.all(PURE.map((name) => import(`./${name}.js`)));
  const corner = () => editor.canvas.container.getBoundingClientRect();
  const plain = ({ region, ...rest }) => structuredClone({ ...rest, segmentation: region.rle, area: region.area });
  const hook = {
    get ready() {
      return editor.opener.ready && !editor.waiting;
    },
    get busy() {
      return editor.waiting > 0 || editor.input.busy;
    },
    get key() {
      return editor.doc?.key ?? null;
    },
    get fileName() {
      return editor.doc?.fileName ?? null;
    },
    get size() {
      return editor.doc ? [editor.doc.height, editor.doc.width] : null;
    },
    get revision() {
      return editor.doc?.base ?? null;
    },
    get state() {
      return editor.doc?.now.state ?? null;
    },
    get comment() {
      return editor.doc?.now.comment ?? null;
    },
    get saveState() {
      return editor.saver?.state ?? null;
    },
    get saveDetail() {
      return editor.saver?.detail ?? "";
    },
    get problem() {
      return editor.problem;
    },
    get instances() {
      return editor.doc?.instances.map(plain) ?? [];
    },
    get selection() {
      return [...(editor.doc?.selection ?? [])];
    },
    get undoDepth() {
      return editor.doc?.undoDepth ?? 0;
    },
    get redoDepth() {
      return editor.doc?.redoDepth ?? 0;
    },
    get undoLabel() {
      return editor.doc?.undoLabel ?? null;
    },
    get tool() {
      return editor.tool.name;
    },
    get brushSize() {
      return editor.brushSize;
    },
    get polygonPoints() {
      return structuredClone(editor.tools.find((tool) => tool.name === "polygon").points);
    },
    get parts() {
      return structuredClone(editor.tools.find((tool) => tool.name === "outline").parts);
    },
    get preview() {
      return editor.tools.find((tool) => tool.name === "smart").preview?.rle ?? null;
    },
    get view() {
      const { left, top } = corner();
      return { ...editor.canvas.view, left, top, ...editor.canvas.size };
    },
    get queue() {
      return { total: editor.queue.total, position: editor.queue.position, photos: structuredClone(editor.queue.photos) };
    },
    get counts() {
      return { ...editor.queue.counts };
    },
    get figures() {
      const { openMs, stroke, clickMs } = editor.figures;
      return structuredClone({ openMs, stroke, clickMs });
    },
    get keys() {
      return Object.fromEntries(keymap.actions.map(({ name }) => [name, keymap.combos(name)]));
    },
    /** The page position (CSS px, as a mouse has it) of a photo point. */
    toClient(x, y) {
      const { left, top } = corner();
      const [sx, sy] = editor.canvas.toScreen(x, y);
      return { x: left + sx, y: top + sy };
    },
    /** The photo point under a page position. */
    toPhoto(x, y) {
      const { left, top } = corner();
      const [px, py] = editor.canvas.toPhoto(x - left, y - top);
      return { x: px, y: py };
    },
    /** The pure functions by module: {rle, mask, contour, components, geometry}. */
    pure: async () => Object.fromEntries((await modules).map((module, i) => [PURE[i], module])),
  };
  window.segattrEditor = Object.freeze(hook);
}
