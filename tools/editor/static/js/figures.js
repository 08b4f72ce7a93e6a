/** Times of what the person waits for, for the tests' report: ms, and frames of the last stroke. */
export class Figures {
  openMs = null; // from the choice of a photo to its first frame with masks
  stroke = null; // {frames, ms, fps, longestMs, commitMs}
  clickMs = null;
  #running = null;

  strokeBegins() {
    const running = (this.#running = { began: performance.now(), last: performance.now(), frames: 0, longestMs: 0 });
    const tick = (now) => {
      if (this.#running !== running) return;
      running.frames++;
      running.longestMs = Math.max(running.longestMs, now - running.last);
      running.last = now;
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  /** commitBegan: when the pointer was lifted; the commit is over when its frame is drawn. */
  strokeEnds(commitBegan) {
    const running = this.#running;
    this.#running = null;
    if (!running) return;
    const ms = commitBegan - running.began;
    const { frames, longestMs } = running;
    const stroke = { frames, ms, fps: ms ? (1000 * frames) / ms : 0, longestMs, commitMs: null };
    this.stroke = stroke;
    requestAnimationFrame(() => setTimeout(() => (stroke.commitMs = performance.now() - commitBegan)));
  }

  click(ms) {
    this.clickMs = ms;
  }
}
