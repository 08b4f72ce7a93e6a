import { button, el } from "./dom.js";

/** A dialog of nodes; resolves with the value of the button that closed it, null by Esc (where `must` is not set).
 *  choices: [{value, text, primary, danger}] */
export function ask({ title, body, choices = [], must = false, wide = false }) {
  return new Promise((resolve) => {
    const titleId = `dialog-${Math.random().toString(36).slice(2)}`;
    const dialog = el("dialog", { class: wide ? "wide" : "", "aria-labelledby": titleId });
    const close = (value) => {
      dialog.close();
      dialog.remove();
      resolve(value);
    };
    const buttons = choices.map(({ value, text, primary, danger }) =>
      el("button", {
        type: "button", class: primary ? "primary" : danger ? "danger" : "", autofocus: Boolean(primary),
        data: { choice: String(value) }, on: { click: () => close(value) },
      }, text));
    dialog.append(el("h2", { id: titleId }, title), el("div", { class: "body" }, body), el("div", { class: "choices" }, buttons));
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      if (!must) close(null);
    });
    dialog.addEventListener("click", (event) => event.target === dialog && !must && close(null));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Passing messages at the foot of the photo. */
export class Toasts {
  #node;
  #timer = 0;

  constructor(node) {
    this.#node = node;
  }

  show({ text, action, kind = "", brief = false }) {
    clearTimeout(this.#timer);
    const parts = [el("span", {}, text)];
    if (action) {
      parts.push(button({
        class: "link",
        on: {
          click: () => {
            this.hide();
            action.run();
          },
        },
      }, action.text));
    }
    this.#node.replaceChildren(...parts);
    this.#node.className = `toast ${kind}`;
    this.#node.hidden = false;
    this.#timer = setTimeout(() => this.hide(), action || kind === "bad" ? 7000 : brief ? 1800 : 4000);
  }

  hide() {
    this.#node.hidden = true;
  }
}
