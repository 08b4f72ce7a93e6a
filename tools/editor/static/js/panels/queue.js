// The review queue: counts, filters, the list of photos, and going from one to the next.
import { api, ApiError } from "../api.js";
import { button, el, fill, icon } from "../dom.js";
import { prefs } from "../prefs.js";

export const STATES = [["todo", "To do"], ["drafted", "Drafted"], ["accepted", "Accepted"], ["rejected", "Rejected"]];
const SIGNS = { accepted: "check", rejected: "cross" };
const PAGE = 100;

export class QueuePanel {
  photos = [];
  total = 0;
  #filter = { state: "", category: "", attribute: "", value: "", max_confidence: "", order: "uncertain" };
  #loading = null;
  #abort = null;
  #key = null; // of the photo that is open or being opened
  #nodes = new Map();
  #skip = 0; // how far the server's list was read, where all of it is known
  #all = false; // the list was read to its end
  #failed = false; // the last page could not be had
  #thumbs = false; // not before the first photo is there: they would be in its way

  constructor(editor, node) {
    this.editor = editor;
    this.node = node;
    this.counts = { ...editor.session.counts };
    this.#build();
    editor.queue = this;
    editor.on("opening", (key) => this.#mark(key));
    editor.on("document", () => {
      this.#sync();
      requestAnimationFrame(() => this.#showThumbs());
    });
    editor.on("edit", () => this.#sync());
    editor.on("saving", (saver) => saver?.state === "saved" && this.#sync());
  }

  get keys() {
    return this.photos.map((photo) => photo.key);
  }

  get position() {
    return this.photos.findIndex((photo) => photo.key === this.#key);
  }

  #build() {
    this.tabs = el("div", { class: "tabs", role: "group", "aria-label": "State" });
    this.progress = el("progress", { max: 1, value: 0, "aria-label": "Accepted or rejected" });
    this.progressText = el("span", { class: "quiet" });
    this.filters = el("details", { class: "filters" });
    this.list = el("ol", { class: "photos", on: { scroll: () => this.#more() } });
    this.empty = el("p", { class: "quiet empty", hidden: true });
    fill(this.node,
      el("div", { class: "progress" }, this.progress, this.progressText), this.tabs, this.filters, this.empty, this.list);
    this.#drawTabs();
    this.#drawFilters();
    const stored = prefs.get("queueOpen");
    document.body.classList.toggle("no-queue", !stored);
  }

  #drawTabs() {
    const all = Object.values(this.counts).reduce((sum, count) => sum + count, 0);
    const tab = (state, text, count) =>
      button({
        class: `tab ${state}`, "aria-pressed": this.#filter.state === state, data: { state: state || "all" },
        on: { click: () => this.filter({ state }) },
      }, text, el("span", { class: "count" }, String(count)));
    fill(this.tabs, tab("", "All", all), STATES.map(([state, text]) => tab(state, text, this.counts[state] ?? 0)));
    const done = (this.counts.accepted ?? 0) + (this.counts.rejected ?? 0);
    Object.assign(this.progress, { max: Math.max(all, 1), value: done });
    this.progressText.textContent = `${done} of ${all} reviewed`;
  }

  #drawFilters() {
    const { schema, categories } = this.editor;
    const select = (name, label, options) => {
      const node = el("select", { "aria-label": label, data: { filter: name }, on: { change: () => this.filter({ [name]: node.value }) } },
        options.map(([value, text]) => el("option", { value, selected: this.#filter[name] === value }, text)));
      return node;
    };
    const attribute = schema.find((one) => one.name === this.#filter.attribute);
    const sure = el("input", {
      type: "range", min: 0.05, max: 1, step: 0.05, value: this.#filter.max_confidence || 1, "aria-label": "Model confidence at most",
      on: { change: () => this.filter({ max_confidence: Number(sure.value) < 1 ? sure.value : "" }), input: () => (told.textContent = tell()) },
    });
    const tell = () => (Number(sure.value) < 1 ? `≤ ${Math.round(sure.value * 100)} %` : "any");
    const told = el("output", { class: "number" }, tell());
    const active = ["category", "attribute", "value", "max_confidence"].filter((name) => this.#filter[name]).length;
    fill(this.filters,
      el("summary", {}, icon("filter"), "Filter and order", active > 0 && el("span", { class: "count" }, String(active))),
      el("div", { class: "grid" },
        el("label", {}, "Order", select("order", "Order", [["uncertain", "Most uncertain first"], ["name", "By name"]])),
        el("label", {}, "Category", select("category", "Category", [["", "Any"], ...categories.map((name) => [name, name])])),
        el("label", {}, "Attribute", select("attribute", "Attribute", [["", "Any"], ...schema.map(({ name }) => [name, name])])),
        attribute?.values?.length ? el("label", {}, "Value", select("value", "Value", [["", "Any"], ...attribute.values.map((value) => [value, value])])) : null,
        el("label", {}, "Confidence", el("span", { class: "range" }, sure, told)),
        active > 0 && button({ class: "link", on: { click: () => this.filter({ category: "", attribute: "", value: "", max_confidence: "" }) } }, "Clear filters")));
  }

  /** Change the filter and load the list anew. */
  async filter(changes) {
    Object.assign(this.#filter, changes);
    if ("attribute" in changes) this.#filter.value = "";
    this.#drawTabs();
    this.#drawFilters();
    await this.load();
  }

  /** Load the list from its start. */
  async load() {
    this.#abort?.abort();
    this.#abort = new AbortController();
    this.photos = [];
    this.total = 0;
    this.#skip = 0;
    this.#all = false;
    this.#nodes.clear();
    this.list.replaceChildren();
    await this.#page(this.#abort.signal);
    this.list.scrollTop = 0;
    this.#reveal();
  }

  /** The next photos of the server's list. Photos edited since may have left it or changed their place: it is asked
   *  from where those that were not edited end, and what is known already is passed over. */
  async #page(signal) {
    const query = { ...this.#filter, offset: Math.max(this.#skip, this.photos.filter((photo) => !photo.edited).length), limit: PAGE };
    for (const name of Object.keys(query)) if (query[name] === "") delete query[name];
    let answer;
    this.#failed = true;
    try {
      answer = await api.photos(query, signal);
      this.#failed = false;
    } catch (error) {
      if (error instanceof ApiError) this.editor.say(error.message, { kind: "bad" });
      else if (error.name !== "AbortError") throw error;
      return;
    }
    const known = new Set(this.keys);
    const fresh = answer.photos.filter((photo) => !known.has(photo.key));
    this.photos.push(...fresh);
    this.#skip = query.offset + (fresh.length ? 0 : PAGE);
    this.#all = answer.photos.length < PAGE;
    const beyond = answer.total - query.offset - answer.photos.length;
    this.total = this.photos.length + (this.#all ? 0 : Math.max(0, beyond));
    this.list.append(...fresh.map((photo) => this.#item(photo)));
    this.empty.hidden = this.photos.length > 0;
    this.empty.textContent = "No photo fits this filter.";
    this.editor.emit("queue");
  }

  #thumb(key) {
    const image = el("img", { alt: "", loading: "lazy", decoding: "async", src: this.#thumbs ? api.thumbUrl(key) : undefined });
    image.addEventListener("error", () => image.removeAttribute("src")); // a grey square, no broken picture
    return image;
  }

  #showThumbs() {
    if (this.#thumbs) return;
    this.#thumbs = true;
    for (const [key, node] of this.#nodes) node.querySelector("img").src = api.thumbUrl(key);
  }

  #more() {
    const { scrollTop, clientHeight, scrollHeight } = this.list;
    if (this.#all || this.#loading || scrollTop + clientHeight < scrollHeight - 600) return;
    this.#loading = this.#page(this.#abort.signal).finally(() => (this.#loading = null));
  }

  #item(photo) {
    const node = el("li");
    this.#nodes.set(photo.key, node);
    this.#draw(photo, node);
    return node;
  }

  #draw(photo, node) {
    const name = photo.file_name.split("/").at(-1);
    const sure = photo.confidence;
    const image = node.querySelector("img") ?? this.#thumb(photo.key);
    const count = `${photo.instances} ${photo.instances === 1 ? "product" : "products"}`;
    fill(node, button({
      class: "photo", data: { key: photo.key, state: photo.state }, "aria-current": photo.key === this.#key,
      title: photo.comment ? `${photo.file_name}\n${photo.comment}` : photo.file_name, on: { click: () => this.open(photo.key) },
    },
      image,
      el("span", { class: "text" },
        el("span", { class: "name" }, name),
        el("span", { class: "quiet" }, sure === null || sure === undefined ? count : `${count}, ${Math.round(sure * 100)} % sure`)),
      photo.comment && icon("comment"),
      el("span", { class: `state ${photo.state}`, title: new Map(STATES).get(photo.state) }, SIGNS[photo.state] && icon(SIGNS[photo.state]))));
  }

  #mark(key) {
    const before = this.#key;
    this.#key = key;
    for (const one of [before, key]) {
      const photo = this.photos.find((other) => other.key === one);
      if (photo) this.#draw(photo, this.#nodes.get(one));
    }
    this.#reveal();
  }

  #reveal() {
    this.#nodes.get(this.#key)?.scrollIntoView({ block: "nearest" });
  }

  /** The open photo's line follows its edits, and so do the counts. */
  #sync() {
    const { doc } = this.editor;
    const photo = doc && this.photos.find((one) => one.key === doc.key);
    if (!doc) return;
    const { state, comment } = doc.now;
    const before = photo?.state ?? doc.listed ?? state;
    if (before !== state) {
      this.counts[before]--;
      this.counts[state] = (this.counts[state] ?? 0) + 1;
      this.#drawTabs();
    }
    doc.listed = state;
    if (!photo) return;
    const changed = photo.state !== state || photo.comment !== comment || photo.instances !== doc.instances.length;
    if (doc.undoDepth) photo.edited = true;
    Object.assign(photo, { state, comment, instances: doc.instances.length });
    if (changed) this.#draw(photo, this.#nodes.get(photo.key));
  }

  async open(key) {
    await this.editor.opener.open(key);
    const next = this.photos[this.position + 1];
    setTimeout(() => this.#key === key && this.editor.opener.ahead(next?.key), 150);
    this.#more();
  }

  /** The next photo of the list, the one before for -1; false at its end. */
  async step(by) {
    const at = this.position;
    while (by > 0 && at + 1 >= this.photos.length && !this.#all && !this.#abort.signal.aborted) {
      const { length } = this.photos;
      await this.#page(this.#abort.signal);
      if (this.photos.length === length && this.#failed) break;
    }
    const photo = this.photos[at < 0 ? 0 : at + by];
    if (!photo) return false;
    await this.open(photo.key);
    return true;
  }

  toggle() {
    prefs.set("queueOpen", !prefs.get("queueOpen"));
    document.body.classList.toggle("no-queue", !prefs.get("queueOpen"));
  }

  focus() {
    if (!prefs.get("queueOpen")) this.toggle();
    this.filters.open = true;
    this.tabs.querySelector("button").focus();
  }
}
