// Pictures as SVG. Colours are variables of the style sheet, so that light and dark need no drawing anew; saving fills them in.

const NS = "http://www.w3.org/2000/svg";

export function html(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function shape(name, attributes = {}, ...children) {
  return fill(document.createElementNS(NS, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const percent = (p) => (p >= 0.1 ? `${(100 * p).toFixed(0)} %` : p >= 0.01 ? `${(100 * p).toFixed(1)} %` : p >= 0.0001 ? `${(100 * p).toFixed(2)} %` : "<\u00a00.01\u00a0%");
export const number = (x, digits = 2) => (+x.toFixed(digits) < 0 ? "−" : "") + Math.abs(x).toFixed(digits);
export const signed = (x, digits = 2) => (+x.toFixed(digits) > 0 ? "+" : "") + number(x, digits);

export function picture(width, height, title, ...children) {
  return shrinking(0.7, shape("svg", {
    viewBox: `0 0 ${Math.ceil(width)} ${Math.ceil(height)}`, width: Math.ceil(width), height: Math.ceil(height), role: "group",
    "aria-label": title }, shape("title", {}, title), ...children));
}

// How far a picture may shrink to fit; where there is less room still it scrolls, so that its words stay legible.
export function shrinking(least, svg) {
  svg.style.minWidth = `${Math.floor(least * svg.getAttribute("width"))}px`;
  return svg;
}

export function text(x, y, words, { size = 16, anchor = "start", colour = "ink", weight = 400, turn = 0 } = {}) {
  return shape("text", {
    x, y, "font-size": size, "text-anchor": anchor, "font-weight": weight,
    transform: turn ? `rotate(${turn} ${x} ${y})` : null, style: `fill:var(--${colour});white-space:pre` }, String(words));
}

export function box(x, y, width, height, colour, opacity = 1, more = {}) {
  return shape("rect", { x, y, width: Math.max(0, width), height, style: `fill:var(--${colour})`, "fill-opacity": opacity, ...more });
}

export const narrow = () => innerWidth < 700;

const pen = document.createElement("canvas").getContext("2d");
let family = null;  // of the page's font, asked once
export const widthOf = (words, size, weight = 600) => {
  family ??= getComputedStyle(document.documentElement).fontFamily;
  pen.font = `${weight} ${size}px ${family}`;
  return pen.measureText(words).width;
};

// The beginning of a word that there is room for.
export function fit(word, size, room, weight = 600) {
  if (widthOf(word, size, weight) <= room) return word;
  const letters = [...word];
  while (letters.length > 1 && widthOf(`${letters.join("")}…`, size, weight) > room) letters.pop();
  return `${letters.join("")}…`;
}

// One bar a word; the hidden word is marked where it is among them.
export function guessBars(guess, title) {
  const rows = guess.words, step = 38, [left, room] = narrow() ? [130, 130] : [190, 330];
  const drawn = rows.map(({ word, probability }, i) => {
    const y = i * step + 4, right = guess.truth === word;
    return shape("g", {}, text(left - 12, y + 24, fit(word, 21, left - 14), { size: 21, anchor: "end", weight: right ? 700 : 450 }),
      box(left, y + 3, room, 28, "wash", 1, { rx: 4 }), box(left, y + 3, room * probability, 28, right ? "orange" : "blue", 1, { rx: 4 }),
      text(left + room + 12, y + 24, percent(probability) + (right ? " ◂" : ""), { size: 19, weight: right ? 700 : 400 }));
  });
  return picture(left + room + 118, rows.length * step + 6, title, drawn);
}

export function guessTable(guess) {  // for readers of the screen
  return html("table", { class: "hidden-table" }, html("caption", {}, `Guesses for token ${guess.position}`),
    guess.words.map(({ word, probability }) => html("tr", {}, html("th", { scope: "row" }, word), html("td", {}, percent(probability)))));
}

// What each layer says: a row a layer, a cell a word, the darker the likelier.
export function layerGrid(layers, title) {
  const { words, truth } = layers[0].guess, small = narrow(), [left, cell, most] = small ? [116, 134, 2] : [118, 158, words.length], step = 44;
  const rows = layers.map(({ name, guess }, i) => {
    const y = 34 + i * step;
    return shape("g", {}, text(left - 12, y + 26, name, { size: 17, anchor: "end", colour: "soft" }),
      guess.words.slice(0, most).map(({ word, probability }, j) => shape("g", {}, box(left + j * cell, y, cell - 6, step - 6, "wash", 1, { rx: 6 }),
        box(left + j * cell, y, cell - 6, step - 6, word === truth ? "orange" : "blue", 0.1 + 0.4 * probability, { rx: 6 }),
        text(left + j * cell + 8, y + 25, fit(word, 17, cell - 70), { size: 17, weight: word === truth ? 700 : 500 }),
        text(left + (j + 1) * cell - 14, y + 25, percent(probability), { size: 14, anchor: "end" }))),
      truth === null ? null : text(left + most * cell + 10, y + 25, `rank ${guess.rank.toLocaleString("en")}${small ? "" : `, ${percent(guess.probability)}`}`, { size: 16 }));
  });
  const head = [text(left, 20, "likeliest first", { size: 14, colour: "soft" })];
  if (truth !== null) head.push(text(left + most * cell + 10, 20, fit(`“${truth}”`, 15, small ? 100 : 170), { size: 15, colour: "orange", weight: 700 }));
  return picture(left + most * cell + (truth === null ? 10 : small ? 115 : 200), 40 + layers.length * step, title, head, rows);
}

function colour(name) {
  const [r, g, b] = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim().match(/[0-9a-f]{2}/gi);
  return [r, g, b].map((part) => parseInt(part, 16));
}

// Numbers from 0 to 1 that were packed as whole steps: ``(layer, head) => rows``.
export function unpacked({ shape, bits, base64 }) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)), steps = bits === 8 ? bytes : new Uint16Array(bytes.buffer), most = 2 ** bits - 1;
  const [, A, rows, columns] = shape, row = (start) => Array.from(steps.subarray(start, start + columns), (step) => step / most);
  return (layer, head) => [...Array(rows).keys()].map((r) => row(((layer * A + head) * rows + r) * columns));
}

// Of every layer and head its rows.
export function maps(packed) {
  const at = unpacked(packed), [L, A] = packed.shape;
  return [...Array(L).keys()].map((layer) => [...Array(A).keys()].map((head) => at(layer, head)));
}

// A matrix of weights as a small image: one pixel a weight.
export function pixels(weights) {
  const canvas = html("canvas", { width: weights[0]?.length || 1, height: weights.length || 1 });
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  const [from, to] = [colour("wash"), colour("blue")];
  weights.flat().forEach((w, i) => {
    const strength = Math.sqrt(Math.min(1, Math.max(0, w)));  // small weights are seen, too
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = from[c] + (to[c] - from[c]) * strength;
    image.data[4 * i + 3] = 255;
  });
  context.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

// All layers × heads. ``choose(layer, head)`` on a click, Enter or Space; arrows walk.
export function multiples(weights, chosen, choose, title) {
  const L = weights.length, A = weights[0].length, size = Math.max(44, Math.min(150, 620 / A, 330 / L)), gap = 10, left = 76, top = 30;
  const cells = weights.flatMap((heads, layer) => heads.map((w, head) => {
    const on = chosen && chosen[0] === layer && chosen[1] === head, x = left + head * (size + gap), y = top + layer * (size + gap);
    return shape("g", { role: "button", tabindex: on || (!chosen && !layer && !head) ? 0 : -1, "data-row": layer, "data-column": head,
      "aria-label": `layer ${layer}, head ${head}`, "aria-pressed": on ? "true" : "false", onclick: () => choose(layer, head) },
    shape("image", { x, y, width: size, height: size, href: pixels(w), preserveAspectRatio: "none", style: "image-rendering:pixelated" }),
    shape("rect", { class: "ring", x: x - 1, y: y - 1, width: size + 2, height: size + 2, rx: 3, style: `fill:none;stroke:var(--${on ? "orange" : "line"})`,
      "stroke-width": on ? 4 : 1 }));
  }));
  const every = size < 48 && A > 12 ? 4 : 1;
  const names = [...Array(A).keys()].filter((a) => a % every === 0).map((a) => text(left + a * (size + gap) + size / 2, 20, size < 70 ? a : `head ${a}`,
    { size: 15, anchor: "middle", colour: "soft" })).concat([...Array(L).keys()].map((l) => text(left - 10, top + l * (size + gap) + size / 2 + 5, `layer ${l}`,
    { size: 15, anchor: "end", colour: "soft" })));
  return walkable(shrinking(0.45, picture(left + A * (size + gap), top + L * (size + gap), title, names, cells)));
}

// Arrow keys walk over the buttons of a picture, Enter and Space press them.
export function walkable(svg) {
  svg.addEventListener("keydown", (event) => {
    const here = event.target.closest("[data-row]");
    if (!here) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      here.dispatchEvent(new MouseEvent("click", { bubbles: true }));
      return;
    }
    const way = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    const next = way && svg.querySelector(`[data-row="${+here.dataset.row + way[0]}"][data-column="${+here.dataset.column + way[1]}"]`);
    if (!next) return;
    event.preventDefault();
    here.setAttribute("tabindex", -1);
    next.setAttribute("tabindex", 0);
    next.focus();
  });
  return svg;
}

// Weights (rows × columns) with names. ``say(sentence)`` hears what is under the pointer, ``choose(row)`` a click on a row.
export function matrix(rows, columns, weights, { title, say = () => {}, choose = null, chosen = null, word = "looks at", size = 0, high = 0, diverging = false }) {
  const R = rows.length, C = columns.length, cell = size || Math.max(11, Math.min(46, 620 / C, 560 / R)), row = high || cell;
  const font = Math.max(9, Math.min(17, row * 0.62)), upright = Math.min(17, Math.max(12, cell * 0.62)), longest = (names, size, most) => Math.min(most, Math.max(...names.map((name) => widthOf(name, size))));
  const left = 24 + longest(rows, font, 170), top = 16 + 0.75 * longest(columns, upright, 130), scale = diverging ? Math.max(1e-9, ...weights.flat().map(Math.abs)) : 1;
  const every = Math.ceil(1.1 * upright / cell), labels = [];
  rows.forEach((token, i) => {
    labels.push(shape("g", { role: choose ? "button" : null, tabindex: choose ? (i === (chosen ?? 0) ? 0 : -1) : null, "data-row": i, "data-column": 0,
      "aria-label": choose ? `query ${token}` : null, "aria-pressed": choose ? String(i === chosen) : null, onclick: choose ? () => choose(i) : () => {} },
    shape("rect", { class: "ring", x: 1, y: top + i * row + 1, width: left - 8, height: row - 2, rx: 4, style: `fill:var(--${i === chosen ? "orange-wash" : "card"})` }),
    text(left - 12, top + (i + 0.5) * row + font * 0.35, fit(token, font, 170), { size: font, anchor: "end", weight: i === chosen ? 700 : 400 })));
  });
  columns.forEach((token, j) => j % every === 0 && labels.push(
    text(left + (j + 0.6) * cell, top - 7, fit(token, upright, 130), { size: upright, turn: -48 })));
  let cells;
  if (R * C > 2500 && !diverging) {
    cells = shape("image", { x: left, y: top, width: C * cell, height: R * row, href: pixels(weights), preserveAspectRatio: "none",
      style: "image-rendering:pixelated" });
  } else {
    cells = weights.flatMap((some, i) => some.map((w, j) => box(left + j * cell, top + i * row, cell - 1, row - 1, w < 0 ? "orange" : "blue",
      diverging ? Math.abs(w) / scale : Math.sqrt(Math.max(0, w)))));
  }
  const mark = shape("rect", { width: cell - 1, height: row - 1, visibility: "hidden", style: "fill:none;stroke:var(--orange)", "stroke-width": 3 });
  const area = shape("rect", { x: left, y: top, width: C * cell, height: R * row, "fill-opacity": 0, style: "cursor:crosshair",
    onpointermove: (event) => {
      const place = area.getBoundingClientRect();
      const j = Math.min(C - 1, Math.floor(((event.clientX - place.left) / place.width) * C));
      const i = Math.min(R - 1, Math.floor(((event.clientY - place.top) / place.height) * R));
      if (i < 0 || j < 0) return;
      fill(mark, { x: left + j * cell, y: top + i * row, visibility: "visible" }, []);
      say(`${rows[i]} ${word} ${columns[j]}: ${weights[i][j].toFixed(3)}`);
    },
    onpointerleave: () => { mark.setAttribute("visibility", "hidden"); say(""); },
    onclick: (event) => {
      const place = area.getBoundingClientRect();
      if (choose) choose(Math.min(R - 1, Math.floor(((event.clientY - place.top) / place.height) * R)));
    } });
  const extra = 0.7 * longest(columns.slice(-3), upright, 130);
  return walkable(picture(left + C * cell + extra + 8, top + R * row + 8, title, labels,
    shape("g", {}, shape("rect", { x: left, y: top, width: C * cell, height: R * row, style: "fill:var(--wash)" }), cells), area, mark));
}

// The tokens twice, one row below the other; a line for each weight. Those of the chosen query stand out.
export function arcs(tokens, weights, { title, say = () => {}, choose = () => {}, chosen = null }) {
  const size = tokens.length > 24 ? 16 : 18, widths = tokens.map((token) => Math.max(30, Math.min(160, widthOf(token, size)) + 16));
  const starts = widths.reduce((sum, width) => [...sum, sum.at(-1) + width + 6], [62]), height = 330, up = 54, down = height - 44;
  const centre = (i) => starts[i] + widths[i] / 2;
  const lines = weights.flatMap((row, q) => row.map((w, k) => ({ q, k, w }))).filter(({ q, w }) => w > (q === chosen ? 0.005 : 0.03))
    .sort((a, b) => (a.q === chosen) - (b.q === chosen)).map(({ q, k, w }) => shape("path", {
      d: `M${centre(q)} ${up} C${centre(q)} ${(up + down) / 2} ${centre(k)} ${(up + down) / 2} ${centre(k)} ${down}`, "stroke-width": 1 + 7 * w,
      "stroke-opacity": chosen === null || q === chosen ? 0.2 + 0.8 * w : 0.1 * w, style: `fill:none;stroke:var(--${q === chosen ? "orange" : "blue"})`,
      onpointerenter: () => say(`${tokens[q]} looks at ${tokens[k]}: ${w.toFixed(3)}`), onpointerleave: () => say("") }));
  const words = tokens.flatMap((token, i) => [
    shape("g", { role: "button", tabindex: i === (chosen ?? 0) ? 0 : -1, "data-row": 0, "data-column": i, "aria-label": `query ${token}`,
      "aria-pressed": String(i === chosen), onclick: () => choose(i), onpointerenter: () => say(strongest(tokens, weights[i], token)), onpointerleave: () => say("") },
    shape("rect", { class: "ring", x: starts[i], y: 18, width: widths[i], height: 34, rx: 7, style: `fill:var(--${i === chosen ? "orange-wash" : "wash"})` }),
    text(centre(i), 41, fit(token, size, 160), { size, anchor: "middle", weight: i === chosen ? 650 : 500 })),
    shape("g", {}, box(starts[i], down + 2, widths[i], 34, "blue", chosen === null ? 0.06 : 0.06 + 0.6 * weights[chosen][i], { rx: 7 }),
      text(centre(i), down + 25, fit(token, size, 160), { size, anchor: "middle", weight: 500 }))]);
  const svg = picture(starts.at(-1) + 6, height, title, text(4, 40, "looks", { size: 15, colour: "soft" }), text(4, down + 24, "is seen", { size: 15, colour: "soft" }),
    lines, words);
  return walkable(shrinking(0.7, svg));
}

const strongest = (tokens, row, token) => {
  const k = row.indexOf(Math.max(...row));
  return `${token} looks most at ${tokens[k]}: ${row[k].toFixed(3)}`;
};

// Bars to both sides of zero, several series a row.
export function balance(names, series, title, unit) {
  const most = Math.max(1e-9, ...series.flatMap((s) => s.values.map(Math.abs))), [left, half] = narrow() ? [104, 84] : [170, 210], step = series.length > 1 ? 44 : 34;
  const drawn = names.map((name, i) => shape("g", {}, text(left - 12, 44 + i * step + step / 2, fit(name, 19, left - 14), { size: 19, anchor: "end" }),
    series.map((s, j) => {
      const v = s.values[i], height = (step - 10) / series.length, y = 42 + i * step + j * height;
      return shape("g", {}, box(v < 0 ? left + half - (half * -v) / most : left + half, y, (half * Math.abs(v)) / most, height - 2, v < 0 ? "orange" : "blue",
        s.opacity, { rx: 2 }), text(left + 2 * half + 14, y + height * 0.75, signed(v), { size: Math.min(16, height + 1), colour: j ? "soft" : "ink" }));
    })));
  const legendAt = narrow() ? 0 : left + half * 1.02;
  const legend = series.map((s, j) => shape("g", {}, box(legendAt + j * 180, 6, 16, 14, "blue", s.opacity), text(legendAt + 22 + j * 180, 18, s.name, { size: 14 })));
  return picture(Math.max(left + 2 * half + 92, legendAt + series.length * 180), 52 + names.length * step, title,
    text(left - 12, 40, unit, { size: 14, anchor: "end", colour: "soft" }), legend,
    shape("line", { x1: left + half, x2: left + half, y1: 30, y2: 46 + names.length * step, style: "stroke:var(--soft)" }), drawn);
}

// Lines over steps. ``series``: {name, colour, points: [[x, y]…], dots}; ``floors``: {name, y}.
export function curves(series, floors, at, title, { x: xName, y: yName }) {
  const all = series.flatMap((s) => s.points), small = narrow(), [width, height, right] = small ? [420, 400, 14] : [900, 360, 240], left = 62, bottom = 44;
  const names = [...series.filter((s) => s.points.length), ...floors.map((f) => ({ name: `${f.name} ${f.y.toFixed(2)}`, colour: "ink", dashed: true }))], top = small ? 22 * names.length + 14 : 14;
  if (!all.length) return picture(width, 60, title, text(20, 36, "nothing has been measured yet", { colour: "soft" }));
  const xs = all.map((p) => p[0]), ys = [...all.map((p) => p[1]), ...floors.map((f) => f.y)];
  const [x1, y0, y1] = [Math.max(...xs, at ?? 0), Math.floor(Math.min(...ys)), Math.ceil(Math.max(...ys))];
  const X = (v) => left + ((width - left - right) * v) / (x1 || 1), Y = (v) => top + ((height - top - bottom) * (y1 - v)) / (y1 - y0 || 1);
  const gap = Math.max(1, 10 ** Math.ceil(Math.log10((y1 - y0) / 12))), levelled = [...Array(Math.floor((y1 - y0) / gap) + 1).keys()].map((i) => y0 + i * gap);
  const grid = levelled.map((y) => shape("g", {}, shape("line", { x1: left, x2: width - right, y1: Y(y), y2: Y(y), style: "stroke:var(--line)" }),
    text(left - 8, Y(y) + 5, Math.abs(y) < 1e5 ? y : y.toExponential(0), { size: 14, anchor: "end", colour: "soft" })));
  for (let i = 0; i <= 4; i++) grid.push(text(X((x1 * i) / 4), height - 22, Math.round((x1 * i) / 4).toLocaleString("en"), { size: 14, anchor: "middle", colour: "soft" }));
  const ends = small ? [] : [...series.filter((s) => s.points.length).map((s) => ({ name: s.name, colour: s.colour, weight: 650, y: Y(s.points.at(-1)[1]) + 5 })),
    ...floors.map((f) => ({ name: `${f.name} ${f.y.toFixed(2)}`, colour: "ink", weight: 400, y: Y(f.y) + 5 }))].sort((a, b) => a.y - b.y);
  ends.forEach((end, i) => { if (i) end.y = Math.max(end.y, ends[i - 1].y + 20); });
  const lines = series.map((s) => shape("g", {}, shape("polyline", { points: s.points.map(([a, b]) => `${X(a).toFixed(1)},${Y(b).toFixed(1)}`).join(" "),
    style: `fill:none;stroke:var(--${s.colour})`, "stroke-width": s.dots ? 4 : 2, "stroke-opacity": s.dots ? 1 : 0.55 }),
  s.dots ? s.points.map(([a, b]) => shape("circle", { cx: X(a), cy: Y(b), r: 5, style: `fill:var(--${s.colour})` })) : []));
  const labels = ends.map(({ name, y, ...look }) => text(width - right + 10, y, name, { size: 15, ...look }));
  const levels = floors.map((f) => shape("line", { x1: left, x2: width - right, y1: Y(f.y), y2: Y(f.y), "stroke-dasharray": "7 6", "stroke-width": 2,
    style: "stroke:var(--ink)" }));
  const legend = !small ? [] : names.map(({ name, colour: paint, dashed }, i) => shape("g", {}, shape("line", { x1: left, x2: left + 34, y1: 12 + 22 * i, y2: 12 + 22 * i,
    "stroke-width": dashed ? 2 : 4, "stroke-dasharray": dashed ? "7 6" : null, style: `stroke:var(--${paint})` }), text(left + 44, 17 + 22 * i, name, { size: 15 })));
  const now = at === null ? null : shape("line", { x1: X(at), x2: X(at), y1: top, y2: height - bottom, "stroke-width": 3, style: "stroke:var(--orange)" });
  return picture(width, height, title, legend, grid, levels, lines, labels, now, text((width - right + left) / 2, height - 2, xName, { size: 14, anchor: "middle", colour: "soft" }),
    text(16, height / 2, yName, { size: 14, anchor: "middle", colour: "soft", turn: -90 }));
}
