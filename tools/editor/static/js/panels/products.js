// The photo's products: choose, hide, make new ones, merge, split, delete.
import { instanceColour } from "../colours.js";
import { button, el, fill, icon } from "../dom.js";
import { toggleHidden } from "../operations.js";

const ACTS = [
  ["product.new", "New", "plus"], ["product.merge", "Merge", "merge"], ["split.parts", "Split parts", "split"],
  ["mask.fill", "Fill holes", "polygon"], ["mask.largest", "Largest part", "outline"], ["product.delete", "Delete", "trash"],
];

export class ProductsPanel {
  constructor(editor, node) {
    Object.assign(this, { editor, node });
  }

  build() {
    const { editor } = this;
    this.title = el("h2", {}, "Products");
    this.list = el("ul", { class: "products", role: "listbox", "aria-label": "Products", "aria-multiselectable": "true" });
    this.acts = el("div", { class: "acts" });
    fill(this.node, this.title, this.list, this.acts);
    for (const event of ["document", "edit", "selection"]) editor.on(event, () => this.draw());
    editor.keymap.on("change", () => this.draw());
    this.draw();
  }

  draw() {
    const { editor } = this;
    const instances = editor.doc?.instances ?? [];
    const chosen = editor.doc?.selection ?? [];
    this.title.textContent = instances.length === 1 ? "1 product" : `${instances.length} products`;
    fill(this.list, instances.map((instance, i) => this.#row(instance, i, chosen)),
      editor.doc && !instances.length && el("li", { class: "quiet empty" }, "Nothing marked yet: draw with the brush, the polygon or a click."));
    const dim = { "product.merge": chosen.length < 2, "product.new": !editor.doc };
    fill(this.acts, ACTS.map(([name, text, sign]) => {
      const key = editor.keyHint(name);
      const { label } = editor.actions.get(name);
      return button({
        class: "act", data: { action: name }, title: key ? `${label}  (${key})` : label,
        disabled: dim[name] ?? !chosen.length, on: { click: () => editor.act(name) },
      }, icon(sign), text);
    }));
    this.list.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }

  #row(instance, i, chosen) {
    const { editor } = this;
    const hidden = editor.hiddenIds.has(instance.id);
    const dot = el("span", { class: "dot" }, String(i + 1));
    dot.style.setProperty("--dot", instanceColour(instance.id));
    const names = [...new Set([...editor.schema.map(({ name }) => name), ...Object.keys(instance.attributes)])];
    const values = names.flatMap((name) => [instance.attributes[name] ?? []].flat().map((value) => [value, editor.swatch(name, value)]));
    const known = editor.categories.includes(instance.category);
    const text = el("span", { class: "text" },
      el("span", { class: known ? "name" : "name unknown-name" }, instance.category),
      el("span", { class: "quiet" }, instance.region.area ? values.map(([value, colour]) => valueText(String(value), colour)) : "no mask yet"));
    const eye = button({
      class: "eye", title: hidden ? "Show" : "Hide", "aria-label": hidden ? "Show" : "Hide", "aria-pressed": hidden,
      on: {
        click: (event) => {
          event.stopPropagation();
          toggleHidden(editor, instance.id);
        },
      },
    }, icon(hidden ? "hidden" : "eye"));
    return el("li", {
      class: hidden ? "hidden-product" : "", role: "option", data: { id: instance.id },
      "aria-selected": String(chosen.includes(instance.id)),
      on: {
        click: (event) => (event.shiftKey || event.ctrlKey || event.metaKey ? editor.toggle(instance.id) : editor.select([instance.id])),
        dblclick: () => editor.act("view.product"),
      },
    }, dot, text, eye);
  }
}

function valueText(value, colour) {
  const node = el("span", { class: "value" });
  if (colour) {
    const patch = el("i", { class: "swatch" });
    patch.style.setProperty("--swatch", colour);
    node.append(patch);
  }
  node.append(value);
  return node;
}
