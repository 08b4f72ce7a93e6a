// Category and attributes of the selected products, as the schema has them; one field is active and takes the keys.
import { button, el, fill, icon, kbd } from "../dom.js";
import { prefs } from "../prefs.js";

const UNSURE = 0.7; // below it the model's value is marked
const CATEGORY = { id: "category", name: "category", kind: "single", category: true };

export class AttributeForm {
  #active = "category";
  #query = "";

  constructor(editor, node) {
    Object.assign(this, { editor, node });
  }

  build() {
    for (const event of ["document", "edit", "selection"]) this.editor.on(event, () => this.draw());
    this.editor.on("created", () => this.activate("category")); // what it is is a guess until somebody says so
    this.draw();
  }

  /** The fields that apply to the current product. */
  get fields() {
    const { editor } = this;
    const category = editor.current?.category;
    const applying = editor.schema.filter((one) => !one.categories || one.categories.includes(category));
    // An attribute may be called category, too.
    return [{ ...CATEGORY, values: editor.categories }, ...applying.map((one) => ({ ...one, id: `attribute ${one.name}` }))];
  }

  get active() {
    return this.fields.find((field) => field.id === this.#active) ?? this.fields[0];
  }

  draw() {
    const { current, selected } = this.editor;
    if (!current) {
      fill(this.node, el("p", { class: "quiet empty" }, this.editor.doc?.instances.length ? "Select a product to see what it is." : ""));
      return;
    }
    const stray = Object.keys(current.attributes).filter((name) => !this.fields.some((field) => !field.category && field.name === name));
    const focused = this.node.contains(document.activeElement) ? document.activeElement.dataset.field : null;
    fill(this.node,
      selected.length > 1 && el("p", { class: "note" }, `${selected.length} products: what you choose is set for all.`),
      this.fields.map((field) => this.#field(field, current)),
      stray.map((name) => this.#stray(name, current)));
    if (focused) this.node.querySelector(`input[data-field="${CSS.escape(focused)}"]`)?.focus();
    this.node.querySelector(".field.active")?.scrollIntoView({ block: "nearest" });
  }

  #value(field, instance) {
    return field.category ? instance.category : instance.attributes[field.name];
  }

  #field(field, instance) {
    const open = field.id === this.active.id;
    const value = this.#value(field, instance);
    const head = button({
      class: "field-head", "aria-expanded": String(open), on: { click: () => this.activate(field.id) },
    }, el("span", { class: "label" }, spoken(field.name)), this.#said(field, value, instance));
    const body = open && (field.kind === "number" ? this.#number(field, value) : this.#values(field, value, instance));
    return el("section", { class: open ? "field active" : "field", data: { field: field.name } }, head, body);
  }

  /** What the closed field says: its values, "unknown", or how unsure the model was. */
  #said(field, value, instance) {
    const chosen = value === undefined ? [] : [value].flat();
    const differ = this.editor.selected.some((one) => JSON.stringify(this.#value(field, one)) !== JSON.stringify(value));
    if (differ) return el("span", { class: "said quiet" }, "several values");
    const words = value === undefined ? el("span", { class: "quiet" }, "unknown")
      : !chosen.length ? el("span", { class: "quiet" }, "none of these")
      : chosen.map((one) => chip(one, { colour: this.editor.swatch(field.name, one), unit: field.unit, stray: field.values?.length && !field.values.includes(one) }));
    const table = instance.probabilities?.[field.name];
    const sure = chosen.map((one) => table?.[one]).filter((p) => typeof p === "number");
    const least = sure.length ? Math.min(...sure) : null;
    return el("span", { class: "said" }, words, least !== null && least < UNSURE && el("span", { class: "unsure", title: "How sure the model was" }, `${Math.round(least * 100)} %`));
  }

  #values(field, value, instance) {
    const chosen = value === undefined ? [] : [value].flat();
    const table = instance.probabilities?.[field.name] ?? {};
    const shown = field.values.map((one, i) => [one, i]).filter(([one]) => one.toLowerCase().includes(this.#query.toLowerCase()));
    const nodes = shown.map(([one, i]) => {
      const place = chosen.indexOf(one);
      const sure = table[one];
      const key = i < 10 ? String((i + 1) % 10) : i < 20 ? `⇧${(i + 1) % 10}` : "";
      return button({
        class: "choice", "aria-pressed": String(place >= 0), data: { value: one },
        title: typeof sure === "number" ? `${one}: the model is ${Math.round(sure * 100)} % sure` : one,
        on: { click: () => this.choose(field, one) },
      }, key && kbd(key), patch(this.editor.swatch(field.name, one)), el("span", {}, one), field.kind === "multi" && chosen.length > 1 && place >= 0 && el("b", { class: "order" }, String(place + 1)));
    });
    const search = el("input", {
      type: "search", placeholder: "Find a value", value: this.#query, "aria-label": "Find a value", data: { field: field.name },
      on: {
        input: () => {
          this.#query = search.value;
          this.draw();
        },
        keydown: (event) => {
          if (event.key !== "Enter" || !shown.length) return;
          search.blur();
          this.#query = "";
          this.choose(field, shown[0][0]);
        },
        blur: () => {
          this.#searching = false;
        },
      },
    });
    return el("div", { class: "values" },
      (this.#searching || this.#query || field.values.length > 20) && search,
      el("div", { class: "choices-grid" }, nodes),
      field.kind === "multi" && chosen.length > 1 && this.#order(field, chosen),
      el("div", { class: "field-foot" },
        field.kind === "multi" && button({ class: "link", on: { click: () => this.#set(field, []) } }, "None of these"),
        !field.category && value !== undefined && button({ class: "link", on: { click: () => this.clear() } }, "Unknown"),
        el("span", { class: "quiet keys-only" }, field.kind === "multi" ? "dominant first" : "")));
  }

  #searching = false;

  /** The chosen values in their order, each can go one place forward. */
  #order(field, chosen) {
    return el("ol", { class: "ordered" }, chosen.map((one, i) => el("li", {},
      chip(one, { colour: this.editor.swatch(field.name, one) }),
      i > 0 && button({
        class: "tiny", title: `${one} before ${chosen[i - 1]}`, "aria-label": `Move ${one} forward`,
        on: { click: () => this.#set(field, chosen.with(i - 1, one).with(i, chosen[i - 1])) },
      }, icon("left")))));
  }

  #number(field, value) {
    const input = el("input", {
      type: "number", step: "any", value: value ?? "", "aria-label": field.name, data: { field: field.name },
      on: {
        change: () => {
          const number = input.valueAsNumber;
          this.#set(field, Number.isFinite(number) ? number : undefined);
        },
        keydown: (event) => event.key === "Enter" && input.blur(),
      },
    });
    return el("div", { class: "values number-value" }, input, el("span", { class: "quiet" }, field.unit ?? ""),
      value !== undefined && button({ class: "link", on: { click: () => this.clear() } }, "Unknown"));
  }

  /** An attribute that the schema does not have, or not for this category: kept until it is removed. */
  #stray(name, instance) {
    return el("section", { class: "field" }, el("div", { class: "field-head stray" },
      el("span", { class: "label" }, spoken(name)), el("span", { class: "said" }, [instance.attributes[name]].flat().map((one) => chip(one, { stray: true }))),
      button({ class: "tiny", title: "Remove: the schema has no place for it", "aria-label": `Remove ${name}`, on: { click: () => this.#set({ name }, undefined) } }, icon("cross"))));
  }

  activate(id) {
    this.#active = id;
    this.#query = "";
    this.draw();
    const input = this.node.querySelector(".field.active input[type=number]");
    if (input) input.focus();
  }

  /** The next field, the one before for -1. */
  move(by) {
    if (!this.editor.current) return;
    const { fields } = this;
    const at = fields.findIndex((field) => field.id === this.active.id);
    const next = fields[Math.min(fields.length - 1, Math.max(0, at + by))];
    this.#active = next.id;
    this.#query = "";
    this.draw();
  }

  /** A number key. */
  digit(n) {
    const field = this.active;
    if (!this.editor.current) return this.editor.say("Select a product first (Tab).");
    if (field.kind === "number") {
      const input = this.node.querySelector(".field.active input");
      input.focus();
      input.value = String(n % 10);
      return;
    }
    const value = field.values[n - 1];
    if (value !== undefined) this.choose(field, value);
  }

  search() {
    if (!this.editor.current || this.active.kind === "number") return;
    this.#searching = true;
    this.draw();
    this.node.querySelector("input[type=search]")?.focus();
  }

  clear() {
    const field = this.active;
    if (field.category) return this.editor.say("Every product has a category.");
    this.#set(field, undefined);
  }

  choose(field, value) {
    this.#active = field.id;
    const now = this.#value(field, this.editor.current);
    if (field.kind === "multi") {
      const chosen = now ?? [];
      const next = chosen.includes(value) ? chosen.filter((one) => one !== value) : [...chosen, value];
      this.#set(field, next.length ? next : undefined);
      return;
    }
    if (prefs.get("advance")) this.move(1);
    if (now !== value || this.editor.selected.length > 1) this.#set(field, value);
  }

  /** For all selected products; undefined: unknown. A category takes away what does not apply to it. */
  #set(field, value) {
    const { editor } = this;
    if (field.category) editor.lastCategory = value;
    const applies = (name, category) => {
      const known = editor.schema.find((one) => one.name === name);
      return !known?.categories || known.categories.includes(category);
    };
    const shown = value === undefined ? "unknown" : [value].flat().join(", ") || "none";
    editor.changeSelected(`${field.name}: ${shown}`, (instance) => {
      if (field.category) {
        const kept = Object.entries(instance.attributes).filter(([name]) => applies(name, value));
        return { ...instance, category: value, attributes: Object.fromEntries(kept) };
      }
      const attributes = { ...instance.attributes };
      if (value === undefined) delete attributes[field.name];
      else if (applies(field.name, instance.category)) attributes[field.name] = value;
      return { ...instance, attributes };
    });
  }
}

function patch(colour) {
  if (!colour) return null;
  const node = el("i", { class: "swatch" });
  node.style.setProperty("--swatch", colour);
  return node;
}

function chip(value, { colour, unit, stray } = {}) {
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return el("span", { class: stray ? "chip stray" : "chip", title: stray ? "Not in the schema" : "" }, patch(colour), unit ? `${text} ${unit}` : text);
}

/** A name as it is read: heel_height -> heel height. */
function spoken(name) {
  return name.replaceAll("_", " ");
}
