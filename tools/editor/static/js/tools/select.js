import { el } from "../dom.js";

/** Choose products, move the photo. */
export class SelectTool {
  name = "select";
  icon = "select";
  title = "Select and move";
  cursor = "default";

  constructor(editor) {
    this.editor = editor;
  }

  hint() {
    return ["Click a product to select it, Shift+click for several. Drag to move the photo."];
  }

  options() {
    return [el("span", { class: "quiet" }, "Drag moves the photo, wheel or pinch zooms")];
  }

  down() {
    return "pan";
  }

  click(point) {
    this.editor.pick(point, point.shift || point.ctrl);
  }
}
