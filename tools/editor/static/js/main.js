// The page: session, panels, keyboard, the first photo.
import { actionsOf } from "./actions.js";
import { api, ApiError } from "./api.js";
import { ask, Toasts } from "./dialogs.js";
import { el, fill, icon } from "./dom.js";
import { Editor } from "./editor.js";
import { expose } from "./hook.js";
import { Keymap, listen } from "./keys.js";
import { AttributeForm } from "./panels/form.js";
import { ProductsPanel } from "./panels/products.js";
import { QueuePanel, STATES } from "./panels/queue.js";
import { ToolRail } from "./panels/rail.js";
import { ReviewPanel } from "./panels/review.js";
import { TopBar } from "./panels/top.js";
import { prefs } from "./prefs.js";
import { setProject } from "./saver.js";
import { showShortcuts } from "./shortcuts.js";

const $ = (id) => document.getElementById(id);

async function start() {
  const session = await api.session();
  setProject(session.project ?? session.title);
  document.title = session.title || "segattr annotate";
  const editor = new Editor($("canvas"), session);
  const toasts = new Toasts($("toast"));
  editor.on("say", (message) => toasts.show(message));
  editor.on("busy", () => ($("busy").hidden = editor.waiting === 0));
  editor.on("opening", () => document.body.classList.add("opening"));
  editor.on("document", () => document.body.classList.remove("opening"));

  const panels = {
    queue: new QueuePanel(editor, $("queue")),
    top: new TopBar(editor, $("top")),
    rail: new ToolRail(editor, { rail: $("rail"), options: $("options"), hint: $("hint") }),
    products: new ProductsPanel(editor, $("products")),
    form: new AttributeForm(editor, $("form")),
    review: new ReviewPanel(editor, $("review"), $("banner")),
    exporting: () => exporting(editor),
    shortcuts: () => showShortcuts(keymap),
  };
  const actions = actionsOf(editor, panels);
  const keymap = new Keymap(actions);
  for (const action of actions) editor.actions.set(action.name, action);
  editor.keymap = keymap;
  for (const name of ["top", "rail", "products", "form", "review"]) panels[name].build();
  listen(editor, keymap, { digit: (n) => panels.form.digit(n) });
  expose(editor, keymap);
  leaving(editor);
  editor.input.cursor();

  await panels.queue.load();
  const wanted = new URLSearchParams(location.hash.slice(1)).get("photo");
  const first = wanted ?? panels.queue.photos.find((photo) => photo.state !== "accepted" && photo.state !== "rejected")?.key ?? panels.queue.keys[0];
  editor.on("document", (key) => history.replaceState(null, "", `#photo=${encodeURIComponent(key)}`));
  if (first) await panels.queue.open(first);
  else editor.say("There are no photos here.");
  if (session.problems?.length) tellProblems(session.problems);
}

/** Files of the project that could not be read: said once, never passed over. */
function tellProblems(problems) {
  ask({
    title: "Some files could not be read",
    body: [el("p", {}, "Their photos are not in the queue. Nothing of them is overwritten."), el("ul", {}, problems.slice(0, 50).map((text) => el("li", {}, String(text))))],
    choices: [{ value: "close", text: "Close", primary: true }],
  });
}

async function exporting(editor) {
  const chosen = new Set(prefs.get("states"));
  const { counts } = editor.queue;
  const boxes = STATES.map(([state, text]) => {
    const box = el("input", { type: "checkbox", checked: chosen.has(state), on: { change: () => (box.checked ? chosen.add(state) : chosen.delete(state)) } });
    return el("label", { class: "check" }, box, `${text} `, el("span", { class: "quiet" }, String(counts[state] ?? 0)));
  });
  const answer = await ask({
    title: "Export to COCO",
    body: [el("p", {}, "Photos of which states are to be in the file that training reads?"), boxes],
    choices: [{ value: "cancel", text: "Cancel" }, { value: "export", text: "Export", primary: true }],
  });
  if (answer !== "export") return;
  const states = STATES.map(([state]) => state).filter((state) => chosen.has(state));
  if (!states.length) return editor.say("Choose at least one state.", { kind: "bad" });
  prefs.set("states", states);
  await editor.finishTool();
  await Promise.all(editor.opener.savers.map((saver) => saver.flush()));
  const done = await editor.waitFor(api.export(states));
  if (done) editor.say(`Exported ${done.photos} photos with ${done.annotations} products to ${done.path}`);
}

function leaving(editor) {
  const unsaved = () => editor.opener.savers.filter((saver) => saver.dirty || saver.state === "saving");
  const written = () => document.activeElement?.blur?.(); // what stands in a field becomes an edit
  window.addEventListener("pagehide", () => {
    written();
    unsaved().forEach((saver) => saver.leave());
  });
  document.addEventListener("visibilitychange", () => document.hidden && unsaved().forEach((saver) => saver.flush()));
  window.addEventListener("beforeunload", (event) => {
    written();
    unsaved().forEach((saver) => saver.flush());
    if (unsaved().some((saver) => ["failed", "conflict", "gone"].includes(saver.state) && !saver.kept)) event.preventDefault();
  });
}

start().catch((error) => {
  const text = error instanceof ApiError ? error.message : `The editor could not start: ${error.message}`;
  fill($("banner"), icon("warn"), el("div", {}, el("p", {}, el("strong", {}, text))));
  $("banner").hidden = false;
  if (!(error instanceof ApiError)) throw error;
});
