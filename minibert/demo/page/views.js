// The views. Each is ``async (page, into)``: it asks, then puts its figures into the element.

import { ask } from "./ask.js";
import { arcs, balance, box, fit, guessBars, guessTable, html, layerGrid, maps, matrix, multiples, narrow, number, percent, picture, shape, signed, text, walkable, widthOf } from "./draw.js";
import { saving } from "./save.js";

export function figure(title, svg, { python = null, wide = false, beside = false, after = [], before = [] } = {}) {
  return html("figure", { class: wide ? "wide" : null }, html("figcaption", {}, html("h2", {}, title), svg ? saving(svg, title) : null), before,
    html("div", { class: beside ? "beside" : null }, svg ? html("div", { class: "picture" }, svg) : null,
      html("div", {}, after)),
    python ? html("details", { class: "python" }, html("summary", {}, "The same in three lines of Python"), html("pre", {}, python.join("\n"))) : null);
}

export const pick = (label, options, value, change) => html("label", { class: "pick" }, label,
  html("select", { onchange: (event) => change(event.target.value) }, options.map(([key, name]) => html("option", { value: key, selected: String(key) === String(value) }, name))));

export const limits = (read, cut, { tokens, unknown }) => [
  cut && `The model reads ${read} tokens at a time; ${cut} more at the end are left out.`,
  unknown && `Unknown to the model: ${unknown} of ${tokens} tokens (${Math.round((100 * unknown) / tokens)} %); it reads [UNK] there, and not what is written.`,
].filter(Boolean).join(" ");
export const nats = (x) => `${x.toFixed(2)} nats`;
export const joined = (words) => words.join(" ").replaceAll(" ##", "").replace(/ (?=[.,;:!?)]( |$))/g, "");
const quoted = (tokens) => joined(tokens.filter((t) => !t.added).map((t) => t.token));
export const nothing = "Nothing is hidden yet: click a word above to hide it behind [MASK], or type [MASK].";

export function hiddenOf(page, sentence = page.active) {
  return sentence.guesses?.guesses ?? [];
}

export function whichMask(page, again) {
  const found = hiddenOf(page);
  page.mask = Math.min(page.mask, Math.max(0, found.length - 1));
  return found.length > 1 ? pick("Mask", found.map((g, i) => [i, `token ${g.position}${g.truth === null ? "" : `: ${g.truth}`}`]), page.mask,
    (value) => { page.mask = +value; again(); }) : null;
}

export async function guesses(page, into) {
  const figures = page.sentences.flatMap((sentence, s) => {
    const answer = sentence.guesses, side = page.sentences.length > 1 ? `${"AB"[s]}: ` : "";
    if (!answer) return [];
    if (!answer.guesses.length) return [figure(`${side}${quoted(sentence.tokens) || "an empty text"}`, null, { after: html("p", {}, nothing) })];
    return answer.guesses.map((g, i) => {
      const title = `${side}What stands at token ${g.position}? ${shownText(sentence, g.position)}`, svg = guessBars(g, title);
      const known = g.truth === null ? "" : html("span", {}, "Hidden there: ", html("strong", {}, g.truth), ", rank ", html("strong", {}, g.rank.toLocaleString("en")),
        ", probability ", html("strong", {}, percent(g.probability)), ".");
      const last = i === answer.guesses.length - 1;
      return figure(title, svg, { python: answer.python, beside: true, after: [guessTable(g),
        html("p", {}, "Entropy ", html("strong", {}, nats(g.entropy)), `: as unsure as among ${Math.exp(g.entropy).toLocaleString("en", { maximumSignificantDigits: 3 })} equally likely words. `, known),
        last && answer.loss !== null ? html("p", {}, "Loss, the mean surprise at the hidden words: ", html("strong", {}, nats(answer.loss)), ".") : null,
        last && answer.follows !== null ? html("p", {}, "The second text follows the first: ", html("strong", {}, percent(answer.follows)), ".") : null] });
    });
  });
  into.replaceChildren(html("div", { class: "grid" }, figures));
}

// The words around a hidden one.
export function shownText(sentence, at, around = 9) {
  const words = sentence.tokens.filter((t) => !t.added), middle = words.findIndex((t) => t.position === at), from = Math.max(0, middle - around), to = middle + around + 1;
  const some = words.slice(from, to).map((t) => (t.position === at ? "▁▁▁" : sentence.hide.includes(t.position) ? "[MASK]" : t.token));
  return `${from > 0 ? "… " : ""}${joined(some)}${to < words.length ? " …" : ""}`;
}

