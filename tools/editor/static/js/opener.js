// Opening photos: record and picture together, the next one ahead of time, documents kept with their undo stacks.
import { api, ApiError } from "./api.js";
import { PhotoDocument } from "./document.js";
import { forget, leftOver, sameEdit, Saver } from "./saver.js";

const KEPT_DOCUMENTS = 40;

export class Opener {
  #open = new Map(); // key -> {document, saver}
  #ahead = new Map(); // key -> promise of a picture's blob
  #asked = 0;

  constructor(editor) {
    this.editor = editor;
    this.ready = false; // the photo asked for last is shown, or why it cannot be
  }

  /** Savers of all documents opened so far. */
  get savers() {
    return [...this.#open.values()].map(({ saver }) => saver);
  }

  async open(key) {
    const { editor } = this;
    const began = performance.now();
    const asked = ++this.#asked;
    await editor.finishTool();
    editor.saver?.flush();
    this.ready = false;
    editor.emit("opening", key);
    const picture = this.#picture(key);
    let record;
    try {
      [record] = await Promise.all([api.photo(key), picture.catch(() => null)]);
    } catch (error) {
      if (asked === this.#asked) this.#refuse(key, error);
      return;
    }
    if (asked !== this.#asked) return;
    let document;
    try {
      document = this.#document(record);
    } catch (error) {
      this.#refuse(key, error);
      return;
    }
    await this.#show(document, picture, asked);
    if (asked === this.#asked) requestAnimationFrame(() => setTimeout(() => (editor.figures.openMs = performance.now() - began)));
  }

  #refuse(key, error) {
    if (!(error instanceof Error)) throw error;
    const { editor } = this;
    Object.assign(editor, { doc: null, saver: null, problem: error.message });
    editor.canvas.setPhoto(null);
    this.ready = true;
    editor.emit("document", key);
    if (!(error instanceof ApiError) && error.name !== "RleError") console.error(error);
  }

  async #show(document, picture, asked) {
    const { editor } = this;
    let [bitmap, problem] = [null, null];
    try {
      bitmap = await createImageBitmap(await picture);
    } catch (error) {
      problem = error instanceof ApiError ? error.message : `${document.fileName}: the browser cannot read this photo.`;
    }
    if (asked !== this.#asked) return bitmap?.close();
    if (bitmap && (bitmap.width !== document.width || bitmap.height !== document.height)) {
      problem = `${document.fileName}: the photo is ${bitmap.width} x ${bitmap.height} px now, its masks were drawn at ${document.width} x ${document.height} px.`;
      bitmap.close();
      bitmap = null;
    }
    const { saver } = this.#open.get(document.key);
    editor.hiddenIds.clear();
    Object.assign(editor, { doc: document, saver, problem });
    if (!document.selection.length && document.instances.length) document.selection = [document.instances[0].id];
    editor.canvas.setPhoto(bitmap, document.width, document.height);
    this.ready = true;
    editor.tool.sync?.();
    editor.emit("document", document.key);
    editor.emit("saving");
    editor.emit("tool");
  }

  #picture(key) {
    const known = this.#ahead.get(key);
    this.#ahead.delete(key);
    return known ?? api.image(key);
  }

  /** Fetch what is probably opened next. */
  ahead(key) {
    if (!key || this.#ahead.has(key)) return;
    this.#ahead.clear(); // one picture is enough to hold
    const picture = api.image(key);
    picture.catch(() => this.#ahead.delete(key));
    this.#ahead.set(key, picture);
  }

  /** The document opened before, where the server still has its revision; else a new one of the record. */
  #document(record) {
    const known = this.#open.get(record.key);
    if (known && (known.saver.dirty || known.saver.state === "saving" || known.document.base === record.revision)) {
      this.#open.delete(record.key); // the most recent is the last
      this.#open.set(record.key, known);
      return known.document;
    }
    const document = new PhotoDocument(record);
    const saver = new Saver(document);
    document.on("change", (change) => this.#changed(document, change));
    saver.on("state", () => this.editor.emit("saving", saver));
    this.#open.set(record.key, { document, saver });
    this.#trim();
    this.#restore(document, saver, record);
    return document;
  }

  #trim() {
    for (const [key, { saver }] of this.#open) {
      if (this.#open.size <= KEPT_DOCUMENTS) break;
      if (saver.state === "saved" && !saver.dirty) this.#open.delete(key);
    }
  }

  /** Edits that an earlier page could not save come back as an edit. */
  #restore(document, saver, record) {
    const mine = leftOver(record.key);
    if (!mine || mine.width !== record.width || mine.height !== record.height) return;
    try {
      if (sameEdit(mine, record)) return forget(record.key); // it reached the server after all
      document.replace(mine, "Unsaved edits restored");
    } catch {
      forget(record.key); // damaged: nothing to restore
      return;
    }
    if (mine.revision === record.revision) {
      this.editor.say("Edits that could not be saved before were restored.");
    } else {
      saver.conflictWith(record, "This photo was changed elsewhere while this browser held edits that could not be saved.");
    }
  }

  #changed(document, change) {
    const { editor } = this;
    if (document !== editor.doc) return;
    document.selection = document.selection.filter((id) => document.find(id));
    editor.canvas.refresh();
    editor.tool.sync?.();
    editor.emit("edit", change);
    editor.emit("selection");
    editor.emit("tool");
  }
}
