// What a person chose, kept in this browser. A browser that keeps nothing (private windows) still works.
import { Emitter } from "./events.js";

const DEFAULTS = {
  brightness: 35, // of the masks, percent
  brushSize: null, // photo px; null: by the first photo's size
  detail: null, // tolerance of editable outlines, photo px
  wheel: "auto", // auto | zoom | pan
  advance: true, // after a single choice on to the next field
  keys: {}, // action -> combos, where they differ from the defaults
  queueOpen: true,
  states: ["accepted"],
};

class Prefs extends Emitter {
  #values = { ...DEFAULTS };

  constructor() {
    super();
    try {
      const stored = JSON.parse(localStorage.getItem("segattr.prefs") ?? "{}");
      for (const key of Object.keys(DEFAULTS)) if (key in stored) this.#values[key] = stored[key];
    } catch {
      // unreadable: the defaults
    }
  }

  get(key) {
    return this.#values[key];
  }

  set(key, value) {
    this.#values[key] = value;
    try {
      localStorage.setItem("segattr.prefs", JSON.stringify(this.#values));
    } catch {
      // full or forbidden: it lasts as long as the page
    }
    this.emit(key, value);
  }
}

export const prefs = new Prefs();
