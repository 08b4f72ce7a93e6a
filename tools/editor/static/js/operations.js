// Edits that are one press: merge, split into parts, fill holes, delete, accept.
import { fillHoles, largestPart, parts } from "./components.js";
import { prefs } from "./prefs.js";
import { Region } from "./region.js";

const SPECK = 0.0005; // parts smaller than this share of the product are no products

export function newProduct(editor) {
  if (!editor.doc) return;
  editor.select([]);
  if (["select", "eraser", "outline", "cut"].includes(editor.tool.name)) editor.useTool("brush");
  editor.say("The next thing you draw becomes a new product.");
}

export function deleteSelected(editor) {
  const { doc, selected } = editor;
  if (!selected.length) return editor.say("Select a product to delete.");
  const gone = new Set(doc.selection);
  const at = doc.instances.findIndex((one) => gone.has(one.id));
  const instances = doc.instances.filter((one) => !gone.has(one.id));
  const next = instances[Math.min(at, instances.length - 1)];
  doc.selection = next ? [next.id] : [];
  doc.commit(gone.size > 1 ? `Deleted ${gone.size} products` : "Deleted product", { instances });
}

/** The first one chosen keeps its category and attributes. */
export function merge(editor) {
  const { doc, selected } = editor;
  if (selected.length < 2) return editor.say("Select two or more products to merge: Shift+click.");
  const [first, ...others] = selected;
  const mask = others.reduce((whole, one) => whole.union(one.region.mask), first.region.mask);
  const gone = new Set(others.map((one) => one.id));
  const merged = Object.freeze({ ...first, region: Region.fromMask(mask) });
  doc.selection = [first.id];
  doc.commit(`Merged ${selected.length} products`, {
    instances: doc.instances.filter((one) => !gone.has(one.id)).map((one) => (one.id === first.id ? merged : one)),
  });
}

export function splitParts(editor) {
  const { current } = editor;
  if (!current) return editor.say("Select the product to split.");
  const found = parts(current.region.mask);
  const least = Math.max(16, current.region.area * SPECK);
  const large = found.filter((part, i) => i === 0 || part.area() >= least);
  if (large.length < 2) return editor.say("This product has one part only: draw a line across it with the Split tool.");
  const specks = found.filter((part) => !large.includes(part));
  large[0] = specks.reduce((whole, speck) => whole.union(speck), large[0]);
  editor.divide(current, large.map((part) => Region.fromMask(part)), "Split into parts");
}

function clean(editor, label, change, nothing) {
  const { current } = editor;
  if (!current) return editor.say("Select a product first.");
  const region = Region.fromMask(change(current.region.mask));
  if (region.area === current.region.area) return editor.say(nothing);
  editor.setRegion(label, current, region);
}

export function fillAllHoles(editor) {
  clean(editor, "Filled holes", fillHoles, "This mask has no holes.");
}

export function keepLargest(editor) {
  clean(editor, "Kept the largest part", largestPart, "This mask has one part only.");
}

export function toggleHidden(editor, id) {
  if (editor.hiddenIds.has(id)) editor.hiddenIds.delete(id);
  else editor.hiddenIds.add(id);
  editor.canvas.refresh();
  editor.emit("selection");
}

/** Undo and redo also choose again what they changed. */
export function travel(editor, way) {
  const { doc } = editor;
  if (!doc) return;
  const before = new Map(doc.instances.map((one) => [one.id, one]));
  const label = way === "undo" ? doc.undo() : doc.redo();
  if (label === null) return editor.say(way === "undo" ? "Nothing to undo." : "Nothing to redo.");
  const changed = doc.instances.filter((one) => before.get(one.id) !== one).map((one) => one.id);
  if (changed.length && !changed.some((id) => doc.selection.includes(id))) editor.select(changed.slice(0, 1));
  editor.say(`${way === "undo" ? "Undone" : "Done again"}: ${label[0].toLowerCase()}${label.slice(1)}`, { brief: true });
}

/** Set the photo's state; accepting and rejecting go on to the next photo. */
export async function decide(editor, state) {
  if (!editor.doc) return;
  await editor.finishTool();
  const { doc, saver } = editor;
  const bare = doc.instances.findIndex((one) => !one.region.area);
  if (state === "accepted" && bare >= 0) {
    editor.select([doc.instances[bare].id]);
    return editor.say(`Product ${bare + 1} has no mask: draw it, or delete the product.`, { kind: "bad" });
  }
  const words = { accepted: "Accepted", rejected: "Rejected", drafted: "Back to drafted", todo: "Back to to do" };
  if (doc.now.state !== state) doc.commit(words[state], { state });
  saver.flush();
  if (state !== "accepted" && state !== "rejected") return;
  const undo = { text: "Undo", run: () => editor.queue.open(doc.key).then(() => editor.doc === doc && doc.undo()) };
  const went = await editor.queue.step(1);
  editor.say(`${words[state]} ${doc.fileName.split("/").at(-1)}${went ? "" : ": the last photo of this list"}`, { action: went ? undo : null });
}

export function setBrightness(editor, by) {
  prefs.set("brightness", Math.min(100, Math.max(0, prefs.get("brightness") + by)));
}
