// Views of analyses: rollout, pruning, two models side by side, early exit, and of a generated language the truth and the trees.

import { ask } from "./ask.js";
import { box, curves, fit, guessBars, html, matrix, narrow, percent, picture, shape, text, widthOf } from "./draw.js";
import { figure, hiddenOf, nats, nothing, pick, shownText, whichMask } from "./views.js";

const slider = (label, most, value, change) => html("label", { class: "pick" }, label,
  html("input", { type: "range", min: 0, max: most, step: 1, value, "aria-label": label.split(":")[0], onchange: (event) => change(+event.target.value) }));

export async function rollout(page, into) {
  const L = page.model.layers, look = page.rolled ??= { layer: L - 1, query: null };
  if (look.query >= page.active.tokens.length) look.query = null;
  const answer = await ask("view", "/api/rollout", { ...page.active.body, off: page.off, layer: look.layer, position: look.query });
  const turn = (changes) => { Object.assign(look, changes); page.refresh(); }, names = answer.tokens, layer = look.layer;
  const choose = (row) => turn({ query: look.query === row ? null : row }), same = { chosen: look.query, choose, say: page.say };
  const raw = `Attention of layer ${layer}, the mean of its heads`, rolled = `Rollout: what each token is made of after layer ${layer}`;
  const bar = html("div", { class: "bar" }, slider(`After layer: ${layer}`, L - 1, layer, (value) => turn({ layer: value })),
    pick("Follow", [["", "all tokens"], ...names.map((name, t) => [t, `${t}: ${name}`])], look.query ?? "", (value) => turn({ query: value === "" ? null : +value })));
  const through = `What “${names[look.query]}” is made of, layer by layer`;
  into.replaceChildren(bar, html("div", { class: "grid" },
    figure(raw, matrix(names, names, answer.raw, { ...same, title: raw }), { after: html("p", {}, "Rows look, columns are seen: hidden states, which hold other tokens already.") }),
    figure(rolled, matrix(names, names, answer.rollout, { ...same, title: rolled, word: "is made of" }), { python: answer.python,
      after: html("p", {}, "Half of each layer's attention, half the token itself, layer upon layer: shares of the input tokens, by attention alone. Each row adds up to 1.") })),
  look.query === null ? "" : figure(through, matrix(answer.through.map((_, l) => `layer ${l}`), names, answer.through, { title: through, say: page.say, word: "is made of" })));
}

export async function pruning(page, into) {
  const title = "How many heads does the guess need?";
  if (!hiddenOf(page).some((g) => g.truth !== null)) return into.replaceChildren(figure(title, null, { after: html("p", {}, nothing) }));
  const key = JSON.stringify(page.active.body);
  if (page.pruned?.key !== key) page.pruned = { key, answer: await ask("view", "/api/pruning", page.active.body), at: 0 };
  const { answer, at } = page.pruned, closed = answer.closed[at], off = answer.order.slice(0, closed), n = answer.order.length;
  const now = await ask("now", "/api/guesses", { ...page.active.body, off });
  const again = () => page.refresh(), of = (name) => answer.closed.map((x, i) => [x, answer[name][i]]);
  const svg = curves([{ name: "least important first", colour: "blue", points: of("ordered"), dots: true },
    { name: "most important first", colour: "orange", points: of("reverse"), dots: true }], [], closed, title, { x: "heads that are off", y: "loss, nats" });
  const g = now.guesses[Math.min(page.mask, now.guesses.length - 1)], after = `With ${closed} of ${n} heads off: ${shownText(page.active, g.position)}`;
  const last = off.slice(-8).map(([layer, head]) => `${layer}.${head}`).join(", ");
  into.replaceChildren(figure(title, svg, { wide: true, python: answer.python,
    before: html("div", { class: "bar" }, slider(`Heads that are off: ${closed} of ${n}`, answer.closed.length - 1, at, (value) => { page.pruned.at = value; again(); })),
    after: html("p", {}, "Importance is the gradient of each head's gate, with all heads on, for this text alone. ",
      closed ? `Off, as layer.head: ${off.length > 8 ? "…, " : ""}${last}.` : "Nothing is off yet: move the slider.") }),
  figure(after, guessBars(g, after), { beside: true, before: whichMask(page, again),
    after: html("p", {}, "Loss: ", html("strong", { id: "pruned" }, nats(answer.ordered[at])), " now, ", html("strong", {}, nats(answer.ordered[0])), " with all heads.") }));
}

