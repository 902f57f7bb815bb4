"use strict";
// One chart: smoothed curves over the raw ones, findings as bands, a histogram as a heat map behind its quantiles.

const SMOOTHING = { share: 0.04 };
const POINTED = { chart: null };

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const faded = (hex, alpha) => hex + Math.round(alpha * 255).toString(16).padStart(2, "0");
const runColor = (run) => color(`--run-${run % 7}`);
// after the last color they begin again, dashed
const DASHES = [[], [9, 4], [3, 3]];
const runDash = (run) => DASHES[Math.floor(run / 7) % DASHES.length];

function swatchOf(run) {
  const [long, gap] = runDash(run), hue = `var(--run-${run % 7})`;
  return long ? `repeating-linear-gradient(90deg, ${hue} 0 ${long / 2}px, transparent ${long / 2}px ${(long + gap) / 2}px)` : hue;
}

function decode(text, Type) {
  return new Type(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

// NaN ends a line
const numbers = (text) => Array.from(decode(text, Float32Array), (value) => (Number.isFinite(value) ? value : null));

function short(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size >= 0.9995e15) return (+value.toPrecision(digits)).toExponential();
  for (const [unit, prefix] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= 0.9995 * unit) return +(value / unit).toPrecision(digits) + prefix;
  }
  return size !== 0 && size < 1e-3 ? (+value.toPrecision(digits - 1)).toExponential() : String(+value.toPrecision(digits));
}

// numbers that are read together, in as many digits as distinguish them; a logarithmic axis leaves some out
function labels(values) {
  const known = values.filter((value) => value !== null);
  let digits = 4;
  while (digits < 15 && new Set(known.map((value) => short(value, digits))).size < known.length) digits++;
  return values.map((value) => (value === null ? "" : short(value, digits)));
}

// triangular mean over the neighbors within half of the window
function smoothed(values, share) {
  const reach = Math.round((share * values.length) / 2);
  if (reach < 1) return values;
  return values.map((value, at) => {
    if (value === null) return null;
    let sum = 0, weight = 0;
    for (let other = Math.max(0, at - reach); other <= Math.min(values.length - 1, at + reach); other++) {
      if (values[other] === null) continue;
      const part = reach + 1 - Math.abs(at - other);
      sum += part * values[other];
      weight += part;
    }
    return sum / weight;
  });
}

// points between two gaps, which no line reaches; where another run has a point is no gap
function alone(u, series) {
  const values = u.data[series];
  const own = [...values.keys()].filter((at) => values[at] !== undefined);
  const known = (place) => (values[own[place]] ?? null) !== null;
  return own.filter((_, place) => known(place) && !known(place - 1) && !known(place + 1));
}

function unpack(curve) {
  const mean = numbers(curve.mean);
  return {
    run: curve.run,
    look: curve.name ? curve.run : REPORT.looks[curve.run], // which color, and which dashes
    name: curve.name,
    x: Array.from(decode(curve.x, Float64Array)),
    mean,
    low: curve.low ? numbers(curve.low) : mean,
    high: curve.high ? numbers(curve.high) : mean,
  };
}

// series of each run: low, high (equal where every point is shown), smoothed
function columns(curves, log, share) {
  const positive = (values) => (log ? values.map((value) => (value > 0 ? value : null)) : values);
  const tables = curves.map((curve) => [
    curve.x, positive(curve.low), positive(curve.high), positive(smoothed(curve.mean, share)),
  ]);
  return tables.length > 1 ? uPlot.join(tables) : tables[0];
}

function curveSeries(curves, counts) {
  const paths = counts ? uPlot.paths.stepped({ align: 1 }) : undefined;
  return curves.flatMap((curve) => {
    const line = () => runColor(curve.look);
    const points = { show: false, filter: alone, fill: line };
    const raw = { stroke: () => faded(line(), 0.38), width: 1, paths, points };
    return [raw, { ...raw }, { stroke: line, width: 2, dash: runDash(curve.look), paths, points }];
  });
}

// distances between ticks that count: steps, findings
const WHOLE = Array.from({ length: 48 }, (_, at) => [1, 2, 5][at % 3] * 10 ** Math.floor(at / 3));

function axes(grid, rows, counts) {
  const shared = {
    stroke: () => color("--muted"), font: "11px system-ui, sans-serif", ticks: { show: false },
    grid: { show: grid, stroke: () => color("--grid"), width: 1 }, values: (_, ticks) => labels(ticks),
  };
  const width = (_, values) => 12 + 6.4 * Math.max(...(values ?? [""]).map((text) => (text ?? "").length));
  const named = rows ? { splits: rows.map((_, at) => at), values: () => labels(rows) } : {};
  return [{ ...shared, size: 26, space: 56, incrs: WHOLE }, { ...shared, size: width, space: 32, gap: 6, ...named, ...(counts ? { incrs: WHOLE } : {}) }];
}

// runs log at different steps: each series answers with its own nearest point
function nearest(u, series, at) {
  const values = u.data[series];
  for (let far = 0; far < values.length; far++) {
    if (values[at - far] != null) return at - far;
    if (values[at + far] != null) return at + far;
  }
  return at;
}

