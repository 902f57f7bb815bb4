"use strict";
// The page: sections of chart cards from the report's data, built when they come near the screen.

const REPORT = JSON.parse(document.getElementById("report-data").textContent);
VIEW.full = REPORT.range;

function element(kind, { children = [], ...properties } = {}) {
  const made = Object.assign(document.createElement(kind), properties);
  made.append(...children.filter(Boolean));
  return made;
}

function drawCurves(plot, chart, curves, log, now) {
  return draw(plot, {
    data: columns(curves, log, chart.counts || chart.exact ? 0 : SMOOTHING.share),
    series: curveSeries(curves, chart.counts),
    bands: curves.map((curve, place) => ({ series: [3 * place + 2, 3 * place + 1], fill: () => faded(runColor(curve.look), 0.16) })),
    behind: (u) => shadeFindings(u, chart.marks ?? [], REPORT.runs),
    tip: curveTip(curves, REPORT.runs),
    unit: chart.unit,
    range: chart.counts ? countRange : valueRange,
    counts: chart.counts,
    log,
    now,
  });
}

function drawHistogram(plot, chart) {
  const x = Array.from(decode(chart.steps, Float64Array));
  const quantiles = chart.quantiles?.map(numbers) ?? [x.map(() => null)];
  const shares = decode(chart.shares, Uint8Array);
  const width = chart.quantiles ? [1, 2, 1] : [0];
  return draw(plot, {
    data: [x, ...quantiles],
    series: width.map((thick) => ({ stroke: () => color("--heat-line"), width: thick, points: { show: false, filter: alone } })),
    behind: (u) => paintShares(u, x, shares, chart),
    tip: chart.values ? shareTip(x, shares, chart) : quartileTip(x, quantiles),
    range: [chart.low, chart.high],
    rows: chart.values,
    grid: false,
  });
}

const quartileTip = (x, quantiles) => (u) => ["75 %", "median", "25 %"].map((name, place) => ({
  step: x[u.cursor.idx], color: color("--heat-line"), name, value: short(quantiles[2 - place][u.cursor.idx]), raw: "",
}));

const shareTip = (x, shares, chart) => (u) => chart.values.map((value, row) => {
  const share = chart.peak * (shares[u.cursor.idx * chart.bins + row] / 255) ** 2;
  return { step: x[u.cursor.idx], color: color("--heat-high"), name: short(value), value: `${(100 * share).toFixed(0)} %`, raw: "" };
}).reverse();

function paintShares(u, x, shares, chart) {
  const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const [low, high] = [channels(color("--heat-low")), channels(color("--heat-high"))];
  const edge = (at) => (at <= 0 ? x[0] - (x[1] - x[0] || 1) / 2 : at >= x.length ? x[at - 1] + (x[at - 1] - x[at - 2] || 1) / 2 : (x[at - 1] + x[at]) / 2);
  const height = (u.valToPos(chart.low, "y", true) - u.valToPos(chart.high, "y", true)) / chart.bins;
  const bottom = u.valToPos(chart.low, "y", true);
  u.ctx.save();
  u.ctx.beginPath();
  u.ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  u.ctx.clip();
  for (let column = 0; column < x.length; column++) {
    const left = Math.floor(u.valToPos(edge(column), "x", true));
    const right = Math.max(Math.floor(u.valToPos(edge(column + 1), "x", true)), left + 4 * devicePixelRatio); // a lone one is seen
    for (let bin = 0; bin < chart.bins; bin++) {
      const share = shares[column * chart.bins + bin] / 255;
      if (share === 0) continue;
      u.ctx.fillStyle = `rgb(${low.map((part, at) => Math.round(part + share * (high[at] - part))).join()})`;
      const top = Math.floor(bottom - (bin + 1) * height) + (chart.values ? 2 : 0);
      u.ctx.fillRect(left, top, right - left, Math.floor(bottom - bin * height) - top);
    }
  }
  u.ctx.restore();
}

// a long tag goes on in the next line after a separator
const breakable = (tag) => tag.split(/(?<=[/_.])/).flatMap((part) => [part, element("wbr")]);

function named(name, look) {
  const swatch = element("span", { className: "swatch" });
  swatch.dataset.run = look;
  return [swatch, name];
}

// of curves that are not runs, which the top of the page names
function legend(curves) {
  const groups = curves.filter((curve) => curve.name).map((curve) => element("span", { children: named(curve.name, curve.run) }));
  return groups.length ? element("span", { className: "groups", children: groups }) : null;
}

