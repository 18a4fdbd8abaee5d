"use strict";

// The data of the page, and the one state that every view is drawn from.
const data = JSON.parse(byId("data").textContent);
const state = { group: 0, models: new Set(), seeds: new Set(), score: "", risk: 0 };

const RELIABILITY = {
  msp: "as trained",
  msp_temperature: "temperature of least AURC",
  msp_temperature_nll: "temperature of least NLL",
};

const FEWEST = 10; // samples of a bin that is drawn
const LINES = /\S.{0,22}(?=\s|$)|\S.{0,22}/g; // of a name beside a plot: broken between words where it can be
const WIDE = 30; // largest over smallest risk from which on the axis is logarithmic
const TICKS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100]; // of it, percent

const group = () => data.groups[state.group];
const chosenCells = () => group().cells.filter((cell) => state.models.has(cell.model) && state.seeds.has(cell.seed));
const targetRisk = () => trimmed(group().risks[state.risk]);
const hasSeeds = () => group().seeds.length > 1;
const scoreLabel = (name) => group().scores.find((score) => score.name === name).label;
const color = (model) => colorOf(group().models, model);
const modelEntries = () => [...state.models].map((model) => ({ label: group().models[model].label, color: color(model) }));
const average = (values) => {
  const known = values.filter((value) => value !== null);
  return known.length ? mean(known) : null;
};

/** Mean, lowest and highest risk over the seeds chosen at every coverage, of every model chosen that has the score. */
function riskCurves(score) {
  const cells = chosenCells().filter(({ curves }) => score in curves.scores);
  return [...state.models].map((model) => cells.filter((cell) => cell.model === model)).filter(({ length }) => length).map((found) => {
    const risks = found.map(({ curves }) => curves.scores[score].risk);
    const across = (summary) => risks[0].map((_, at) => summary(risks.map((risk) => risk[at])));
    return {
      model: found[0].model, seeds: found.length,
      coverage: found[0].curves.coverage, threshold: found[0].curves.scores[score].threshold,
      middle: across(mean), low: across((values) => Math.min(...values)), high: across((values) => Math.max(...values)),
    };
  });
}

/** The axis of risk that the plots before and after share. */
function riskAxis(curves) {
  const highest = Math.max(...curves.flatMap(({ high }) => high), group().risks[state.risk]);
  const counted = curves.flatMap(({ coverage, middle }) => middle.filter((risk, at) => risk > 0 && coverage[at] >= 0.05));
  const lowest = Math.min(highest, ...counted) / 1.5;
  const title = "Risk: % errors";
  if (highest < WIDE * lowest) return { floor: 0, axis: { title, range: [0, 105 * highest] } };
  const range = [100 * lowest, 120 * highest];
  const tickvals = TICKS.filter((tick) => tick >= range[0] && tick <= range[1]);
  return { floor: lowest, axis: { title, type: "log", range: range.map(Math.log10), tickvals, ticktext: tickvals.map(String) } };
}

function drawCurves(id, score, curves, { floor, axis }) {
  const drawn = (risks) => risks.map((risk) => 100 * Math.max(risk, floor));
  const target = 100 * group().risks[state.risk];
  const traces = curves.flatMap(({ model, seeds, coverage, threshold, middle, low, high }) => {
    const name = `${group().models[model].label}, ${scoreLabel(score)}`;
    const detail = (at) => seeds > 1 ? `seeds: ${trimmed(low[at], 3)} to ${trimmed(high[at], 3)}` : `threshold ${threshold[at]}`;
    return banded({
      x: coverage.map((value) => 100 * value), middle: drawn(middle), low: drawn(low), high: drawn(high), color: color(model), name,
      text: middle.map((risk, at) => `${name}<br>coverage ${percent(coverage[at])} %<br>risk ${trimmed(risk, 3)}<br>${detail(at)}`),
      hovertemplate: "%{text}<extra></extra>",
    });
  });
  traces.push({
    x: [0, 100], y: [target, target], mode: "lines", name: "target risk", hoverinfo: "skip",
    line: { color: variable("quiet"), width: 1.5, dash: "dot" },
  });
  draw(id, traces, {
    x: { title: "Coverage: % accepted", range: [0, 100.5] }, y: axis,
    shapes: [{ type: "rect", yref: "paper", x0: 0, x1: 20, y0: 0, y1: 1, layer: "below", line: { width: 0 }, fillcolor: variable("raised") }],
    annotations: [{ yref: "paper", x: 10, y: 1, yanchor: "top", text: "most<br>trusted<br>fifth", showarrow: false, font: { size: 12, color: variable("quiet") } }],
    description: `Risk against coverage, ranked by ${scoreLabel(score)}, one line a model.`,
  });
}

