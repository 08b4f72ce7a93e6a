// A photo being edited: snapshots that share what did not change, in one undo and redo stack.
import { Emitter } from "./events.js";
import { Region } from "./region.js";

const DEPTH = 1000;

/** An instance: {id, category, attributes, region, iscrowd, score, probabilities, extra}; never changed in place. */
function instanceOf(json, width, height) {
  const region = json.segmentation ? new Region(json.segmentation) : Region.empty(width, height);
  const { segmentation, ...rest } = json;
  return Object.freeze({ ...rest, attributes: rest.attributes ?? {}, region });
}

export class PhotoDocument extends Emitter {
  /** record: a photo record of the server. */
  constructor(record) {
    super();
    const { key, file_name: fileName, width, height, missing } = record;
    Object.assign(this, { key, fileName, width, height, missing });
    this.base = record.revision; // the server's revision that the next save is based on
    this.stack = [{ label: "opened", ...this.#snapshot(record) }];
    this.at = 0;
    this.selection = [];
  }

  #snapshot(record) {
    return {
      instances: record.instances.map((one) => instanceOf(one, this.width, this.height)),
      state: record.state,
      comment: record.comment ?? "",
    };
  }

  get now() {
    return this.stack[this.at];
  }

  get instances() {
    return this.now.instances;
  }

  get undoDepth() {
    return this.at;
  }

  get redoDepth() {
    return this.stack.length - 1 - this.at;
  }

  get undoLabel() {
    return this.at ? this.now.label : null;
  }

  get redoLabel() {
    return this.stack[this.at + 1]?.label ?? null;
  }

  find(id) {
    return this.instances.find((one) => one.id === id);
  }

  /** Ids are never used twice in a photo's undo stack: the server tells by them which annotation is which. */
  nextId() {
    return 1 + Math.max(0, ...this.stack.flatMap((snapshot) => snapshot.instances.map((one) => one.id)));
  }

  /** One whole edit. changes: {instances?, state?, comment?}. */
  commit(label, changes) {
    this.stack.length = this.at + 1;
    this.stack.push({ ...this.now, ...changes, label });
    if (this.stack.length > DEPTH) this.stack.shift();
    this.at = this.stack.length - 1;
    this.emit("change", { label, kind: "commit" });
  }

  /** Replace one instance; dropped where it is null, added where its id is new. */
  commitInstance(label, id, instance) {
    const frozen = instance && Object.freeze(instance);
    const known = this.find(id);
    const instances = known
      ? this.instances.map((one) => (one.id === id ? frozen : one)).filter(Boolean)
      : [...this.instances, frozen];
    this.commit(label, { instances });
  }

  undo() {
    if (!this.at) return null;
    const { label } = this.now;
    this.at--;
    this.emit("change", { label, kind: "undo" });
    return label;
  }

  redo() {
    if (!this.redoDepth) return null;
    this.at++;
    this.emit("change", { label: this.now.label, kind: "redo" });
    return this.now.label;
  }

  /** Take over another version of the photo, as an edit that can be undone. */
  replace(record, label) {
    this.base = record.revision;
    this.commit(label, this.#snapshot(record));
  }

  /** The record that the server takes. */
  toRecord() {
    const instances = this.instances.map(({ region, ...rest }) => ({ ...rest, segmentation: region.rle }));
    const { state, comment } = this.now;
    return {
      key: this.key, file_name: this.fileName, width: this.width, height: this.height, revision: this.base,
      state, comment, touched: true, instances,
    };
  }
}
