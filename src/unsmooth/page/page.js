"use strict";

// The data of the page, and the one state that every view is drawn from.
const data = JSON.parse(document.getElementById("data").textContent);
const state = { group: 0, models: new Set(), seeds: new Set(), score: "", compare: false, risk: 0 };

const HUES = [24, 210, 150, 285, 335, 55, 185, 255, 100, 5, 310, 40];
const RELIABILITY = {
  msp: "as trained",
  msp_temperature: "temperature of least AURC",
  msp_temperature_nll: "temperature of least NLL",
};

const FEWEST = 10; // samples of a bin that is drawn

const LINES = /\S.{0,22}(?=\s|$)|\S.{0,22}/g; // of a name beside a plot: broken between words where it can be

const byId = (id) => document.getElementById(id);
const group = () => data.groups[state.group];
const chosenCells = () => group().cells.filter((cell) => state.models.has(cell.model) && state.seeds.has(cell.seed));
const trimmed = (fraction) => `${Number((100 * fraction).toPrecision(6))} %`; // as written by hand: 5 %, 1.25 %
const percent = (value, digits = 1) => (value === null ? "–" : (100 * value).toFixed(digits));
const targetRisk = () => trimmed(group().risks[state.risk]);
const hasSeeds = () => group().seeds.length > 1;
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const scoreLabel = (name) => group().scores.find((score) => score.name === name).label;
const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const isDark = () => document.documentElement.dataset.theme === "dark";

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Colours: ink for the first loss (cross-entropy), one hue for each other one, further from the paper as alpha grows.
function color(model) {
  const { models } = group();
  const losses = [...new Set(models.map((other) => other.loss))];
  const place = losses.indexOf(models[model].loss);
  if (place === 0) return models.length === 1 ? variable("accent") : variable("ink");
  const strengths = models.filter((other) => other.loss === models[model].loss).map((other) => Math.abs(other.alpha));
  const rank = strengths.filter((alpha) => alpha < Math.abs(models[model].alpha)).length;
  const depth = strengths.length === 1 ? 0.5 : rank / (strengths.length - 1);
  const lightness = isDark() ? 50 + 28 * depth : 46 - 20 * depth;
  return `hsl(${HUES[(place - 1) % HUES.length]}, ${isDark() ? 80 : 90}%, ${lightness}%)`;
}

// Plots

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

const modelEntries = () => [...state.models].map((model) => ({ label: group().models[model].label, color: color(model) }));
const dashEntries = (after) => [
  { label: "MSP", color: variable("quiet"), dash: "dash" }, { label: scoreLabel(after), color: variable("quiet") },
];

