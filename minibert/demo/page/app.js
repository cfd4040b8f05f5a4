// The page: sentences above, one view below. What is asked and shown follows from this one object.

import * as analyses from "./analyses.js";
import { ask, Stale } from "./ask.js";
import { html } from "./draw.js";
import { Sentence } from "./sentence.js";
import * as views from "./views.js";
import { watch } from "./watch.js";

const by = (id) => document.getElementById(id);
const TABS = [["guesses", "Guesses", true], ["layers", "Layers", true], ["attention", "Attention", false], ["heads", "Heads", true], ["attribution", "Attribution", true],
  ["neighbours", "Neighbours", false], ["rollout", "Rollout", false], ["pruning", "Pruning", true]];
const OF_THE_WORLD = [["truth", "Truth", true], ["tree", "Trees", false]];  // of a language whose truth is known
const OF_BRANCHES = [["exits", "Early exit", false]];  // of a model that texts can leave early
const OF_TWO = [["beside", "Side by side", true]];  // where there is a second model
const OF_ALL = ["guesses", "exits"];  // tabs that show every sentence, and not the active one alone
const SHOWN = { ...views, ...analyses, watch };

const page = {
  sentences: [], active: null, model: null, details: false, off: [], mask: 0, word: null, steps: 32, near: null, reveal: true, tab: "guesses", turn: 0,

  say(words) { by("readout").textContent = words; },

  fail(error) {
    if (error instanceof Stale) return;
    by("view").classList.remove("waiting");
    by("view").replaceChildren(html("p", { class: "why", role: "alert" }, error.message));
  },

  activate(sentence) {
    if (page.active === sentence) return;
    page.active = sentence;
    page.sentences.forEach((s) => s.element.classList.toggle("active", s === sentence));
    if (page.tab !== "guesses") page.refresh();
  },

  async changed(sentence) {
    page.near = null;
    try {
      if (!page.model.why_no_guesses) {
        const asking = sentence.asking = ask(`guesses ${sentence.number}`, "/api/guesses", { ...sentence.body, top: 8 });
        try {
          sentence.guesses = await asking;
        } finally { if (sentence.asking === asking) sentence.asking = null; }
      }
      if (OF_ALL.includes(page.tab) || sentence === page.active) await page.refresh();
    } catch (error) { page.fail(error); }
  },

  async refresh() {
    const turn = ++page.turn, view = by("view"), drawn = html("div"), needs = [...TABS, ...OF_THE_WORLD, ...OF_BRANCHES, ...OF_TWO].find(([name]) => name === page.tab)?.[2];
    view.classList.add("waiting");
    page.say("");
    try {
      if (needs && page.model.why_no_guesses) throw new Error(page.model.why_no_guesses);
      if (needs && page.sentences.some((sentence) => sentence.asking)) return;  // its answer will draw
      await SHOWN[page.tab](page, drawn);
      if (turn !== page.turn) return;
      const focus = keyOf(document.activeElement), open = [...view.querySelectorAll("details")].map((d) => d.open);
      view.replaceChildren(drawn);
      view.querySelectorAll("details").forEach((d, i) => { d.open = open[i] ?? false; });
      if (focus) view.querySelector(focus)?.focus();
      view.classList.remove("waiting");
    } catch (error) { if (turn === page.turn) page.fail(error); }
  },
};

// Where the focus was, so that a view that is drawn anew gives it back.
function keyOf(element) {
  if (!by("view").contains(element)) return null;
  if (element.dataset.row !== undefined) return `[data-row="${element.dataset.row}"][data-column="${element.dataset.column}"]`;
  return element.getAttribute("aria-label") ? `[aria-label="${CSS.escape(element.getAttribute("aria-label"))}"]` : null;
}

function show(tab) {
  page.tab = tab;
  for (const button of by("tabs").children) {
    button.setAttribute("aria-selected", button.dataset.tab === tab);
    button.tabIndex = button.dataset.tab === tab ? 0 : -1;
  }
  by("view").setAttribute("aria-labelledby", `tab-${tab}`);
  by("view").replaceChildren();
  return page.refresh();
}

function tabs() {
  const all = [...(page.model.leaves_early ? OF_BRANCHES : []), ...TABS, ...(page.model.beside ? OF_TWO : []), ...(page.model.world ? OF_THE_WORLD : []), ...(page.model.watching ? [["watch", "Watch it learn", false]] : [])];
  by("tabs").replaceChildren(...all.map(([name, title]) => html("button", { type: "button", role: "tab", id: `tab-${name}`, "data-tab": name, "aria-controls": "view",
    onclick: () => show(name) }, title)));
  by("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const order = [...by("tabs").children], next = order[(order.indexOf(document.activeElement) + step + order.length) % order.length];
    next.focus();
    next.click();
  });
}