export async function layers(page, into) {
  if (!hiddenOf(page).length) return into.replaceChildren(figure("What would each layer say?", null, { after: html("p", {}, nothing) }));
  const masks = whichMask(page, () => page.refresh()), at = hiddenOf(page)[page.mask].position;
  const answer = await ask("view", "/api/layers", { ...page.active.body, top: 5, position: at });
  const title = `What would each layer say? ${shownText(page.active, at)}`;
  into.replaceChildren(figure(title, layerGrid(answer.layers, title), { wide: true, python: answer.python, before: masks,
    after: html("p", {}, "The same head reads each layer's hidden state. It was trained on the last one only: the rows above are hints, not measurements.") }));
}

export async function attention(page, into) {
  const { body, tokens } = page.active;
  if (page.look?.query >= tokens.length) page.look.query = null;
  await attentionFigures(page, into, ({ layer, head, query }, kind) => ask(kind, "/api/attention", { ...body, off: page.off, layer, head, position: query }),
    ({ layer, head, query }) => ask("scores", "/api/scores", { ...body, layer, head, position: query }));
}

// Also what a file shows that was exported; there nobody can be asked for scores. ``see`` gives what is drawn of a head and a query.
export async function attentionFigures(page, into, see, askScores = null) {
  const look = page.look ??= { layer: 0, head: 0, query: null, form: "arcs", frame: true };
  let answer, seen, small;  // seen: the head and the query that the answer is about
  const learn = async (kind) => {
    const { layer, head, query } = look;
    answer = await see({ layer, head, query }, kind);
    seen = { layer, head, query };
    small = maps(answer.maps);
  };
  const behind = () => ["layer", "head", "query"].some((name) => seen[name] !== look[name]);
  do await learn("view"); while (behind());  // what is still shown can be clicked meanwhile
  const L = small.length, A = small[0].length;
  const turn = (changes) => { Object.assign(look, changes); learn("head").then(drawAll).catch((error) => page.fail(error)); };
  const overview = html("div"), large = html("div"), through = html("div", { class: "wide" }), split = html("div");
  const shown = () => answer.tokens.map((_, t) => t).filter((t) => look.frame || !answer.added[t]);
  const cut = (w, kept) => kept.map((q) => kept.map((k) => w[q][k]));
  const refocus = (element, draw) => {  // what is drawn anew keeps its focus and where it was scrolled to
    const before = element.contains(document.activeElement) ? document.activeElement : null, { row, column } = before?.dataset ?? {};
    const scrolled = element.querySelector(".picture")?.scrollLeft ?? 0;
    draw();
    if (scrolled && element.querySelector(".picture")) element.querySelector(".picture").scrollLeft = scrolled;
    if (row !== undefined) element.querySelector(`[data-row="${row}"][data-column="${column}"]`)?.focus();
  };

  function drawAll() {
    const kept = shown(), names = kept.map((t) => answer.tokens[t]);
    if (seen.query !== null && !kept.includes(seen.query)) look.query = seen.query = null;
    const chosen = seen.query === null ? null : kept.indexOf(seen.query), choose = (i) => turn({ query: seen.query === kept[i] ? null : kept[i] });
    const again = (name, value) => { look[name] = value; drawAll(); };
    refocus(overview, () => {
      const title = `Where all ${L * A} heads look`;
      const blocks = [...answer.blocks.keys()].filter((b) => look.frame || !answer.added[answer.blocks[b]]);
      overview.replaceChildren(figure(title, multiples(small.map((heads) => heads.map((w) => cut(w, blocks))), [seen.layer, seen.head],
        (layer, head) => turn({ layer, head }), title), { python: answer.python,
        before: html("div", { class: "bar" }, html("button", { type: "button", "aria-pressed": String(!look.frame), onclick: () => again("frame", !look.frame) }, "Hide [CLS] and [SEP]")),
        after: html("p", {}, "Each square is a head: rows look, columns are seen; the darker, the more. Choose one.") }));
    });
    refocus(large, () => {
      const title = `Layer ${seen.layer}, head ${seen.head}: ${seen.query === null ? "who looks at whom" : `where “${answer.tokens[seen.query]}” looks`}`;
      const weights = cut(answer.weights, kept), options = { title, chosen, choose, say: page.say };
      const svg = !names.length ? null : look.form === "arcs" ? arcs(names, weights, options) : matrix(names, names, weights, options);
      large.replaceChildren(figure(title, svg, { before: html("div", { class: "bar" },
        ["arcs", "matrix"].map((form) => html("button", { type: "button", "aria-pressed": String(look.form === form), onclick: () => again("form", form) }, form === "arcs" ? "Arcs" : "Matrix")),
        pick("Follow", [["", "all tokens"], ...kept.map((t) => [t, `${t}: ${answer.tokens[t]}`])], seen.query ?? "", (value) => turn({ query: value === "" ? null : +value }))),
      after: html("p", {}, look.frame ? "Each row adds up to 1. Point at it for the numbers; choose a token to follow it."
        : "[CLS] and [SEP] are left out of the picture, not of the model: rows no longer add up to 1.") }));
    });
    through.replaceChildren();
    if (seen.query !== null) {
      const rows = answer.through.flatMap((heads, layer) => L * A <= 16 ? heads.map((row, head) => [`layer ${layer} head ${head}`, row])
        : [[`layer ${layer}, mean`, answer.tokens.map((_, k) => heads.reduce((sum, row) => sum + row[k], 0) / A)]]);
      const title = `“${answer.tokens[seen.query]}” through the layers`;
      through.replaceChildren(figure(title, matrix(rows.map(([name]) => name), names, rows.map(([, row]) => kept.map((k) => row[k])),
        { title, say: page.say, word: "gives" }), { after: html("p", {}, "What this token takes from each other, layer by layer.") }));
    }
    split.replaceChildren();
    if (seen.query !== null && askScores) {
      const asked = seen;
      askScores(asked).then((scores) => {
        if (asked !== seen) return;
        const title = `Before the softmax: why “${answer.tokens[asked.query]}” looks there (layer ${asked.layer}, head ${asked.head})`;
        const rows = kept.map((k) => `${fit(answer.tokens[k], 13, 110)} ${signed(scores.score[k], 1)}`), D = scores.products[0].length;
        const svg = matrix(rows, [...Array(D).keys()].map(String), kept.map((k) => scores.products[k]),
          { title, say: page.say, word: "in dimension", diverging: true, size: Math.max(13, Math.min(24, 980 / D)), high: 22 });
        split.replaceChildren(figure(title, svg, { wide: true, python: scores.python,
          after: html("p", {}, `Each score is a sum of ${D} products, query × key, already divided by √${D}: blue pulls the gaze there, orange pushes it away. `
            + "The softmax turns the sums, written beside the tokens, into weights.") }));
      }).catch((error) => page.fail(error));
    }
  }
  drawAll();
  into.replaceChildren(html("div", { class: L * A > 16 ? "grid" : "grid right" }, overview, large, through), split);
}

