"use strict";
const $ = (id) => document.getElementById(id);
const main = document.querySelector("main");
// "cafe" finds "Café".
const plain = (text) => text.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "");
const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
const cards = [...main.querySelectorAll(".card")].map((node, order) => ({
  node, order,
  sure: Number(node.dataset.sure),
  text: plain(node.dataset.text),
  // What a filter looks at: one set of facet tokens a product; a photo without products is one empty product.
  products: [...node.querySelectorAll("[data-f]")].map((part) => ({ part, tokens: new Set(part.dataset.f.split(" ")) })),
}));
const facets = [...document.querySelectorAll(".facet")].map((node) => ({
  node, token: node.dataset.f, group: node.dataset.f.split(".")[0], count: node.querySelector("b"),
}));
const chosen = new Map(); // group -> set of tokens; within a group any, across groups all

const fits = (tokens, exceptGroup) =>
  [...chosen].every(([group, wanted]) => group === exceptGroup || [...wanted].some((token) => tokens.has(token)));

function apply() {
  const words = plain($("text").value).split(/\s+/).filter(Boolean);
  let shown = 0, products = 0;
  const inText = cards.filter((card) => words.every((word) => card.text.includes(word)));
  const open = new Set(inText);
  for (const card of cards) {
    let some = false;
    for (const { part, tokens } of card.products) {
      const fit = fits(tokens);
      part.classList.toggle("dim", !fit);
      some ||= fit;
      if (fit && open.has(card) && part.classList.contains("product")) products += 1;
    }
    card.node.hidden = !(some && open.has(card));
    shown += !card.node.hidden;
  }
  for (const facet of facets) {
    let count = 0;
    for (const card of inText) for (const { tokens } of card.products) count += tokens.has(facet.token) && fits(tokens, facet.group);
    facet.count.textContent = count;
    facet.node.classList.toggle("none", !count);
  }
  const narrowed = chosen.size > 0 || words.length > 0;
  $("shown").textContent = narrowed ? `${shown} of ${counted(cards.length, "photo")}, ${counted(products, "product")}` : counted(cards.length, "photo");
  $("clear").hidden = !narrowed;
  $("empty").hidden = shown > 0;
}

function sort() {
  const by = { order: (a, b) => a.order - b.order, least: (a, b) => a.sure - b.sure, most: (a, b) => b.sure - a.sure }[$("sort").value];
  main.append(...[...cards].sort((a, b) => by(a, b) || a.order - b.order).map((card) => card.node));
}

for (const { node, token, group } of facets)
  node.addEventListener("click", () => {
    const wanted = chosen.get(group) ?? new Set();
    wanted.has(token) ? wanted.delete(token) : wanted.add(token);
    wanted.size ? chosen.set(group, wanted) : chosen.delete(group);
    node.setAttribute("aria-pressed", wanted.has(token));
    apply();
  });
$("text").addEventListener("input", apply);
$("sort").addEventListener("change", sort);
$("clear").addEventListener("click", () => {
  chosen.clear();
  $("text").value = "";
  for (const { node } of facets) node.setAttribute("aria-pressed", false);
  apply();
});
const views = [...document.querySelectorAll("[data-view]")].filter((node) => node !== document.body);
for (const button of views)
  button.addEventListener("click", () => {
    document.body.dataset.view = button.dataset.view;
    for (const other of views) other.setAttribute("aria-pressed", other === button);
  });
// A product under the pointer lifts its own outline out of the others.
main.addEventListener("mouseover", (event) => {
  for (const old of main.querySelectorAll(".pick")) {
    old.classList.remove("pick");
    old.querySelector(".on")?.classList.remove("on");
  }
  const product = event.target.closest(".product[data-n]");
  if (!product) return;
  const card = product.closest(".card");
  card.classList.add("pick");
  card.querySelector(`g[data-n="${product.dataset.n}"]`)?.classList.add("on");
});
if (matchMedia("(max-width:900px)").matches) $("facets").open = false;
apply();
sort();
