// A sentence or a pair: two fields, and the tokens below, which a click hides behind [MASK] and another shows again.

import { ask, Stale } from "./ask.js";
import { html } from "./draw.js";
import { limits } from "./views.js";

export class Sentence {
  constructor(number, page) {
    this.number = number;
    this.page = page;
    this.tokens = [];
    this.hide = [];
    this.read = { text: "", pair: null };
    this.guesses = null;
    const label = number ? "Second sentence to compare" : "Sentence";
    this.text = html("input", { type: "text", "aria-label": label, placeholder: "Type a sentence; write [MASK], or click a word to hide it",
      spellcheck: "false", autocomplete: "off", maxlength: 16000, oninput: () => this.typed() });
    this.pair = html("input", { type: "text", "aria-label": `${label}: second text`, placeholder: "and a second text", spellcheck: "false", autocomplete: "off",
      maxlength: 16000, oninput: () => this.typed(), hidden: true });
    this.strip = html("div", { class: "tokens", role: "group", "aria-label": "Tokens: press one to hide it" });
    this.limits = html("p", { class: "why", hidden: true });
    this.element = html("div", { class: "sentence", onfocusin: () => page.activate(this), onpointerdown: () => page.activate(this) },
      html("div", { class: "fields" }, this.text, this.pair), this.strip, this.limits);
    this.draggable();
  }

  // What every view asks about: the text whose tokens are shown, which positions belong to, not what is being typed.
  get body() {
    return { ...this.read, hide: this.hide };
  }

  async set(text, hide, pair = null) {
    this.text.value = text;
    this.pair.hidden = pair === null;
    this.pair.value = pair ?? "";
    await this.typed(hide);
  }

  // After a change of the text the hidden tokens stay hidden, as far as they stand before or behind the change.
  async typed(hide = null) {
    const read = { text: this.text.value, pair: this.pair.hidden ? null : this.pair.value };
    let answer;
    try {
      answer = await ask(`tokens ${this.number}`, "/api/tokens", read);
    } catch (error) {
      if (!(error instanceof Stale)) this.page.fail(error);
      return;
    }
    this.hide = (hide ?? moved(this.hide, this.tokens, answer.tokens)).filter((t) => answer.tokens[t] && !answer.tokens[t].added);
    this.tokens = answer.tokens;
    this.read = read;
    this.limits.textContent = limits(answer.tokens.length, answer.cut, answer.reading);
    this.limits.hidden = !this.limits.textContent;
    this.draw();
    await this.page.changed(this);
  }

  // Hide these positions, or show them; what frames the text and what was written as [MASK] stays.
  toggle(positions, on) {
    const some = positions.filter((t) => this.tokens[t] && !this.tokens[t].added && this.tokens[t].token !== "[MASK]" && this.hide.includes(t) !== on);
    if (!some.length) return;
    this.hide = (on ? [...this.hide, ...some] : this.hide.filter((t) => !some.includes(t))).sort((a, b) => a - b);
    this.draw();
    this.page.changed(this);
  }

  draw() {
    const focused = this.strip.contains(document.activeElement) ? [...this.strip.children].indexOf(document.activeElement) : -1;
    this.strip.replaceChildren(...this.tokens.map((t, i) => {
      const hidden = this.hide.includes(i), mask = t.token === "[MASK]";
      const classes = ["token", t.continues && "continues", t.added && "added", t.segment && "second", t.unknown && "unknown", (hidden || mask) && "masked"];
      const said = t.unknown ? "a word the vocabulary cannot spell" : t.continues ? "continues the word before" : null;
      return html("button", { type: "button", class: classes.filter(Boolean).join(" "), "data-position": i, "aria-pressed": t.added ? null : String(hidden || mask),
        "aria-disabled": t.added || mask ? "true" : null, tabindex: i === Math.max(focused, 1) ? 0 : -1, title: said,
        "aria-label": `${t.token}${hidden ? ", hidden" : ""}${said ? `, ${said}` : ""}` },
      hidden ? "[MASK]" : t.token, hidden ? html("span", { class: "was" }, t.token) : null,
      this.page.details ? html("small", {}, `id ${t.id}`) : null, this.page.details ? html("small", {}, `seg ${t.segment} · pos ${t.position}`) : null);
    }));
    if (focused >= 0) this.strip.children[Math.min(focused, this.strip.children.length - 1)]?.focus();
  }

  // While a pointer drags, tokens keep their places and only show what will be; letting go does it.
  draggable() {
    let from = null, to = null;
    const range = () => this.tokens.map((t) => t.position).filter((t) => t >= Math.min(from, to) && t <= Math.max(from, to));
    const preview = () => [...this.strip.children].forEach((child, t) => child.classList.toggle("chosen", range().includes(t)));
    this.strip.addEventListener("pointerdown", (event) => {
      const token = event.target.closest(".token");
      if (!token || event.button) return;
      from = to = +token.dataset.position;
      preview();
    });
    addEventListener("pointermove", (event) => {
      if (from === null) return;
      const token = document.elementFromPoint(event.clientX, event.clientY)?.closest(".token");
      if (!token || !this.strip.contains(token) || +token.dataset.position === to) return;
      to = +token.dataset.position;
      preview();
    });
    addEventListener("pointerup", () => {
      if (from === null) return;
      const chosen = range(), on = !this.hide.includes(from);
      from = null;
      this.toggle(chosen, on);
    });
    addEventListener("pointercancel", () => {
      if (from !== null) this.draw();
      from = null;
    });
    this.strip.addEventListener("keydown", (event) => {
      const token = event.target.closest(".token"), position = +token?.dataset.position;
      if (!token) return;
      const next = { ArrowRight: position + 1, ArrowLeft: position - 1, Home: 0, End: this.tokens.length - 1 }[event.key];
      if (next !== undefined) {
        event.preventDefault();
        this.strip.children[next]?.focus();
      } else if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        this.toggle([position], !this.hide.includes(position));
      }
    });
  }
}

function moved(hide, before, after) {
  const same = (a, b) => a && b && a.token === b.token && a.segment === b.segment;
  let head = 0, tail = 0;
  while (head < before.length && same(before[head], after[head])) head++;
  while (tail < Math.min(before.length, after.length) - head && same(before.at(-1 - tail), after.at(-1 - tail))) tail++;
  return hide.flatMap((t) => (t < head ? [t] : t >= before.length - tail ? [t + after.length - before.length] : []));
}