function card(chart, hero) {
  const curves = chart.curves?.map(unpack);
  const now = curves?.length === 1 ? element("span", { className: "now", textContent: short(curves[0].mean.findLast((value) => value !== null)) + (chart.unit ? ` ${chart.unit}` : "") }) : null;
  const plot = element("div", { className: "plot", role: "img", ariaLabel: `${chart.tag} over ${REPORT.steps}${now ? `, last ${now.textContent}` : ""}` });
  let u = null;
  const build = () => {
    if (u) { CHARTS.delete(u); u.destroy(); }
    u = curves ? drawCurves(plot, chart, curves, log?.ariaPressed === "true", now) : drawHistogram(plot, chart);
  };
  const log = chart.spread ? element("button", { textContent: "log", ariaPressed: "false", title: "logarithmic values" }) : null;
  log?.addEventListener("click", () => { log.ariaPressed = String(log.ariaPressed !== "true"); build(); });
  const head = element("header", { children: [element("h3", { children: breakable(chart.tag) }), now, log] });
  const made = element("article", { className: hero ? "chart hero" : "chart", id: `chart-${chart.tag}`, children: [head, element("p", { children: [chart.about, curves && legend(curves)] }), plot] });
  made.names = chart.names ?? [chart.tag];
  made.rebuild = () => { if (u) build(); };
  made.show = () => {
    if (u) return;
    build();
    new ResizeObserver(() => u.setSize({ width: plot.clientWidth, height: plot.clientHeight })).observe(plot);
  };
  return made;
}

function section({ title, note, charts, first }) {
  const cards = (some, hero) => element("div", { className: "grid", children: some.map((chart, at) => card(chart, hero && at === 0)) });
  const rest = charts.slice(first);
  const more = rest.length ? element("details", { children: [element("summary", { textContent: first ? `${rest.length} more` : `${rest.length} in all` }), cards(rest, false)] }) : null;
  const hero = title === REPORT.sections[0].title && charts[0]?.curves;
  const about = note ? element("p", { className: "muted note", textContent: note }) : null;
  return [element("h2", { textContent: title, id: title }), about, first ? cards(charts.slice(0, first), hero) : null, more];
}

const links = document.querySelector("nav > div");
for (const each of REPORT.sections) {
  document.getElementById("charts").append(...section(each).filter(Boolean));
}
const near = new IntersectionObserver((seen) => {
  for (const entry of seen) if (entry.isIntersecting) entry.target.show();
}, { rootMargin: "600px" });
for (const made of document.querySelectorAll(".chart")) {
  if (made.checkVisibility() && made.getBoundingClientRect().top < innerHeight) made.show();
  else near.observe(made);
}
for (const heading of [...document.querySelectorAll("h2")].reverse()) {
  links.prepend(element("a", { href: `#${heading.id}`, textContent: heading.textContent }));
}
if (REPORT.runs.length > 1) {
  const runs = REPORT.legend.map(([name, look]) => element("li", { children: named(name, look) }));
  document.querySelector("nav").append(element("ul", { className: "runs", children: runs }));
}
for (const swatch of document.querySelectorAll("[data-run]")) swatch.style.background = swatchOf(swatch.dataset.run);

document.getElementById("reset").addEventListener("click", () => zoom(null));
document.getElementById("smoothing").addEventListener("input", (event) => {
  SMOOTHING.share = event.target.value / 100;
  for (const made of document.querySelectorAll(".chart")) made.rebuild();
});
document.addEventListener("click", (event) => {
  const tag = event.target.closest("a[data-tag]")?.dataset.tag;
  const target = tag && [...document.querySelectorAll(".chart")].find((made) => made.names.includes(tag));
  if (!target) return;
  event.preventDefault();
  target.closest("details")?.setAttribute("open", "");
  target.scrollIntoView({ behavior: "smooth", block: "center" });
});
const recolor = () => { for (const u of CHARTS) u.redraw(false); };
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolor);
addEventListener("beforeprint", () => { // every chart that is not folded, in the colors of paper
  document.documentElement.className = "paper";
  for (const made of document.querySelectorAll(".chart")) if (made.checkVisibility()) made.show();
  recolor();
});
addEventListener("afterprint", () => {
  document.documentElement.className = "";
  recolor();
});
