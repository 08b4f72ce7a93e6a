// The photo's comment and what is decided about it; why it cannot be shown or saved.
import { ask } from "../dialogs.js";
import { button, el, fill, icon, kbd } from "../dom.js";

export class ReviewPanel {
  #asking = false;

  constructor(editor, node, banner) {
    Object.assign(this, { editor, node, banner });
  }

  build() {
    const { editor } = this;
    this.comment = el("textarea", {
      rows: 2, maxLength: 10000, placeholder: "Comment for the team", "aria-label": "Comment",
      on: {
        change: () => editor.doc && this.comment.value !== editor.doc.now.comment && editor.doc.commit("Comment", { comment: this.comment.value }),
        keydown: (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && this.comment.blur(),
      },
    });
    this.reject = button({ class: "reject", on: { click: () => editor.act("photo.reject") } });
    this.accept = button({ class: "accept primary", on: { click: () => editor.act("photo.accept") } });
    this.again = button({ class: "link", on: { click: () => editor.act("photo.draft") } }, "Back to drafted");
    fill(this.node, this.comment, el("div", { class: "decide" }, this.reject, this.accept), this.again);
    for (const event of ["document", "edit"]) editor.on(event, () => this.draw());
    editor.on("saving", () => this.#saving());
    editor.keymap.on("change", () => this.#keys());
    this.#keys();
    this.draw();
  }

  #keys() {
    const key = (name) => this.editor.keyHint(name) && kbd(this.editor.keyHint(name));
    fill(this.reject, icon("cross"), "Reject", key("photo.reject"));
    fill(this.accept, icon("check"), "Accept", key("photo.accept"));
  }

  draw() {
    const { doc } = this.editor;
    if (document.activeElement !== this.comment || this.shown !== doc) this.comment.value = doc?.now.comment ?? "";
    this.shown = doc;
    const state = doc?.now.state;
    this.accept.setAttribute("aria-pressed", state === "accepted");
    this.reject.setAttribute("aria-pressed", state === "rejected");
    this.again.hidden = state !== "accepted" && state !== "rejected";
    for (const node of [this.comment, this.accept, this.reject]) node.disabled = !doc;
    this.#saving();
  }

  writeComment() {
    this.comment.focus();
    this.comment.select();
  }

  #saving() {
    const { saver, problem } = this.editor;
    const trouble = {
      failed: "This edit is not saved",
      conflict: "This photo was changed elsewhere",
      gone: "The photo is gone or has changed its size",
    }[saver?.state];
    const parts = [];
    if (problem) parts.push(el("p", {}, el("strong", {}, "The photo cannot be shown. "), problem));
    if (trouble) {
      const kept = saver.kept ? " Your edits stay in this browser until they can be saved." : " Keep this page open: this browser could not store your edits.";
      parts.push(el("p", {}, el("strong", {}, `${trouble}: `), saver.detail, kept));
      if (saver.state === "conflict") parts.push(button({ class: "link", on: { click: () => this.#conflict() } }, "Choose a version"));
      else parts.push(button({ class: "link", on: { click: () => saver.retry() } }, "Try again"));
    }
    fill(this.banner, parts.length > 0 && [icon("warn"), el("div", {}, parts)]);
    this.banner.hidden = !parts.length;
    if (saver?.state === "conflict" && !saver.asked) {
      saver.asked = true;
      this.#conflict();
    }
  }

  async #conflict() {
    const { saver } = this.editor;
    if (this.#asking || saver?.state !== "conflict") return;
    this.#asking = true;
    const theirs = saver.conflict.record;
    const mine = saver.document;
    const count = (n) => `${n} ${n === 1 ? "product" : "products"}`;
    const answer = await ask({
      title: "This photo was changed elsewhere",
      body: [
        el("p", {}, "Another window or person saved it after you opened it. Which version is to stay?"),
        el("ul", {}, el("li", {}, `Theirs: ${count(theirs.instances.length)}, ${theirs.state}`), el("li", {}, `Yours: ${count(mine.instances.length)}, ${mine.now.state}`)),
        el("p", { class: "quiet" }, "If you load theirs, undo brings yours back."),
      ],
      choices: [
        { value: "later", text: "Decide later" },
        { value: "overwrite", text: "Overwrite with mine", danger: true },
        { value: "reload", text: "Load theirs", primary: true },
      ],
    });
    this.#asking = false;
    if (answer !== "overwrite" && answer !== "reload") return;
    saver.asked = false;
    await saver.resolve(answer === "overwrite");
  }
}