// What a second model, such as a student, makes of the same words.
export async function beside(page, into) {
  if (!hiddenOf(page).length) return into.replaceChildren(figure("What does each of them say?", null, { after: html("p", {}, nothing) }));
  const answer = await ask("view", "/api/side_by_side", page.active.body);
  const figures = answer.models.map(({ name, layers, parameters, guesses, loss }) => {
    const g = guesses[Math.min(page.mask, guesses.length - 1)], title = `${name}: ${shownText(page.active, g.position)}`;
    return figure(title, guessBars(g, title), { beside: true, python: answer.python, after: [html("p", { class: "model" }, `${layers} layer${layers === 1 ? "" : "s"}, ${parameters.toLocaleString("en")} numbers. Entropy `,
      html("strong", {}, nats(g.entropy)), loss === null ? "." : "; loss, the mean surprise at the hidden words: ", loss === null ? "" : html("strong", {}, nats(loss)))] });
  });
  into.replaceChildren(html("div", { class: "bar" }, whichMask(page, () => page.refresh())), html("div", { class: "grid" }, figures));
}

// At which layer each sentence leaves. The answers hold for all speeds: the slider asks nobody.
export async function exits(page, into) {
  const bodies = page.sentences.map(({ body: { text: words, pair } }) => ({ text: words, pair })), key = JSON.stringify(bodies);
  if (page.left?.key !== key) page.left = { speed: 50, ...page.left, key, answers: await Promise.all(bodies.map((body, i) => ask(`exits ${i}`, "/api/exits", body))) };
  const { answers, speed: per } = page.left, speed = per / 100, last = page.model.layers;
  const figures = answers.map(({ labels, layers, python }, s) => {
    const left = speed ? layers.find(({ layer, uncertainty: u }) => layer === last || u <= speed) : layers[last - 1];
    const words = bodies[s].text, title = `${answers.length > 1 ? `${"AB"[s]}: ` : ""}When does it leave? ${words.length > 60 ? `${words.slice(0, 60)} …` : words}`;
    const best = (shares) => shares.indexOf(Math.max(...shares)), said = ({ shares }) => `${labels[best(shares)]} ${percent(Math.max(...shares))}`;
    const [from, wide, high] = [110, narrow() ? 180 : 420, 30], y = (i) => 8 + i * (high + 10);
    const rows = layers.map((one, i) => shape("g", { "data-row": i },
      text(from - 12, y(i) + 21, `layer ${one.layer}`, { size: 16, anchor: "end", colour: "soft", weight: one === left ? 700 : 400 }),
      box(from, y(i), wide, high, "wash", 1, { rx: 4 }), box(from, y(i), Math.max(1, wide * one.uncertainty), high, one.layer <= left.layer ? "blue" : "soft", one.layer <= left.layer ? 0.8 : 0.2, { rx: 4 }),
      text(from + wide + 12, y(i) + 21, fit(one.layer <= left.layer ? said(one) : "not computed", 16, 190), { size: 16, colour: one === left ? "ink" : "soft", weight: one === left ? 700 : 400 })));
    const at = from + wide * speed, line = shape("line", { x1: at, x2: at, y1: 0, y2: y(last) - 2, style: "stroke:var(--orange)", "stroke-width": 3 });
    return figure(title, picture(from + wide + 210, y(last), title, rows, line), { python, after: html("p", { class: "left" }, "It leaves after layer ", html("strong", {}, left.layer),
      ` of ${last}: `, html("strong", {}, said(left)), ".") });
  });
  into.replaceChildren(html("div", { class: "bar" }, slider(`Speed: ${speed.toFixed(2)}`, 100, per, (value) => { page.left.speed = value; page.refresh(); })),
    html("div", { class: "grid" }, figures),
    html("p", {}, "Bars show how unsure the classifier after each layer is: the entropy of its answer, as a share of the largest. A text leaves after the first layer whose bar does not reach beyond the line; "
      + "at speed 0 all texts go through all layers."));
}

export async function truth(page, into) {
  if (!hiddenOf(page).length) return into.replaceChildren(figure("What is the truth?", null, { after: html("p", {}, nothing) }));
  const masks = whichMask(page, () => page.refresh());
  const answer = await ask("view", "/api/truth", { ...page.active.body, top: 10 }), one = answer.masks[Math.min(page.mask, answer.masks.length - 1)];
  const title = `Model against truth: ${shownText(page.active, one.position)}`;
  into.replaceChildren(figure(title, pairs(one.words, one.hidden, title), { wide: true, beside: true, python: answer.python, before: masks, after: [
    html("table", { class: "hidden-table" }, html("caption", {}, `Truth and model for token ${one.position}`),
      one.words.map(({ word, truth: p, model: q }) => html("tr", {}, html("th", { scope: "row" }, word), html("td", {}, percent(p)), html("td", {}, percent(q))))),
    html("p", {}, "The language is generated, so the probability of every word in this place is known exactly, given all that is visible."),
    html("p", {}, "From the truth to the model: ", html("strong", { id: "distance" }, `KL ${nats(one.distance)}`), ", what the model loses on average by not knowing it."),
    html("p", {}, "Best possible loss here: ", html("strong", {}, nats(one.best)), ". Nobody who sees the same words can do better on average.")] }));
}