function table({ caption, columns, rows, labels, notes = [], fold }) {
  const cell = (text, column) => {
    const kind = column >= labels && text.length < 60 ? "number" : text.length > 60 ? "long" : "";
    return column === 0 ? element("th", { scope: "row" }, text) : element("td", { class: kind }, text);
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

// Views: each draws one section from the state and says whether there is anything to see.

const views = {
  findings() {
    const { description, facts, findings, before, after } = group();
    byId("description").textContent = description;
    byId("facts").replaceChildren(...facts.map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value))));
    const scores = [before, after, state.score];
    const isShown = ({ model, score }) => (model === null || state.models.has(model)) && scores.includes(score);
    const shown = findings
      .map(({ heading, sentences }) => ({ heading, sentences: sentences.filter(isShown) }))
      .filter(({ sentences }) => sentences.length);
    byId("findings-list").replaceChildren(...shown.map(({ heading, sentences }, place) => {
      const items = sentences.map(({ text }) => element("li", {}, text));
      return foldable(heading, element("ul", {}, ...items), place < 2);
    }));
    return true;
  },

  curves() {
    const { models, risks, curve_error, before } = group();
    const scores = state.compare && state.score !== before ? [before, state.score] : [state.score];
    const traces = [];
    let highest = 1.5 * risks[state.risk];
    for (const cell of chosenCells()) {
      for (const score of scores.filter((name) => name in cell.curves)) {
        const { accepted, errors, threshold } = cell.curves[score];
        const total = accepted.at(-1);
        highest = Math.max(highest, 1.4 * errors.at(-1) / total);
        const seed = state.seeds.size > 1 ? `, seed ${cell.seed}` : "";
        traces.push({
          x: accepted.map((count) => 100 * count / total),
          y: accepted.map((count, place) => 100 * errors[place] / count),
          customdata: threshold,
          mode: "lines",
          name: `${models[cell.model].label}${seed}, ${scoreLabel(score)}`,
          line: { color: color(cell.model), width: 2, dash: scores.length > 1 && score === before ? "dash" : "solid" },
          hovertemplate: "%{fullData.name}<br>coverage %{x:.1f} %<br>risk %{y:.2f} %<br>threshold %{customdata:.5g}<extra></extra>",
        });
      }
    }
    const target = 100 * risks[state.risk];
    const early = traces.flatMap(({ x, y }) => y.filter((_, at) => x[at] >= 1 && x[at] <= 60));
    traces.push({
      x: [0, 100], y: [target, target], mode: "lines", name: "target risk", hoverinfo: "skip",
      line: { color: variable("quiet"), width: 1.5, dash: "dot" },
    });
    const described = `under ${scores.map(scoreLabel).join(" and ")}, one line a model and seed.`;
    draw("plot-curves", traces, {
      x: { title: "Coverage %", range: [0, 100.5] },
      y: { title: "Selective risk %", range: [0, Math.min(100 * highest, 101)] },
      description: `Risk against coverage ${described}`,
    });
    draw("plot-zoom", traces, {
      x: { title: "Coverage %", range: [0, 60] },
      y: { title: "Selective risk %", range: [0, 1.1 * Math.max(target, ...early)] },
      description: `Risk at coverage below 60 % ${described}`,
    });
    byId("curve-error").textContent =
      `Curves are drawn with few points: the largest vertical error is ${percent(curve_error, 4)} percentage points.`;
    legend("legend-curves", [...modelEntries(), ...(scores.length > 1 ? dashEntries(state.score) : []),
      { label: "target risk", color: variable("quiet"), dash: "dot" }]);
    return true;
  },

  target() {
    const { before, after, models, delta } = group();
    const scores = [...new Set([before, after])];
    byId("target-caption").textContent = `Share of the test samples that can be accepted at a risk of at most ${targetRisk()}, `
      + `with hindsight${hasSeeds() ? ", mean over the seeds chosen" : ""}. Certified: by the threshold whose true risk is at most `
      + `the target with probability ${trimmed(1 - delta)}, from validation samples that did not fit the score.`;
    const rows = [...state.models].map((model) => {
      const cells = chosenCells().filter((cell) => cell.model === model && before in cell.points);
      const at = (name, key) => cells.map((cell) => cell.points[name]?.[key][state.risk] ?? null);
      return { model, cells, at, coverage: scores.map((name) => average(at(name, "coverage"))) };
    }).filter(({ cells }) => cells.length);
    const traces = rows.map(({ model, coverage }) => ({
      x: coverage.map((value) => value === null ? null : 100 * value), y: scores.map(() => models[model].label), mode: "lines", hoverinfo: "skip",
      line: { color: variable("line"), width: 6 },
    }));
    scores.forEach((name, place) => traces.push({
      x: rows.map(({ coverage }) => coverage[place] === null ? null : 100 * coverage[place]),
      y: rows.map(({ model }) => models[model].label),
      mode: "markers", cliponaxis: false,
      name: scoreLabel(name),
      marker: { color: variable(place ? "correct" : "wrong"), size: 11, symbol: place ? "circle" : "circle-open", line: { width: 2.5, color: variable(place ? "correct" : "wrong") } },
      hovertemplate: `%{y}<br>${scoreLabel(name)}: coverage %{x:.1f} %<extra></extra>`,
    }));
    const lowest = Math.min(1, ...rows.flatMap(({ coverage }) => coverage.filter((value) => value !== null)));
    const names = rows.map(({ model }) => models[model].label);
    const broken = names.map((name) => name.match(LINES));
    draw("plot-target", traces, {
      height: 70 + rows.length * Math.max(40, ...broken.map((lines) => 20 * lines.length)),
      x: { title: "Coverage %", range: [Math.max(-6, 10 * Math.floor(10 * lowest) - 12), 101] },
      y: { title: "", autorange: "reversed", type: "category", tickvals: names, ticktext: broken.map((lines) => lines.join("<br>")), showgrid: false },
      description: `Coverage at ${targetRisk()} risk of each model; the numbers are in the table below.`,
    });
    legend("legend-target", scores.map((name, place) => ({
      label: scoreLabel(name), color: variable(place ? "correct" : "wrong"), marker: place ? "full" : "open",
    })));
    byId("table-target").replaceChildren(table({
      caption: `At a target risk of ${targetRisk()}. A dash: infeasible, or nothing accepted.${hasSeeds() ? " Thresholds are listed by seed." : ""}`,
      columns: ["Model", "Score", "coverage %", "certified coverage %", "risk there %", "certified threshold"],
      labels: 2,
      rows: rows.flatMap(({ model, at }) => scores.map((name) => [
        models[model].label,
        scoreLabel(name),
        percent(average(at(name, "coverage"))),
        percent(average(at(name, "certified_coverage"))),
        percent(average(at(name, "certified_risk")), 2),
        at(name, "threshold").map((value) => value === null ? "–" : String(Number(value.toPrecision(4)))).join(", "),
      ])),
    }));
    return rows.length > 0;
  },

  alpha() {
    const { before, by_alpha, models } = group();
    const scores = [...new Set([before, state.score === before ? group().after : state.score])];
    const traces = scores.map((score, place) => {
      const points = by_alpha.filter((row) => row.score === score && state.models.has(row.model))
        .sort((one, other) => models[one.model].alpha - models[other.model].alpha);
      const shade = variable(place ? "correct" : "wrong");
      return {
        x: points.map(({ model }) => models[model].alpha),
        y: points.map((row) => 100 * row.mean),
        text: points.map(({ model }) => models[model].label),
        error_y: {
          type: "data", symmetric: false, color: shade, thickness: 1.5, width: 4,
          array: points.map((row) => 100 * ((row.high ?? row.mean) - row.mean)),
          arrayminus: points.map((row) => 100 * (row.mean - (row.low ?? row.mean))),
        },
        mode: "lines+markers", name: scoreLabel(score),
        line: { color: shade, width: 2, dash: place ? "solid" : "dash" }, marker: { size: 8, symbol: place ? "circle" : "square" },
        hovertemplate: `%{text}, ${scoreLabel(score)}<br>AURC %{y:.3f} %<extra></extra>`,
      };
    });
    draw("plot-alpha", traces, {
      x: { title: "Alpha" }, y: { title: "AURC %", rangemode: "tozero" },
      description: `AURC against alpha under ${scores.map(scoreLabel).join(" and ")}.`,
    });
    legend("legend-alpha", scores.map((score, place) => ({
      label: scoreLabel(score), color: variable(place ? "correct" : "wrong"), dash: place ? "solid" : "dash",
    })));
    return by_alpha.length > 1;
  },

  norm() {
    const cells = chosenCells().filter(({ by_p }) => by_p && by_p.p.length);
    const traces = cells.flatMap(({ model, seed, by_p }) => {
      const shade = color(model);
      const chosen = by_p.p.indexOf(by_p.chosen);
      const name = `${group().models[model].label}${state.seeds.size > 1 ? `, seed ${seed}` : ""}`;
      return [
        {
          x: by_p.p, y: by_p.aurc.map((value) => 100 * value), mode: "lines+markers", name, line: { color: shade, width: 2 },
          marker: { size: by_p.p.map((_, place) => place === chosen ? 12 : 4) },
          hovertemplate: "%{fullData.name}<br>p = %{x}<br>AURC %{y:.3f} %<extra></extra>",
        },
        {
          x: [by_p.p[0], by_p.p.at(-1)], y: [100 * by_p.msp, 100 * by_p.msp], mode: "lines", name: `${name}, MSP`,
          line: { color: shade, width: 1.5, dash: "dot" }, hovertemplate: "%{fullData.name}<br>AURC %{y:.3f} %<extra></extra>",
        },
      ];
    });
    draw("plot-norm", traces, {
      x: { title: "p", dtick: 1 }, y: { title: "AURC %", rangemode: "tozero" },
      description: "AURC of the maximum logit over the p-norm against p, one line a model and seed.",
    });
    legend("legend-norm", [...modelEntries(), { label: "MSP of the same model", color: variable("quiet"), dash: "dot" },
      ...(cells.some(({ by_p }) => by_p.p.includes(by_p.chosen)) ? [{ label: "p chosen", color: variable("quiet"), marker: "full" }] : [])]);
    return group().cells.some(({ by_p }) => by_p && by_p.p.length);
  },

  mechanism() {
    const { mechanism } = group();
    drawPanels("plot-mechanism", mechanism.map(({ title }) => title), (id, place) => {
      const traces = Object.entries(mechanism[place].lines).flatMap(([outcome, { probability, mean: middle, std }]) => {
        const shade = variable(outcome);
        const edge = (sign) => middle.map((value, at) => value + sign * (std[at] ?? 0));
        return [
          { x: probability, y: edge(-1), mode: "lines", line: { width: 0 }, hoverinfo: "skip", name: "" },
          { x: probability, y: edge(1), mode: "lines", line: { width: 0 }, fill: "tonexty", fillcolor: `${shade}2e`, hoverinfo: "skip", name: "" },
          {
            x: probability, y: middle, mode: "lines", name: outcome, line: { color: shade, width: 2, dash: outcome === "wrong" ? "dash" : "solid" },
            hovertemplate: `${outcome}<br>probability %{x:.2f}<br>largest logit %{y:.2f}<extra></extra>`,
          },
        ];
      });
      draw(id, traces, {
        x: { title: "Largest probability", range: [0, 1] }, y: { title: "Largest logit" },
        description: `Largest logit given the largest probability, ${mechanism[place].title}.`,
      });
    });
    legend("legend-mechanism", [{ label: "correct", color: variable("correct") }, { label: "wrong", color: variable("wrong"), dash: "dash" }]);
    return mechanism.length > 0;
  },

  reliability() {
    byId("summed").hidden = !hasSeeds();
    const cells = chosenCells().filter((cell) => cell.reliability);
    const kinds = Object.keys(RELIABILITY).filter((name) => cells.some((cell) => name in cell.reliability));
    drawPanels("plot-reliability", kinds.map((name) => `MSP, ${RELIABILITY[name]}`), (id, place) => {
      const kind = kinds[place];
      const traces = [{ x: [0, 100], y: [0, 100], mode: "lines", hoverinfo: "skip", line: { color: variable("quiet"), width: 1, dash: "dot" } }];
      for (const model of state.models) {
        const bins = pooled(cells.filter((cell) => cell.model === model && kind in cell.reliability).map((cell) => cell.reliability[kind]));
        const name = group().models[model].label;
        traces.push({
          x: bins.map(({ confidence }) => 100 * confidence), y: bins.map(({ accuracy }) => 100 * accuracy),
          customdata: bins.map(({ count }) => count), mode: "lines+markers", name,
          line: { color: color(model), width: 2 }, marker: { size: 5 },
          hovertemplate: `${name}<br>MSP %{x:.1f} %<br>accuracy %{y:.1f} %<br>%{customdata:,} samples<extra></extra>`,
        }, {
          x: bins.map(({ middle }) => 100 * middle), y: bins.map(({ count }) => count), mode: "lines", name, yaxis: "y2",
          line: { color: color(model), width: 1.5, shape: "hvh" }, hoverinfo: "skip",
        });
      }
      const axis = { fixedrange: true, automargin: true, gridcolor: variable("line"), zerolinecolor: variable("line") };
      draw(id, traces, {
        x: { title: "MSP %", range: [0, 101], anchor: "y2" }, y: { title: "Accuracy %", range: [0, 101], domain: [0.34, 1] },
        yaxis2: { ...axis, domain: [0, 0.24], title: { text: "Samples", standoff: 8 }, rangemode: "tozero", nticks: 3 },
        description: `Accuracy against MSP, ${RELIABILITY[kind]}.`,
      });
    });
    legend("legend-reliability", [...modelEntries(), { label: "a probability that means what it says", color: variable("quiet"), dash: "dot" }]);
    return group().cells.some((cell) => cell.reliability);
  },

  errors() {
    const { after, before, classes, models, pictures } = group();
    if (!pictures) return false;
    const seed = Math.min(...state.seeds);
    const cells = chosenCells().filter((cell) => cell.seed === seed);
    const total = cells.length ? cells[0].curves[before].accepted.at(-1) : 0;
    byId("errors-caption").textContent = "The wrong predictions with the largest MSP, and their ranks among all "
      + `${total.toLocaleString("en")} test samples before and after ${scoreLabel(after)}: a large rank is rejected early. Seed ${seed}.`;
    byId("errors-list").replaceChildren(...cells.map((cell, place) => {
      const items = cell.errors.map((error) => {
        const [target, prediction] = [classes[error.target], classes[error.prediction]];
        return element("li", {},
          element("img", { src: pictures[error.row], alt: `Test image ${error.row}: class ${target}, predicted ${prediction}` }),
          element("strong", {}, `${target} taken for ${prediction}`), element("br"),
          `rank ${error.before.toLocaleString("en")} → ${error.after.toLocaleString("en")}`);
      });
      const gallery = element("ul", { class: "gallery" }, ...items);
      return foldable(models[cell.model].label, gallery, place === 0 || place === cells.length - 1);
    }));
    return true;
  },

  tables() {
    byId("tables-list").replaceChildren(...group().tables.map(table));
    return group().tables.length > 0;
  },
};