function shadeFindings(u, marks, names) {
  const { left: start, top, width, height } = u.bbox, place = (step) => u.valToPos(step, "x", true);
  const seen = marks.filter(({ from, to }) => place(to) >= start && place(from) <= start + width);
  for (const { from, to, severity } of seen) {
    const left = Math.max(place(from), start), hue = color(`--${severity}`);
    u.ctx.fillStyle = faded(hue, 0.13);
    u.ctx.fillRect(left, top, Math.max(Math.min(place(to), start + width) - left, 2), height);
    u.ctx.fillStyle = hue;
    u.ctx.fillRect(left, top, 2, height);
  }
  nameFindings(u, seen, place, names);
}

// those that overlap stand below each other, as many as there is room for
function nameFindings(u, marks, place, runs) {
  const { left: start, top, width, height } = u.bbox, gap = 6 * devicePixelRatio, line = 13 * devicePixelRatio;
  const ends = []; // of the last name in each row
  u.ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  u.ctx.textBaseline = "top";
  for (const { from, severity, rule, run } of marks) {
    const name = rule.replaceAll("_", " ") + (runs.length > 1 ? ` · ${runs[run]}` : "");
    const room = u.ctx.measureText(name).width + gap;
    const left = Math.max(start, Math.min(place(from), start + width - room)) + gap;
    const row = [...ends, 0].findIndex((end) => end <= left);
    if ((row + 1) * line > height) continue;
    ends[row] = left + room;
    u.ctx.fillStyle = color(`--${severity}`);
    u.ctx.fillText(name, left, top + 2 + row * line);
  }
}

function curveTip(curves, names) {
  return (u) => curves.map((curve, place) => {
    const at = u.cursor.idxs[3 * place + 3];
    const [low, high, value] = [1, 2, 3].map((offset) => u.data[3 * place + offset][at]);
    const raw = low === high ? (low === value ? "" : `raw ${short(low)}`) : `${short(low)} … ${short(high)}`;
    return { step: u.data[0][at], color: runColor(curve.look), swatch: swatchOf(curve.look), name: curve.name ?? (names.length > 1 ? names[curve.run] : ""), value: short(value), raw };
  });
}

// the chart under the pointer has a tip; the others show the same step beside their names
function follow(u, rows, unit, now) {
  const inside = u.cursor.left >= 0 && u.cursor.idx !== null;
  const tip = u.root.querySelector(".tip");
  tip.hidden = !inside || POINTED.chart !== u;
  if (!tip.hidden) showTip(u, tip, rows(u), unit);
  if (!now) return;
  now.dataset.last ??= now.textContent;
  now.textContent = inside ? rows(u)[0].value + (unit ? ` ${unit}` : "") : now.dataset.last;
}

function showTip(u, tip, rows, unit) {
  const line = (row) => {
    const parts = [["span", ""], ["span", row.name], ["small", row.raw], ["b", `${row.value}${unit ? ` ${unit}` : ""}`]];
    const elements = parts.map(([kind, text]) => Object.assign(document.createElement(kind), { textContent: text }));
    elements[0].className = "swatch";
    elements[0].style.background = row.swatch ?? row.color;
    const div = document.createElement("div");
    div.append(...elements);
    return div;
  };
  const step = Object.assign(document.createElement("small"), { textContent: `${REPORT.steps} ${rows[0].step.toLocaleString("en")}` });
  tip.replaceChildren(step, ...rows.map(line));
  const room = u.over.clientWidth;
  const { left } = u.cursor;
  const at = left > room / 2 ? left - tip.offsetWidth - 12 : left + 12;
  tip.style.left = `${u.over.offsetLeft + Math.max(-u.over.offsetLeft, Math.min(at, room - tip.offsetWidth))}px`;
}

// a constant gets room around it
function valueRange(u, low, high) {
  if (low === null || (low === 0 && high === 0)) return [0, 1];
  return low === high ? [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2] : uPlot.rangeNum(low, high, 0.08, true);
}

const countRange = (u, low, high) => [0, 1.08 * Math.max(high ?? 1, 1)];

function draw(plot, { data, series, bands = [], behind, tip, unit, now, log = false, range = valueRange, rows, grid = true, counts = false }) {
  const options = {
    width: plot.clientWidth, height: plot.clientHeight, legend: { show: false }, padding: [8, 20, 0, 0], bands, series: [{}, ...series], axes: axes(grid, rows, counts),
    scales: { x: { time: false, range: () => VIEW.zoom ?? VIEW.full }, y: log ? { distr: 3 } : { range } },
    cursor: { y: false, points: { show: false }, dataIdx: nearest, drag: { x: true, y: false, setScale: false }, sync: { key: "step", scales: ["x", null] } },
    hooks: {
      drawClear: [behind],
      setCursor: [(u) => follow(u, tip, unit, now)],
      setSelect: [(u) => { if (u.select.width > 6) zoom(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")); u.setSelect({ width: 0, left: 0, top: 0, height: 0 }, false); }],
      init: [(u) => u.root.append(Object.assign(document.createElement("div"), { className: "tip", hidden: true }))],
    },
    plugins: [fingers()],
  };
  const u = new uPlot(options, data, plot);
  u.over.addEventListener("dblclick", () => zoom(null));
  for (const event of ["mouseenter", "pointerdown"]) u.over.addEventListener(event, () => { POINTED.chart = u; });
  CHARTS.add(u);
  return u;
}
