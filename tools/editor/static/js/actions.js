// Everything a key or a button can do, by name. Keys can be changed; names stay.
import {
  decide, deleteSelected, fillAllHoles, keepLargest, merge, newProduct, setBrightness, splitParts, toggleHidden, travel,
} from "./operations.js";

/** [name, group, label, default combos, what it does] */
export function actionsOf(editor, panels) {
  const tool = (name) => () => editor.useTool(name);
  const size = (factor) => () => {
    const now = editor.brushSize;
    const next = Math.round(now * factor);
    editor.setBrushSize(next === now ? now + Math.sign(factor - 1) : next);
    editor.emit("tool");
  };
  return [
    ["tool.select", "Tools", "Select and move", ["V"], tool("select")],
    ["tool.brush", "Tools", "Brush", ["B"], tool("brush")],
    ["tool.eraser", "Tools", "Eraser", ["E"], tool("eraser")],
    ["tool.polygon", "Tools", "Polygon and freehand", ["P"], tool("polygon")],
    ["tool.outline", "Tools", "Edit vertices", ["O"], tool("outline")],
    ["tool.smart", "Tools", "Click to segment", ["S"], tool("smart")],
    ["tool.cut", "Tools", "Split along a line", ["X"], tool("cut")],
    ["brush.smaller", "Tools", "Smaller brush", ["["], size(1 / 1.2)],
    ["brush.larger", "Tools", "Larger brush", ["]"], size(1.2)],

    ["edit.undo", "Edit", "Undo", ["Ctrl+Z"], () => travel(editor, "undo")],
    ["edit.redo", "Edit", "Redo", ["Ctrl+Shift+Z", "Ctrl+Y"], () => travel(editor, "redo")],
    ["edit.save", "Edit", "Save now", ["Ctrl+S"], () => editor.saver?.retry()],

    ["product.next", "Products", "Next product", ["Tab"], () => editor.step(1)],
    ["product.previous", "Products", "Previous product", ["Shift+Tab"], () => editor.step(-1)],
    ["product.all", "Products", "Select all", ["Ctrl+A"], () => editor.select(editor.doc?.instances.map((one) => one.id) ?? [])],
    ["product.none", "Products", "Select none", ["Escape"], () => editor.select([])],
    ["product.new", "Products", "New product", ["N"], () => newProduct(editor)],
    ["product.delete", "Products", "Delete", ["Delete", "Ctrl+Backspace"], () => deleteSelected(editor)],
    ["product.merge", "Products", "Merge", ["M"], () => merge(editor)],
    ["split.parts", "Products", "Split into its parts", ["Shift+X"], () => splitParts(editor)],
    ["mask.fill", "Products", "Fill holes", ["Shift+F"], () => fillAllHoles(editor)],
    ["mask.largest", "Products", "Keep the largest part", ["Shift+L"], () => keepLargest(editor)],
    ["product.hide", "Products", "Hide or show the product", ["Shift+H"], () => editor.current && toggleHidden(editor, editor.current.id)],

    ["field.next", "Attributes", "Next field", ["ArrowDown"], () => panels.form.move(1)],
    ["field.previous", "Attributes", "Previous field", ["ArrowUp"], () => panels.form.move(-1)],
    ["field.clear", "Attributes", "Clear the field (unknown)", ["Backspace"], () => panels.form.clear()],
    ["field.search", "Attributes", "Find a value by its name", ["/"], () => panels.form.search()],

    ["photo.accept", "Photo", "Accept, go on", ["A"], () => decide(editor, "accepted")],
    ["photo.reject", "Photo", "Reject, go on", ["R"], () => decide(editor, "rejected")],
    ["photo.draft", "Photo", "Back to drafted", ["D"], () => decide(editor, "drafted")],
    ["photo.comment", "Photo", "Write a comment", ["C"], () => panels.review.writeComment()],
    ["photo.next", "Photo", "Next photo", ["ArrowRight", "PageDown"], () => panels.queue.step(1)],
    ["photo.previous", "Photo", "Previous photo", ["ArrowLeft", "PageUp"], () => panels.queue.step(-1)],
    ["queue.focus", "Photo", "Filter the queue", ["Q"], () => panels.queue.focus()],
    ["queue.toggle", "Photo", "Show or hide the queue", ["Shift+Q"], () => panels.queue.toggle()],
    ["export", "Photo", "Export", ["Shift+E"], () => panels.exporting()],

    ["view.fit", "View", "Fit the photo", ["F"], () => editor.canvas.fit()],
    ["view.product", "View", "Zoom to the product", ["Z"], () => editor.current?.region.area && editor.canvas.fitBox(editor.current.region.box)],
    ["view.actual", "View", "Actual pixels", ["G"], () => editor.canvas.zoom(1 / editor.canvas.view.scale)],
    ["view.in", "View", "Zoom in", ["+", "="], () => editor.canvas.zoom(1.25)],
    ["view.out", "View", "Zoom out", ["-"], () => editor.canvas.zoom(0.8)],
    ["view.masks", "View", "Hide or show all masks", ["H"], () => panels.top.toggleMasks()],
    ["view.cutout", "View", "Cut-out: dim the ground", ["K"], () => panels.top.toggleCutout()],
    ["view.dimmer", "View", "Dimmer masks", [","], () => setBrightness(editor, -10)],
    ["view.brighter", "View", "Brighter masks", ["."], () => setBrightness(editor, 10)],
    ["help", "View", "Shortcuts and settings", ["?"], () => panels.shortcuts()],
  ].map(([name, group, label, combos, run]) => ({ name, group, label, combos, run }));
}

/** Keys that belong to what they do and cannot be changed. */
export const FIXED = [
  ["1 … 9, 0", "Attributes", "Choose the value with that number"],
  ["Shift + 1 … 0", "Attributes", "Choose values 11 to 20"],
  ["Space (hold)", "View", "Move the photo, as the middle button does"],
  ["Ctrl + wheel, pinch", "View", "Zoom at the pointer"],
  ["Ctrl + click", "Products", "Select a product with any tool"],
  ["Enter / Esc", "Tools", "Close or apply / discard what a tool has begun"],
];
