// A run while it trains, and afterwards: its curves, and what it made of a few sentences at each evaluation.

import { ask, Stale } from "./ask.js";
import { curves, guessBars, html, multiples } from "./draw.js";
import { figure, joined } from "./views.js";

let last = null, timer = null, playing = null;

export async function watch(page, into) {
  const look = page.watching ??= { at: null, probe: 0 };
  clearTimeout(timer);
  let answer;
  try {
    answer = await ask("view", "/api/watch");
  } catch (error) {
    if (error instanceof Stale) throw error;
    answer = { ...(last ?? { rows: [], evaluations: [], probes: [] }), message: error.message };
  }
  if (answer.rows.length || !last) last = answer;
  else answer = { ...last, message: answer.message };
  const steps = answer.evaluations.map((e) => e.step);
  const index = look.at === null ? steps.length - 1 : Math.min(look.at, steps.length - 1), evaluation = answer.evaluations[index];
  const points = (name) => answer.rows.filter((row) => row[name] !== null).map((row) => [row.step, row[name]]);
  const title = `How ${answer.name} learns: the loss of guessing hidden words`;
  const floors = [["guessing by frequency", answer.unigram_loss], ["blind guessing", answer.ln_vocabulary]].filter(([, y]) => y).map(([name, y]) => ({ name, y }));
  const svg = curves([{ name: "training", colour: "soft", points: points("mlm_loss") }, { name: "held-out text", colour: "blue", dots: true, points: points("held_out_mlm_loss") }],
    floors, evaluation ? evaluation.step : null, title, { x: "steps", y: "loss in nats" });
  const go = (at) => { look.at = at >= steps.length - 1 ? null : at; page.refresh(); };
  const slider = html("input", { type: "range", min: 0, max: Math.max(0, steps.length - 1), value: Math.max(0, index), "aria-label": "Evaluation",
    oninput: (event) => { stop(); go(+event.target.value); } });
  const play = html("button", { type: "button", "aria-label": playing ? "Stop" : "Play", onclick: () => {
    if (playing) { stop(); return page.refresh(); }
    look.at = 0;
    playing = setInterval(() => { if (page.tab !== "watch" || look.at === null) stop(); else go(look.at + 1); }, 900);
    page.refresh();
  } }, playing ? "Stop" : "Play");
  const when = evaluation ? `after step ${evaluation.step.toLocaleString("en")}` : "no evaluation yet";
  const figures = [figure(title, svg, { before: html("div", { class: "bar" }, play, slider, html("span", { id: "when" }, when)), after: [
    html("p", {}, "Below the lower dashed line the model uses the context; at it, it knows only which words are common."),
    answer.message ? html("p", { class: "why", role: "status" }, answer.message) : null] })];
  if (evaluation?.probes?.length) {
    look.probe = Math.min(look.probe, answer.probes.length - 1);
    const probe = answer.probes[look.probe], found = evaluation.probes[look.probe];
    const words = found.guesses.map(([word, probability]) => ({ word, probability }));
    const gap = joined(probe.tokens.slice(1, -1).map((token, t) => (t + 1 === probe.position ? "▁▁▁" : token)));
    const name = `“${gap}” ${when}`, picker = html("label", { class: "pick" }, "Sentence", html("select", { onchange: (event) => { look.probe = +event.target.value; page.refresh(); } },
      answer.probes.map((p, i) => html("option", { value: i, selected: i === look.probe }, p.text))));
    figures.push(figure(name, guessBars({ words, truth: probe.truth, position: probe.position }, name), { before: picker, after: html("p", {}, "Hidden: ", html("strong", {}, probe.truth),
      ", probability ", html("strong", {}, `${(100 * found.probability).toFixed(1)} %`), ".") }));
    const heads = `Where the heads look ${when}`;
    figures.push(figure(heads, multiples(found.attention, null, () => {}, heads), { after: html("p", {}, probe.tokens.join(" ")) }));
  }
  into.replaceChildren(html("div", { class: "grid left" }, figures));
  timer = setTimeout(() => page.tab === "watch" && !playing && page.refresh(), 2000);
}

function stop() {
  clearInterval(playing);
  playing = null;
}