export async function heads(page, into) {
  const body = page.active.body;
  const [open, now, slopes] = await Promise.all([ask("open", "/api/guesses", { ...body, off: [] }), ask("now", "/api/guesses", { ...body, off: page.off }),
    hiddenOf(page).length ? ask("slopes", "/api/importance", { ...body, off: [] }) : null]);
  if (!slopes) return into.replaceChildren(figure("Which heads does the guess need?", null, { after: html("p", {}, nothing) }));
  const is = (layer, head) => page.off.some(([l, a]) => l === layer && a === head);
  const flip = (layer, head) => {
    page.off = is(layer, head) ? page.off.filter(([l, a]) => l !== layer || a !== head) : [...page.off, [layer, head]];
    page.refresh();
  };
  const L = slopes.gradient.length, A = slopes.gradient[0].length, most = Math.max(1e-9, ...slopes.gradient.flat().map(Math.abs)), size = Math.max(46, Math.min(120, 640 / A));
  const title = "How much each head matters: the gradient of its gate", show = page.reveal;
  const cells = slopes.gradient.flatMap((row, layer) => row.map((value, head) => {
    const x = 76 + head * (size + 6), y = 30 + layer * (size * 0.7 + 6), off = is(layer, head), height = size * 0.7;
    return shape("g", { role: "button", "aria-pressed": String(off), "aria-label": `layer ${layer} head ${head}: ${off ? "off" : "on"}${show ? `, gradient ${value.toFixed(3)}` : ""}`,
      "data-row": layer, "data-column": head, tabindex: layer || head ? -1 : 0, onclick: () => flip(layer, head),
      onpointerenter: () => page.say(`layer ${layer}, head ${head}${show ? `: gradient ${signed(value, 3)}` : ""}${off ? ", switched off" : ""}`), onpointerleave: () => page.say("") },
    box(x, y, size, height, "wash", 1, { rx: 8 }), show ? box(x, y, size, height, value < 0 ? "blue" : "orange", 0.55 * Math.abs(value) / most, { rx: 8 }) : null,
    shape("rect", { class: "ring", x, y, width: size, height, rx: 8, style: `fill:none;stroke:var(--${off ? "ink" : "line"})`, "stroke-width": off ? 4 : 1 }),
    off ? shape("path", { d: `M${x + 8} ${y + 8} L${x + size - 8} ${y + height - 8} M${x + size - 8} ${y + 8} L${x + 8} ${y + height - 8}`, style: "stroke:var(--ink)", "stroke-width": 3,
      "stroke-opacity": 0.55 }) : null,
    text(x + size / 2, y + height / 2 + 6, show ? signed(value) : `${layer}.${head}`, { size: Math.min(20, size / 3.6), anchor: "middle", weight: 600 }));
  }));
  const names = [...[...Array(A).keys()].map((a) => text(76 + a * (size + 6) + size / 2, 20, size < 70 ? a : `head ${a}`, { size: 15, anchor: "middle", colour: "soft" })),
    ...[...Array(L).keys()].map((l) => text(66, 30 + l * (size * 0.7 + 6) + size * 0.35 + 5, `layer ${l}`, { size: 15, anchor: "end", colour: "soft" }))];
  const svg = walkable(picture(76 + A * (size + 6), 30 + L * (size * 0.7 + 6), title, names, cells)), again = () => page.refresh();
  const forecast = -page.off.reduce((sum, [l, a]) => sum + slopes.gradient[l][a], 0), change = now.loss !== null && open.loss !== null ? now.loss - open.loss : null;
  const g = now.guesses[Math.min(page.mask, now.guesses.length - 1)], was = open.guesses.find((o) => o.position === g.position);
  const after = `With ${page.off.length ? `${page.off.length} of ${L * A} heads off` : "all heads on"}: token ${g.position}`;
  const board = figure(title, svg, { python: slopes.python, before: html("div", { class: "bar" },
    html("button", { type: "button", "aria-pressed": String(show), onclick: () => { page.reveal = !show; again(); } }, "Show the gradient"),
    html("button", { type: "button", onclick: () => { page.off = []; again(); } }, "All on"),
    html("button", { type: "button", onclick: () => { page.off = slopes.gradient.flatMap((row, l) => row.map((_, a) => [l, a])); again(); } }, "All off")),
  after: html("p", {}, "Bet first, then click a head to switch it off. ", show ? "Blue: turning the head down raises the loss, it helps; orange: it hurts. "
    : "", `The loss is about ${slopes.targets.map((t) => `“${t}”`).join(", ")}.`) });
  const result = figure(after, guessBars(g, after), { python: now.python, before: whichMask(page, again), after: [guessTable(g),
    html("p", { id: "change" }, ...(change === null ? ["Loss: the hidden word is not known, so there is none."]
      : ["Loss: ", html("strong", {}, nats(open.loss)), " with all heads, ", html("strong", {}, nats(now.loss)), " now: ", html("strong", {}, Math.abs(change) < 0.005 ? "no change" : `${signed(change)} nats`), ". ",
        page.off.length ? `The gradient's forecast, a straight line from here: ${signed(forecast)}.` : ""])),
    html("p", {}, "The best guess was ", html("strong", {}, was.words[0].word), ` (${percent(was.words[0].probability)}).`)] });
  into.replaceChildren(html("div", { class: L * A > 16 ? "grid left" : "grid" }, board, result));
}