const average = (values) => {
  const known = values.filter((value) => value !== null);
  return known.length ? mean(known) : null;
};

/** Bins of several seeds together, without those whose accuracy would be luck. */
function pooled(diagrams) {
  if (!diagrams.length) return [];
  return diagrams[0].low.map((low, bin) => {
    const filled = diagrams.filter(({ count }) => count[bin] > 0);
    const count = filled.reduce((sum, diagram) => sum + diagram.count[bin], 0);
    const weighted = (name) => filled.reduce((sum, diagram) => sum + diagram.count[bin] * diagram[name][bin], 0) / count;
    return { count, middle: (low + diagrams[0].high[bin]) / 2, confidence: weighted("confidence"), accuracy: weighted("accuracy") };
  }).filter(({ count }) => count >= FEWEST);
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

// Controls

// Not part of render, so that the focus stays in the box that was ticked.
function offerCells() {
  const { models, seeds } = group();
  boxes("models", models.map(({ label }, value) => ({ value, label, mark: { color: color(value) } })), state.models);
  boxes("seeds", seeds.map((value) => ({ value, label: String(value) })), state.seeds);
  byId("models-field").hidden = models.length < 2;
  byId("seeds-field").hidden = !hasSeeds();
}

function boxes(id, entries, chosen) {
  byId(id).replaceChildren(...entries.map(({ value, label, mark }) => {
    const box = element("input", { type: "checkbox", value });
    box.checked = chosen.has(value);
    box.addEventListener("change", () => {
      if (box.checked) chosen.add(value);
      else if (chosen.size > 1) chosen.delete(value);
      else box.checked = true; // an empty page would tell nothing
      const order = [...chosen].sort((one, other) => one - other);
      chosen.clear();
      order.forEach((each) => chosen.add(each));
      render();
    });
    return element("label", {}, box, ...(mark ? [swatch(mark)] : []), label);
  }));
}

function chooseGroup(place) {
  state.group = place;
  const { models, seeds, score, compare, risks, risk, scores } = group();
  state.models = new Set(models.keys());
  state.seeds = new Set(seeds);
  Object.assign(state, { score, compare, risk: risks.reduce((best, value, at) => Math.abs(value - risk) < Math.abs(risks[best] - risk) ? at : best, 0) });
  offerCells();
  byId("score").replaceChildren(...scores.map(({ name, label }) => element("option", { value: name }, label)));
  byId("score").value = state.score;
  byId("compare").checked = state.compare;
  byId("compare-field").hidden = scores.length < 2;
  byId("risk").max = risks.length - 1;
  byId("risk").value = state.risk;
  render();
}

function render() {
  byId("risk-text").textContent = targetRisk();
  byId("risk").setAttribute("aria-valuetext", targetRisk());
  for (const [id, view] of Object.entries(views)) {
    const section = byId(id);
    section.hidden = false; // a plot takes the width that its place has
    section.hidden = !view();
  }
  const shown = [...document.querySelectorAll("main > section:not([hidden])")];
  byId("contents").replaceChildren(...shown.map((section) =>
    element("li", {}, element("a", { href: `#${section.id}` }, section.querySelector("h2").textContent))));
}

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  byId("theme").textContent = dark ? "Light" : "Dark";
  if (state.models.size) {
    offerCells();
    render();
  }
}

function start() {
  const preferred = matchMedia("(prefers-color-scheme: dark)");
  setTheme(preferred.matches);
  preferred.addEventListener("change", ({ matches }) => setTheme(matches));
  byId("theme").addEventListener("click", () => setTheme(!isDark()));
  byId("group-field").hidden = data.groups.length < 2;
  byId("group").replaceChildren(...data.groups.map(({ name }, place) => element("option", { value: place }, name)));
  byId("group").addEventListener("change", ({ target }) => chooseGroup(Number(target.value)));
  byId("score").addEventListener("change", ({ target }) => { state.score = target.value; render(); });
  byId("compare").addEventListener("change", ({ target }) => { state.compare = target.checked; render(); });
  byId("risk").addEventListener("input", ({ target }) => { state.risk = Number(target.value); render(); });
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("all-list")?.replaceChildren(...data.tables.map(table));
  chooseGroup(0);
}

start();
