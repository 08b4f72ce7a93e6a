// Saves a document after each edit. What the server does not take stays in memory and in this browser's storage.
import { api, ApiError } from "./api.js";
import { Emitter } from "./events.js";

const WAIT_MS = 300;
const RETRY_MS = [2000, 5000, 10000, 30000];
const RETRIED = new Set([0, 500, 502, 503, 504, 507]);

let project = "segattr";
export function setProject(id) {
  project = id;
}

const place = (key) => `segattr.unsaved.${project}.${key}`;

/** The record that an earlier page could not save, or null. */
export function leftOver(key) {
  try {
    return JSON.parse(localStorage.getItem(place(key)) ?? "null");
  } catch {
    return null;
  }
}

export function forget(key) {
  try {
    localStorage.removeItem(place(key));
  } catch {
    // no storage: nothing to forget
  }
}

function keep(record) {
  try {
    localStorage.setItem(place(record.key), JSON.stringify(record));
    return true;
  } catch {
    return false;
  }
}

/** state: saved | waiting | saving | failed | conflict | gone. detail: the server's sentence. */
export class Saver extends Emitter {
  #timer = 0;
  #running = null;
  #tries = 0;

  constructor(document) {
    super();
    Object.assign(this, { document, state: "saved", detail: "", kept: false, dirty: false, conflict: null });
    document.on("change", () => this.touch());
  }

  touch() {
    this.dirty = true;
    if (this.state === "conflict" || this.state === "gone") {
      this.kept = keep(this.document.toRecord());
      return;
    }
    if (!this.#running && this.state !== "failed") this.#say("waiting");
    if (this.state === "failed") this.kept = keep(this.document.toRecord());
    this.#later(WAIT_MS);
  }

  /** Save what is not saved yet, now. */
  async flush() {
    clearTimeout(this.#timer);
    while (this.#running) await this.#running;
    if (this.dirty && this.state !== "conflict" && this.state !== "gone") await this.#save();
  }

  /** Try again, also what the server refused for good: the photo may be back. */
  retry() {
    if (this.state === "gone") this.#say("waiting");
    return this.flush();
  }

  /** The page goes away: what is not saved is kept in the browser, and sent as far as a browser still sends. */
  leave() {
    if (!this.dirty) return;
    const record = this.document.toRecord();
    this.kept = keep(record);
    if (this.state !== "conflict" && this.state !== "gone" && JSON.stringify(record).length < 60000) {
      api.save(record, { keepalive: true }).then(() => forget(record.key), () => {});
    }
  }

  /** After a conflict: mine over theirs (true) or theirs instead of mine (an edit that can be undone). */
  resolve(overwrite) {
    const { record } = this.conflict;
    this.conflict = null;
    this.#say("waiting");
    if (overwrite) {
      this.document.base = record.revision;
      this.dirty = true;
    } else {
      this.document.replace(record, "Loaded the other version");
      this.dirty = false;
      clearTimeout(this.#timer);
      forget(this.document.key);
      this.#say("saved");
      return Promise.resolve();
    }
    return this.flush();
  }

  /** There is another version of the photo: the person has to say which one stays. */
  conflictWith(record, detail) {
    clearTimeout(this.#timer);
    this.dirty = true;
    this.conflict = { record, detail };
    this.#say("conflict", detail);
  }

  #later(wait) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), wait);
  }

  #say(state, detail = "") {
    Object.assign(this, { state, detail });
    this.emit("state", this);
  }

  #save() {
    this.#running = this.#put().finally(() => {
      this.#running = null;
      if (this.dirty && this.state === "waiting") this.#later(WAIT_MS);
    });
    return this.#running;
  }

  async #put() {
    const record = this.document.toRecord();
    this.dirty = false;
    this.#say("saving");
    try {
      const { revision } = await api.save(record);
      this.document.base = revision;
      this.#tries = 0;
      forget(record.key);
      this.kept = false;
      this.#say(this.dirty ? "waiting" : "saved");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#refused(error);
    }
  }

  #refused(error) {
    this.dirty = true;
    this.kept = keep(this.document.toRecord());
    if (error.status === 409 && sameEdit(this.document.toRecord(), error.body.record)) {
      this.document.base = error.body.record.revision; // our own edit, saved before the answer was lost
      this.dirty = false;
      forget(this.document.key);
      this.#say("saved");
    } else if (error.status === 409) {
      this.conflictWith(error.body.record, error.message);
    } else if (error.status === 410) {
      this.#say("gone", error.message);
    } else {
      this.#say("failed", error.message);
      if (RETRIED.has(error.status)) this.#later(RETRY_MS[Math.min(this.#tries++, RETRY_MS.length - 1)]);
    }
  }
}

/** Whether two records say the same of the photo. */
export function sameEdit(mine, theirs) {
  const told = ({ state, comment, instances }) =>
    JSON.stringify([state, comment, instances.map((one) => [one.id, one.category, one.attributes, one.segmentation.counts])]);
  return theirs !== undefined && told(mine) === told(theirs);
}