export async function attribution(page, into) {
  if (!hiddenOf(page).length) return into.replaceChildren(figure("Which words does the guess rest on?", null, { after: html("p", {}, nothing) }));
  const again = () => page.refresh(), masks = whichMask(page, () => { page.word = null; again(); }), g = hiddenOf(page)[page.mask];
  const options = [...new Set([...g.words.map(({ word }) => word), ...(g.truth === null ? [] : [g.truth])])];
  if (!options.includes(page.word)) page.word = null;
  const T = page.active.tokens.length, most = Math.max(1, Math.floor(page.model.work / T)), longest = Math.max(0, Math.min(5, Math.floor(Math.log2(most / 4))));
  const answer = await ask("view", "/api/attribution", { ...page.active.body, position: g.position, word: page.word, steps: Math.min(page.steps, 4 * 2 ** longest, most) });
  const title = `What speaks for “${answer.word}” at token ${answer.position}?`;
  const svg = balance(answer.tokens, [{ name: "integrated gradients", values: answer.integrated, opacity: 0.95 }, { name: "gradient × input", values: answer.gradient_input, opacity: 0.4 }],
    title, "nats");
  const slider = html("input", { type: "range", min: 0, max: longest, step: 1, value: Math.log2(answer.steps / 4), "aria-label": "Steps of the integral",
    onchange: (event) => { page.steps = 4 * 2 ** event.target.value; again(); } });
  into.replaceChildren(figure(title, svg, { wide: true, beside: true, python: answer.python, before: html("div", { class: "bar" }, masks,
    pick("Word", options.map((word) => [word, word]), answer.word, (value) => { page.word = value; again(); }),
    html("label", { class: "pick" }, `Steps of the integral: ${answer.steps}`, slider)), after: [
    html("p", {}, "Blue speaks for the word, orange against it. ln p is ", html("strong", {}, number(answer.value, 3)), " for this text and ",
      html("strong", {}, number(answer.baseline, 3)), " where every word is hidden: a difference of ", html("strong", {}, signed(answer.value - answer.baseline, 3)), "."),
    html("p", {}, "The bars of the integrated gradients add up to it, but for ", html("strong", { id: "completeness" }, Math.abs(answer.error).toExponential(1)),
      " nats: the completeness error. More steps make it smaller. Gradient × input promises no such thing."),
    longest < 5 ? html("p", {}, `Of a text of ${T} tokens the integral has at most ${Math.min(4 * 2 ** longest, most)} steps.`) : null] }));
}

