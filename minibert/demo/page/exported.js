// What a file shows that was exported: its texts, and for each what had been asked.

import { guessBars, guessTable, html, layerGrid, percent, unpacked } from "./draw.js";
import { attentionFigures, figure, limits } from "./views.js";

function exported() {
  const { title, texts } = JSON.parse(document.getElementById("data").textContent);
  const view = document.getElementById("view"), readout = document.getElementById("readout");
  const page = { say: (words) => { readout.textContent = words; }, fail: () => {} };

  function draw(i) {
    const { attention, guesses, layers, cut, reading } = texts[i], words = html("div", { class: "grid" }), looks = html("div");
    page.look = undefined;
    (guesses?.guesses ?? []).forEach((g, mask) => {
      const name = `What stands at token ${g.position}?`, deeper = `What would each layer say about token ${g.position}?`;
      words.append(figure(name, guessBars(g, name), { after: [guessTable(g), html("p", {}, "Entropy ", html("strong", {}, `${g.entropy.toFixed(2)} nats`),
        g.truth === null ? "." : `. Hidden there: ${g.truth}, rank ${g.rank}, probability ${percent(g.probability)}.`)] }));
      words.append(figure(deeper, layerGrid(layers[mask].layers, deeper), { wide: true }));
    });
    const at = unpacked(attention.weights), [L, A] = attention.weights.shape, all = (n) => [...Array(n).keys()];
    attentionFigures(page, looks, async ({ layer, head, query }) => ({ ...attention, weights: at(layer, head),
      through: query === null ? null : all(L).map((l) => all(A).map((a) => at(l, a)[query])) }));
    const why = limits(attention.tokens.length, cut, reading);
    view.replaceChildren(...(why ? [html("p", { class: "why" }, why)] : []), words, looks);
  }

  document.getElementById("model").textContent = title;
  const select = html("select", { "aria-label": "Text", onchange: () => draw(+select.value) }, texts.map(({ text }, i) => html("option", { value: i }, text)));
  document.getElementById("choice").append(...(texts.length > 1 ? [select] : [html("strong", {}, texts[0].text)]));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(texts.length > 1 ? +select.value : 0));
  draw(0);
}

exported();