// Two bars a word: the truth, and the model.
function pairs(words, hidden, title) {
  const step = 50, [left, room] = narrow() ? [120, 150] : [180, 420], top = 30;
  const bar = (y, p, colour) => [box(left, y, room, 17, "wash", 1, { rx: 3 }), box(left, y, room * p, 17, colour, 1, { rx: 3 }),
    text(left + room + 10, y + 14, percent(p), { size: 15, colour: colour === "orange" ? "ink" : "soft" })];
  const legend = [["truth", "orange"], ["model", "blue"]].flatMap(([name, colour], i) => [box(left + 90 * i, 4, 15, 15, colour, 1, { rx: 3 }), text(left + 22 + 90 * i, 17, name, { size: 15 })]);
  return picture(left + room + 90, top + words.length * step, title, legend, words.map(({ word, truth: p, model: q }, i) => shape("g", {},
    text(left - 12, top + i * step + 24, fit(word, 19, left - 14), { size: 19, anchor: "end", weight: word === hidden ? 700 : 450 }),
    bar(top + i * step, p, "orange"), bar(top + i * step + 19, q, "blue"))));
}

export async function tree(page, into) {
  const layer = page.treeLayer ??= Math.min(1, page.model.layers), answer = await ask("view", "/api/tree", { text: page.active.body.text, layer });
  const gold = answer.gold && new Set(answer.gold.map(([i, j]) => `${Math.min(i, j)} ${Math.max(i, j)}`)), is = ([i, j]) => gold?.has(`${i} ${j}`);
  const title = "The tree of a sentence, and the one in its vectors", states = answer.uuas.map((share, l) => [l, `${l ? `layer ${l - 1}` : "embeddings"} (${percent(share)} of all edges)`]);
  const right = answer.edges.filter(is).length;
  const known = gold ? ["Above the tree of the grammar, below what the probe finds: ", html("strong", { id: "right" }, `${right} of ${answer.edges.length}`),
    " edges are right, in blue; the others are orange. Punctuation is left out below."] : ["Below is what the probe finds. Choose a sentence of the list to see its true tree above."];
  into.replaceChildren(figure(title, trees(answer.words, answer.gold ?? [], answer.edges, gold ? is : () => true, title), { wide: true, python: answer.python,
    before: html("div", { class: "bar" }, pick("Vectors of", states, layer, (value) => { page.treeLayer = +value; page.refresh(); }),
      pick("Sentence", [["", "as typed"], ...answer.sentences.map((s) => [s, s])], answer.sentences.includes(answer.words.join(" ")) ? answer.words.join(" ") : "",
        (value) => value && page.active.set(value, []))),
    after: [html("p", {}, ...known), html("p", {}, "A structural probe is a linear map that is learned once a layer, from sentences other than those of the list: after it, squared distances between words are to be "
      + "their distances in the tree. Drawn is the shortest tree that joins the words.")] }));
}

// Arcs over the words and under them.
function trees(words, above, below, right, title) {
  const size = words.length > 12 ? 18 : 22, widths = words.map((word) => widthOf(word, size) + 18), starts = widths.reduce((sum, width) => [...sum, sum.at(-1) + width], [10]);
  const centre = (i) => starts[i] + widths[i] / 2, far = Math.max(1, ...[...above, ...below].map(([i, j]) => Math.abs(i - j))), high = Math.min(150, 34 + 16 * far), up = high + 8, down = up + 34;
  const arc = ([i, j], from, way, colour) => {
    const peak = from + (way * 4 * (20 + ((high - 20) * Math.abs(i - j)) / far)) / 3.2;
    return shape("path", { d: `M${centre(i)} ${from} C${centre(i)} ${peak} ${centre(j)} ${peak} ${centre(j)} ${from}`, "stroke-width": 3, style: `fill:none;stroke:var(--${colour})` });
  };
  return picture(starts.at(-1) + 10, down + high + 8, title, above.map((edge) => arc(edge, up, -1, "soft")), words.map((word, i) => text(centre(i), up + 24, word, { size, anchor: "middle", weight: 500 })),
    below.map((edge) => arc(edge, down, 1, right(edge) ? "blue" : "orange")));
}