export async function neighbours(page, into) {
  const t = page.active.tokens, at = Math.min(page.near ?? page.active.hide[0] ?? 1, t.length - 1);
  const answer = await ask("view", "/api/neighbours", { ...page.active.body, position: Math.max(0, at), top: 5 });
  if (answer.reading) {
    const { done, all } = answer.reading;
    into.replaceChildren(figure("Neighbours: reading the text", null, { after: html("p", { role: "status" }, all ? `${done.toLocaleString("en")} of at most ${all.toLocaleString("en")} tokens …`
      : "opening the text …") }));
    setTimeout(() => page.tab === "neighbours" && page.refresh(), 700);
    return;
  }
  const title = `Where else is “${answer.token}” meant this way? The nearest tokens, layer by layer`, line = 27;
  const small = narrow(), [left, middle, width] = small ? [0, 172, 420] : [128, 560, 1160], size = small ? 15 : 16;
  let y = 4;
  const rows = answer.layers.map(({ name, neighbours: near }) => {
    const top = small ? y + line : y;
    y = top + near.length * line + 14;
    return shape("g", {}, text(small ? 0 : left - 12, small ? top - 6 : top + 21, name, { size: 16, anchor: small ? "start" : "end", colour: "soft", weight: small ? 650 : 400 }), near.map((n, i) => {
      const word = n.text.slice(n.start, n.end), base = top + 21 + i * line, backwards = (s) => [...s].reverse().join("");
      const before = backwards(fit(backwards(n.text.slice(Math.max(0, n.start - 99), n.start)), size, middle - left - 42, 400));
      const after = fit(n.text.slice(n.end, n.end + 99), size, width - middle - widthOf(word, size, 700), 400);
      return shape("g", {}, text(left, base, n.score.toFixed(2), { size: 15, colour: "soft" }), text(middle, base, before, { size, anchor: "end", colour: "soft" }),
        shape("text", { x: middle, y: base, "font-size": size, style: "white-space:pre" },
          shape("tspan", { "font-weight": 700, style: "fill:var(--blue)" }, word), shape("tspan", { style: "fill:var(--soft)" }, after)));
    }), shape("line", { x1: 0, x2: width, y1: y - 7, y2: y - 7, style: "stroke:var(--line)" }));
  });
  into.replaceChildren(figure(title, picture(width, y, title, rows), { wide: true, python: answer.python, before: html("div", { class: "bar" },
    pick("Token", t.map((token, i) => [i, `${i}: ${page.active.hide.includes(i) ? "[MASK]" : token.token}`]), answer.position, (value) => { page.near = +value; page.refresh(); })),
  after: html("p", {}, `Cosine, then the context, from ${answer.source}: ${answer.count.toLocaleString("en")} tokens.`) }));
}