// Views: each draws one section from the state and says whether there is anything to see.

const views = {
  finding() {
    const { headline, description, facts, before } = group();
    const scores = [...new Set([before, state.score])];
    const curves = scores.map(riskCurves);
    const scale = riskAxis(curves.flat());
    byId("headline").replaceChildren(...headline.split(/(\([^()]*\))/).map((part, place) =>
      place % 2 ? element("span", { class: "numbers" }, part) : part));
    byId("before-title").textContent = `Before: ranked by ${scoreLabel(before)}`;
    byId("after-panel").hidden = scores.length < 2;
    if (scores.length > 1) byId("after-title").textContent = `After: ranked by ${scoreLabel(state.score)}`;
    ["plot-before", "plot-after"].slice(0, scores.length).forEach((id, place) => drawCurves(id, scores[place], curves[place], scale));
    legend("legend-curves", [...modelEntries(), { label: `target risk ${targetRisk()}`, color: variable("quiet"), dash: "dot" }]);
    byId("curve-scale").textContent = (state.seeds.size > 1 ? "Lines are means over the seeds, bands from the lowest to the highest. " : "")
      + (scale.floor ? "The risk axis is logarithmic; its lower edge means no errors." : "");
    byId("description").textContent = description;
    byId("facts").replaceChildren(...facts.map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value))));
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
    const scores = [...new Set([before, state.score])];
    const traces = scores.map((score, place) => {
      const points = by_alpha.filter((row) => row.score === score)
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
      const traces = Object.entries(mechanism[place].lines).flatMap(([outcome, { probability, mean: middle, standard_error: error }]) => {
        const edge = (sign) => middle.map((value, at) => value + 2 * sign * (error[at] ?? 0));
        return banded({
          x: probability, middle, low: edge(-1), high: edge(1), color: variable(outcome), name: outcome,
          line: { dash: outcome === "wrong" ? "dash" : "solid" },
          hovertemplate: `${outcome}<br>probability %{x:.2f}<br>largest logit %{y:.2f}<extra></extra>`,
        });
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
    legend("legend-reliability", [...modelEntries(), { label: "perfect calibration", color: variable("quiet"), dash: "dot" }]);
    return group().cells.some((cell) => cell.reliability);
  },

  errors() {
    const { after, classes, models, pictures, samples } = group();
    if (!pictures) return false;
    const seed = Math.min(...state.seeds);
    const cells = chosenCells().filter((cell) => cell.seed === seed);
    byId("errors-caption").textContent = "The wrong predictions with the largest MSP, and their ranks among all "
      + `${samples.toLocaleString("en")} test samples before and after ${scoreLabel(after)}: a large rank is rejected early. Seed ${seed}.`;
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

  sentences() {
    const { findings } = group();
    const isShown = ({ model }) => model === null || state.models.has(model);
    const shown = findings
      .map(({ heading, sentences }) => ({ heading, sentences: sentences.filter(isShown) }))
      .filter(({ sentences }) => sentences.length);
    byId("sentences-list").replaceChildren(...shown.map(({ heading, sentences }) =>
      foldable(heading, element("ul", {}, ...sentences.map(({ text }) => element("li", {}, text))), false)));
    return shown.length > 0;
  },
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
  const { shown, seeds, after, risks, risk, scores } = group();
  state.models = new Set(shown);
  state.seeds = new Set(seeds);
  state.score = after;
  state.risk = risks.reduce((best, value, at) => Math.abs(value - risk) < Math.abs(risks[best] - risk) ? at : best, 0);
  offerCells();
  byId("score").replaceChildren(...scores.map(({ name, label }) => element("option", { value: name }, label)));
  byId("score").value = state.score;
  byId("score-field").hidden = scores.length < 2;
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
  const shown = [...document.querySelectorAll("main section:not([hidden])")];
  byId("contents").replaceChildren(...shown.map((section) =>
    element("li", {}, element("a", { href: `#${section.id}` }, section.ariaLabel ?? section.querySelector("h2").textContent))));
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
  byId("risk").addEventListener("input", ({ target }) => { state.risk = Number(target.value); render(); });
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("all-list")?.replaceChildren(...data.tables.map(table));
  chooseGroup(0);
}

start();