async function compare(on, text = null, hide = null) {
  by("compare").setAttribute("aria-pressed", on);
  if (on && page.sentences.length < 2) {
    const second = new Sentence(1, page);
    page.sentences.push(second);
    by("sentences").append(second.element);
  } else if (!on && page.sentences.length > 1) {
    page.sentences.pop().element.remove();
    page.activate(page.sentences[0]);
  }
  if (on) await page.sentences[1].set(text ?? page.sentences[0].text.value, hide ?? page.sentences[0].hide);
  else await page.refresh();
}

function examples() {
  const select = by("examples"), sorts = [["It gets these right", true], ["Instructively wrong", false], ["To look at", null]];
  for (const [title, right] of sorts) {
    const some = page.model.examples.map((example, i) => [example, i]).filter(([example]) => example.right === right);
    if (some.length) select.append(html("optgroup", { label: title }, some.map(([example, i]) => html("option", { value: i }, example.second
      ? `${example.text} / ${example.second.text}` : example.text))));
  }
  select.addEventListener("change", () => select.value !== "" && example(page.model.examples[select.value]));
}

async function example({ text, hide, note, right, second }) {
  by("note").textContent = note;
  by("note").classList.toggle("wrong", right === false);
  by("pair").setAttribute("aria-pressed", false);
  page.off = [];
  page.activate(page.sentences[0]);
  await page.sentences[0].set(text, hide);
  if (second || page.sentences.length > 1) await compare(Boolean(second), second?.text, second?.hide);
}

function switches() {
  by("sentences").addEventListener("input", () => {  // what was said of an example is not said of another sentence
    by("note").textContent = by("examples").value = "";
  });
  by("compare").addEventListener("click", () => compare(page.sentences.length < 2));
  by("pair").addEventListener("click", () => {
    const { pair } = page.active;
    pair.hidden = !pair.hidden;
    by("pair").setAttribute("aria-pressed", !pair.hidden);
    page.active.typed();
    if (!pair.hidden) pair.focus();
  });
  by("details").addEventListener("click", () => {
    page.details = !page.details;
    by("details").setAttribute("aria-pressed", page.details);
    page.sentences.forEach((s) => s.draw());
  });
  by("unmask").addEventListener("click", () => { page.active.hide = []; page.active.draw(); page.changed(page.active); });
  let theme = 0;
  by("theme").addEventListener("click", () => {
    theme = (theme + 1) % 3;
    const name = ["system", "light", "dark"][theme];
    if (theme) document.documentElement.dataset.theme = name; else delete document.documentElement.dataset.theme;
    by("theme").textContent = `Theme: ${name}`;
    page.refresh();
  });
  for (const query of ["(prefers-color-scheme: dark)", "(max-width: 699px)"]) matchMedia(query).addEventListener("change", () => page.refresh());
}

async function documentation() {
  const { endpoints, fields } = await ask("api", "/api");
  const row = (cells, kind = "td") => html("tr", {}, cells.map((cell) => html(kind, {}, cell)));
  by("endpoints").replaceChildren(html("table", {}, row(["", "answers"], "th"), endpoints.map((e) => row([`${e.method} ${e.path}`, e.answers]))),
    html("pre", {}, endpoints.filter((e) => e.command).map((e) => e.command).join("\n")),
    html("table", {}, row(["field", "means"], "th"), Object.entries(fields).map((pair) => row(pair))));
}

async function begin() {
  try {
    page.model = await ask("model", "/api/model");
  } catch (error) { return page.fail(error); }
  const m = page.model, plural = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
  by("model").textContent = `${m.name}: ${plural(m.layers, "layer")} of ${plural(m.heads, "head")}, hidden size ${m.hidden_size}, ${m.vocabulary.toLocaleString("en")} tokens, `
    + `${m.parameters.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 })} parameters, ${m.device}`;
  page.sentences.push(page.active = new Sentence(0, page));
  page.active.element.classList.add("active");
  by("sentences").append(page.active.element);
  tabs();
  examples();
  switches();
  documentation().catch(page.fail);
  page.reveal = true;
  await show(m.leaves_early ? "exits" : m.why_no_guesses ? "attention" : "guesses");
  const first = m.examples.find((e) => e.right && !e.second) ?? m.examples.find((e) => !e.second);
  await (first ? example({ ...first, right: null, note: "Click a word to hide it, or drag across several; type to change the sentence." })
    : page.active.set("the sentence is read as tokens.", []));
  document.body.dataset.ready = "yes";
}

begin();
