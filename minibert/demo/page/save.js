// A picture as a file for slides: variables of the style sheet become colours, the title stands above.

import { html } from "./draw.js";

const PAD = 24, HEAD = 40;

export function standalone(svg, title) {
  const style = getComputedStyle(document.documentElement), value = (name) => style.getPropertyValue(name).trim();
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number), inner = svg.cloneNode(true);
  const room = Math.max(width, title.length * 11) + 2 * PAD, whole = height + HEAD + 2 * PAD;
  inner.querySelectorAll("[role], [tabindex]").forEach((part) => ["role", "tabindex", "class"].forEach((name) => part.removeAttribute(name)));
  const body = [...inner.childNodes].map((node) => new XMLSerializer().serializeToString(node)).join("");
  const safe = title.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);
  return { width: room, height: whole, source:
    `<svg xmlns="http://www.w3.org/2000/svg" width="${room}" height="${whole}" viewBox="0 0 ${room} ${whole}" font-family="${value("--sans").replaceAll('"', "'")}">`
    + `<rect width="100%" height="100%" fill="${value("--card")}"/><text x="${PAD}" y="${PAD + 20}" font-size="22" font-weight="650" fill="${value("--ink")}">${safe}</text>`
    + `<g transform="translate(${PAD} ${PAD + HEAD})">${body}</g></svg>`.replace(/var\((--[a-z-]+)\)/g, (_, name) => value(name)) };
}

export function saving(svg, title) {
  const name = title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60) || "picture";
  const asSvg = () => download(new Blob([standalone(svg, title).source], { type: "image/svg+xml" }), `${name}.svg`);
  const asPng = async () => {
    const { width, height, source } = standalone(svg, title), image = new Image(), scale = 2;
    const address = URL.createObjectURL(new Blob([source], { type: "image/svg+xml" }));
    image.src = address;
    await image.decode();
    const canvas = html("canvas", { width: width * scale, height: height * scale });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    URL.revokeObjectURL(address);
    canvas.toBlob((blob) => download(blob, `${name}.png`));
  };
  return html("span", { class: "save" }, html("button", { type: "button", "aria-label": `Save as SVG: ${title}`, onclick: asSvg }, "SVG"),
    html("button", { type: "button", "aria-label": `Save as PNG: ${title}`, onclick: asPng }, "PNG"));
}

function download(blob, name) {
  const address = URL.createObjectURL(blob), link = html("a", { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
