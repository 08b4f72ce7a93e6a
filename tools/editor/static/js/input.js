// Mouse, touch pad, touch screen and pen on the canvas: what pans and zooms is handled here, the rest goes to the tool.

const LINE_PX = 16;
const GESTURE_MS = 250;

export class CanvasInput {
  #touches = new Map();
  #gesture = null; // {kind: "pan" | "pinch" | "tool", id}
  #penSeen = false;
  #wheel = { kind: null, until: 0 };
  #corner = null;

  /** editor: {canvas, tool, wheelPref(), pick(point)} */
  constructor(editor) {
    this.editor = editor;
    this.spaceHeld = false;
    const { container } = editor.canvas;
    container.addEventListener("pointerdown", (event) => this.#down(event));
    container.addEventListener("pointermove", (event) => this.#move(event));
    container.addEventListener("pointerup", (event) => this.#up(event));
    container.addEventListener("pointercancel", (event) => this.#cancel(event));
    container.addEventListener("pointerleave", () => !this.#gesture && editor.tool.leaveCanvas?.());
    container.addEventListener("wheel", (event) => this.#onWheel(event), { passive: false });
    container.addEventListener("contextmenu", (event) => event.preventDefault());
    container.addEventListener("dblclick", (event) => editor.tool.double?.(this.#point(event)));
    window.addEventListener("blur", () => this.hold(false));
  }

  /** The space bar went down or up. */
  hold(held) {
    this.spaceHeld = held;
    this.cursor();
  }

  /** Leave the stroke that is being drawn undone. */
  abort() {
    this.#interrupt();
    this.#gesture = null;
    this.cursor();
  }

  cursor() {
    const panning = this.#gesture?.kind === "pan";
    this.editor.canvas.container.dataset.cursor = panning ? "grabbing" : this.spaceHeld ? "grab" : this.editor.tool.cursor;
  }

  get busy() {
    return this.#gesture?.kind === "tool";
  }

  #local(event) {
    this.#corner = this.editor.canvas.container.getBoundingClientRect();
    return [event.clientX - this.#corner.left, event.clientY - this.#corner.top];
  }

  /** A point: x, y photo px; sx, sy screen px; invert: the other button, Alt, or a pen's eraser end. */
  #point(event) {
    const [sx, sy] = this.#local(event);
    const [x, y] = this.editor.canvas.toPhoto(sx, sy);
    const other = event.button === 2 || (event.buttons & 34) !== 0 || event.altKey;
    return { x, y, sx, sy, invert: other, shift: event.shiftKey, ctrl: event.ctrlKey || event.metaKey, alt: event.altKey };
  }

  #down(event) {
    const { editor } = this;
    document.activeElement?.blur?.();
    event.preventDefault();
    if (event.pointerType === "pen") this.#penSeen = true;
    if (event.pointerType === "touch") {
      this.#touches.set(event.pointerId, this.#local(event));
      if (this.#touches.size === 2) {
        if (this.#gesture?.kind === "tool") this.#interrupt();
        this.#gesture = { kind: "pinch" };
        return;
      }
    }
    if (this.#gesture) return;
    try {
      editor.canvas.container.setPointerCapture(event.pointerId);
    } catch {
      // a pointer that is already gone
    }
    const pans = event.button === 1 || this.spaceHeld || (event.pointerType === "touch" && this.#penSeen);
    const [sx, sy] = this.#local(event);
    this.#gesture = { kind: pans ? "pan" : "tool", id: event.pointerId, sx, sy };
    if (!pans) {
      const point = this.#point(event);
      if (point.ctrl && editor.tool.name !== "select") {
        editor.pick(point, point.shift);
        this.#gesture = null;
      } else if (editor.tool.down(point) === "pan") {
        this.#gesture.kind = "pan";
        this.#gesture.loose = true; // becomes a click where it does not move
      }
    }
    this.cursor();
  }

  #move(event) {
    const { editor } = this;
    const gesture = this.#gesture;
    if (gesture?.kind === "pinch") return this.#pinch(event);
    if (gesture && gesture.id !== event.pointerId) return;
    if (!gesture) return editor.tool.hover?.(this.#point(event));
    if (gesture.kind === "pan") {
      const [sx, sy] = this.#local(event);
      if (gesture.loose && Math.hypot(sx - gesture.sx, sy - gesture.sy) < 4) return;
      gesture.loose = false;
      editor.canvas.pan(sx - gesture.sx, sy - gesture.sy);
      [gesture.sx, gesture.sy] = [sx, sy];
      return;
    }
    const events = event.getCoalescedEvents?.() ?? [];
    editor.tool.move?.((events.length ? events : [event]).map((one) => this.#point(one)));
  }

  #pinch(event) {
    if (!this.#touches.has(event.pointerId) || this.#touches.size !== 2) return;
    const middle = () => {
      const [[ax, ay], [bx, by]] = this.#touches.values();
      return [(ax + bx) / 2, (ay + by) / 2, Math.hypot(ax - bx, ay - by)];
    };
    const [x0, y0, apart0] = middle();
    this.#touches.set(event.pointerId, this.#local(event));
    const [x1, y1, apart1] = middle();
    this.editor.canvas.pan(x1 - x0, y1 - y0);
    if (apart0 > 0) this.editor.canvas.zoomAt(x1, y1, apart1 / apart0);
  }

  #up(event) {
    this.#touches.delete(event.pointerId);
    const gesture = this.#gesture;
    if (gesture?.kind === "pinch") {
      if (this.#touches.size === 0) this.#gesture = null;
      return;
    }
    if (!gesture || gesture.id !== event.pointerId) return;
    this.#gesture = null;
    const point = this.#point(event);
    if (gesture.kind === "tool") this.editor.tool.up?.(point);
    else if (gesture.loose) this.editor.tool.click?.(point);
    this.cursor();
  }

  #cancel(event) {
    this.#touches.delete(event.pointerId);
    if (this.#gesture?.id === event.pointerId && this.#gesture.kind === "tool") this.#interrupt();
    if (!this.#touches.size) this.#gesture = null;
    this.cursor();
  }

  /** A gesture that a tool has begun turns out to be another one. */
  #interrupt() {
    const { tool } = this.editor;
    if (tool.interrupt) tool.interrupt();
    else tool.cancel?.();
  }

  /** Pinching on a touch pad comes as Ctrl + wheel. Without Ctrl a mouse wheel zooms and two fingers pan; which of
   *  both it is shows in the first event of a gesture (a mouse turns in whole notches), and can be set. */
  #onWheel(event) {
    event.preventDefault();
    const [sx, sy] = this.#local(event);
    const unit = event.deltaMode === 1 ? LINE_PX : event.deltaMode === 2 ? 400 : 1;
    const [dx, dy] = [event.deltaX * unit, event.deltaY * unit];
    const chosen = this.editor.wheelPref();
    if (chosen !== "auto") {
      this.#wheel = { kind: chosen, until: 0 };
    } else if (performance.now() > this.#wheel.until) {
      const notches = event.deltaMode !== 0 || (event.deltaX === 0 && Math.abs(event.deltaY) >= 50);
      this.#wheel.kind = notches ? "zoom" : "pan";
    }
    this.#wheel.until = performance.now() + GESTURE_MS;
    if (event.ctrlKey || event.metaKey) this.editor.canvas.zoomAt(sx, sy, Math.exp(-dy * 0.01));
    else if (event.shiftKey || this.#wheel.kind === "pan") {
      this.editor.canvas.pan(...(event.shiftKey && !dx ? [-dy, 0] : [-dx, -dy]));
    } else this.editor.canvas.zoomAt(sx, sy, Math.exp(-Math.sign(dy) * Math.min(Math.abs(dy), 120) * 0.0017));
  }
}
