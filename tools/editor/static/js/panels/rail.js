// The tools, what the chosen one can be told, and what it does.
import { button, el, fill, icon, kbd } from "../dom.js";

const SHORT = { select: "Select", brush: "Brush", eraser: "Eraser", polygon: "Polygon", outline: "Vertices", smart: "Click", cut: "Split" };

export class ToolRail {
  constructor(editor, { rail, options, hint }) {
    Object.assign(this, { editor, rail, options, hint });
  }

  build() {
    const { editor } = this;
    this.buttons = editor.tools.map((tool) => {
      const node = button({ class: "rail-tool", data: { tool: tool.name }, on: { click: () => editor.useTool(tool.name) } });
      return [tool, node];
    });
    fill(this.rail, this.buttons.map(([, node]) => node));
    editor.on("tool", () => this.draw());
    editor.on("document", () => this.draw());
    editor.keymap.on("change", () => this.#keys());
    this.#keys();
    this.draw();
  }

  #keys() {
    for (const [tool, node] of this.buttons) {
      const key = this.editor.keyHint(`tool.${tool.name}`);
      node.title = key ? `${tool.title}  (${key})` : tool.title;
      fill(node, icon(tool.icon), el("span", {}, SHORT[tool.name]), key && kbd(key));
    }
    this.draw();
  }

  draw() {
    const { tool, doc } = this.editor;
    for (const [one, node] of this.buttons) node.setAttribute("aria-pressed", one === tool);
    // A slider that is being moved is left alone.
    if (!this.options.contains(document.activeElement) || document.activeElement.type !== "range") {
      fill(this.options, el("strong", {}, tool.title), tool.options?.() ?? []);
    }
    const [first, second] = doc ? tool.hint() : [];
    fill(this.hint, first && el("span", {}, first), second && el("span", { class: "quiet" }, second));
  }
}
