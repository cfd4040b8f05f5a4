// A run while it trains, and afterwards: its curves, and what it made of a few sentences at each evaluation.

import { ask, Stale } from "./ask.js";
import { curves, guessBars, html, maps, multiples } from "./draw.js";
import { figure, joined } from "./views.js";

const COLOURS = ["blue", "orange", "ink", "soft"];
let last = null, timer = null, playing = null;

export async function watch(page, into) {
  const look = page.watching ??= { at: null, probe: 0 };
  clearTimeout(timer);
  let answer;
  try {
    answer = await ask("view", `/api/watch?probe=${look.probe}${look.at === null ? "" : `&step=${look.at}`}`);
  } catch (error) {
    if (error instanceof Stale) throw error;
    answer = { ...(last ?? { training: [], held_out: [], tasks: {}, steps: [], probes: [], step: null, shown: null }), message: error.message };
  }
  if (answer.training.length || !last) last = answer;
  else answer = { ...last, message: answer.message };
  const { steps, step, shown } = answer, index = steps.indexOf(step);
  const title = `How ${answer.name} learns: ${answer.unigram_loss ? "the loss of guessing hidden words" : "its loss"}`;
  const floors = [["guessing by frequency", answer.unigram_loss], ["blind guessing", answer.ln_vocabulary], ["nobody can do better", answer.best_loss]].filter(([, y]) => y).map(([name, y]) => ({ name, y }));
  const svg = curves([{ name: "training", colour: "soft", points: answer.training }, { name: "held-out text", colour: "blue", dots: true, points: answer.held_out }],
    floors, step, title, { x: "steps", y: "loss in nats" });
  const go = (i) => { look.at = i >= steps.length - 1 ? null : steps[i]; page.refresh(); };
  const slider = html("input", { type: "range", min: 0, max: Math.max(0, steps.length - 1), value: Math.max(0, index), "aria-label": "Evaluation",
    oninput: (event) => { stop(); go(+event.target.value); } });
  const play = html("button", { type: "button", "aria-label": playing ? "Stop" : "Play", onclick: () => {
    if (playing) { stop(); return page.refresh(); }
    look.at = steps[0] ?? null;
    playing = setInterval(() => { if (page.tab !== "watch" || look.at === null) stop(); else go(last.steps.indexOf(look.at) + 1); }, 900);
    page.refresh();
  } }, playing ? "Stop" : "Play");
  const when = step === null ? "no evaluation yet" : `after step ${step.toLocaleString("en")}`;
  const figures = [figure(title, svg, { before: html("div", { class: "bar" }, play, slider, html("span", { id: "when" }, when)), after: [
    answer.unigram_loss ? html("p", {}, "Below the loss of guessing by frequency the model uses the context; at it, it knows only which words are common.") : null,
    answer.message ? html("p", { class: "why", role: "status" }, answer.message) : null] })];
  const tasks = Object.entries(answer.tasks);
  if (tasks.length > 1) {
    const name = `How often ${answer.name} is right, on held-out text`;
    const series = tasks.map(([task, points], i) => ({ name: task, colour: COLOURS[i % COLOURS.length], dots: true, points }));
    figures.push(figure(name, curves(series, [], step, name, { x: "steps", y: "right, in %" }), {}));
  }
  if (shown) {
    const words = shown.guesses.map(([word, probability]) => ({ word, probability }));
    const gap = joined(shown.tokens.slice(1, -1).map((token, t) => (t + 1 === shown.position ? "▁▁▁" : token)));
    const name = `“${gap}” ${when}`, picker = html("label", { class: "pick" }, "Sentence", html("select", { onchange: (event) => { look.probe = +event.target.value; page.refresh(); } },
      answer.probes.map((text, i) => html("option", { value: i, selected: i === shown.probe }, text))));
    figures.push(figure(name, guessBars({ words, truth: shown.truth, position: shown.position }, name), { before: picker, after: html("p", {}, "Hidden: ", html("strong", {}, shown.truth),
      ", probability ", html("strong", {}, `${(100 * shown.probability).toFixed(1)} %`), ".") }));
    const heads = `Where the heads look ${when}`;
    figures.push(figure(heads, multiples(maps(shown.maps), null, () => {}, heads), { after: html("p", {}, shown.tokens.join(" ")) }));
  }
  into.replaceChildren(html("div", { class: "grid left" }, figures));
  timer = setTimeout(() => page.tab === "watch" && !playing && page.refresh(), 2000);
}

function stop() {
  clearInterval(playing);
  playing = null;
}
