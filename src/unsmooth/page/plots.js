"use strict";

// Elements, plots, legends and tables, which know nothing of the state of the page.

const HUES = [24, 210, 150, 285, 335, 55, 185, 255, 100, 5, 310, 40];

const byId = (id) => document.getElementById(id);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const trimmed = (fraction, digits = 6) => `${Number((100 * fraction).toPrecision(digits))} %`; // as by hand: 5 %, 1.25 %
const percent = (value, digits = 1) => (value === null ? "–" : (100 * value).toFixed(digits));
const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const isDark = () => document.documentElement.dataset.theme === "dark";

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Ink for the first loss (cross-entropy), one hue for each other one, further from the paper as alpha grows.
function colorOf(models, model) {
  const losses = [...new Set(models.map((other) => other.loss))];
  const place = losses.indexOf(models[model].loss);
  if (place === 0) return models.length === 1 ? variable("accent") : variable("ink");
  const strengths = models.filter((other) => other.loss === models[model].loss).map((other) => Math.abs(other.alpha));
  const rank = strengths.filter((alpha) => alpha < Math.abs(models[model].alpha)).length;
  const depth = strengths.length === 1 ? 0.5 : rank / (strengths.length - 1);
  const lightness = isDark() ? 50 + 28 * depth : 46 - 20 * depth;
  return `hsl(${HUES[(place - 1) % HUES.length]}, ${isDark() ? 80 : 90}%, ${lightness}%)`;
}

function draw(id, traces, { x, y, description, ...layout }) {
  const axis = {
    fixedrange: true, automargin: true, gridcolor: variable("line"), linecolor: variable("quiet"), zerolinecolor: variable("line"),
    tickfont: { color: variable("ink") },
  };
  const place = byId(id);
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", description);
  Plotly.react(place, traces, {
    margin: { l: 56, r: 14, t: 10, b: 44 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: 'system-ui, "Segoe UI", "DejaVu Sans", sans-serif', size: 13, color: variable("ink") },
    hoverlabel: { align: "left", bgcolor: variable("raised"), bordercolor: variable("quiet"), font: { color: variable("ink") } },
    hovermode: "closest",
    showlegend: false,
    xaxis: { ...axis, ...x, title: { text: x.title, standoff: 8 } },
    yaxis: { ...axis, ...y, title: { text: y.title, standoff: 8 } },
    ...layout,
  }, { displayModeBar: false, responsive: true });
}

function swatch({ color, dash, marker }) {
  const dashes = { dash: "6 4", dot: "2 3" };
  const svg = `<svg class="swatch" viewBox="0 0 26 12" aria-hidden="true">`
    + `<line x1="0" x2="26" y1="6" y2="6" stroke="${color}" stroke-width="${marker ? 0 : 2.5}" stroke-dasharray="${dashes[dash] ?? ""}"/>`
    + (marker ? `<circle cx="13" cy="6" r="5" fill="${marker === "open" ? "none" : color}" stroke="${color}" stroke-width="2"/>` : "")
    + "</svg>";
  return document.createRange().createContextualFragment(svg);
}

const faint = (color) => color.startsWith("#") ? `${color}2e` : color.replace("hsl", "hsla").replace(")", ", 0.18)");

/** Lines around `middle`, filled between `low` and `high`, as the traces of a plot. */
function banded({ x, middle, low, high, color, ...line }) {
  const edge = { x, mode: "lines", line: { width: 0 }, hoverinfo: "skip", name: "" };
  return [
    { ...edge, y: low },
    { ...edge, y: high, fill: "tonexty", fillcolor: faint(color) },
    { x, y: middle, mode: "lines", ...line, line: { color, width: 2, ...line.line } },
  ];
}

function legend(id, entries) {
  byId(id).replaceChildren(...entries.map((entry) => element("li", {}, swatch(entry), entry.label)));
}

const folded = new Map(); // what the reader opened or closed

function foldable(title, content, open) {
  const made = element("details", {}, element("summary", {}, title), content);
  made.open = folded.get(title) ?? open;
  made.querySelector("summary").addEventListener("click", () => folded.set(title, !made.open));
  return made;
}

function table({ caption, columns, rows, labels, notes = [], fold }) {
  const cell = (text, column) => {
    const kind = column >= labels && text.length < 60 ? "number" : text.length > 60 ? "long" : "";
    text = text.replaceAll("± ", "±\u00a0"); // a wide table wraps before it
    return column === 0 ? element("th", { scope: "row" }, text) : element("td", { class: kind, "data-label": columns[column] }, text);
  };
  const made = element("table", {},
    element("thead", {}, element("tr", {}, ...columns.map((name, column) =>
      element("th", { scope: "col", class: column >= labels ? "number" : "" }, name)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map(cell)))));
  const explained = notes.map((note) => element("p", { class: "quiet" }, note));
  // Where it is wider than the page the keyboard can scroll it.
  const content = element("div", { class: "table" },
    element("p", { class: "caption" }, caption),
    ...(rows.length ? [element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, made)] : []),
    ...(explained.length > 3 ? [foldable("Notes", element("div", {}, ...explained), false)] : explained));
  return fold ? foldable(fold, content, false) : content;
}

/** One small plot a title, in the place `id`; its places are kept while their number and titles stay. */
function drawPanels(id, titles, drawOne) {
  const place = byId(id);
  if (place.dataset.titles !== JSON.stringify(titles)) {
    place.dataset.titles = JSON.stringify(titles);
    place.replaceChildren(...titles.map((title, at) =>
      element("div", {}, element("h3", {}, title), element("div", { class: "plot", id: `${id}-${at}` }))));
  }
  titles.forEach((_, at) => drawOne(`${id}-${at}`, at));
}
