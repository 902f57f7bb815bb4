"use strict";
// All charts show the same steps: zoom by mouse and by fingers.

const VIEW = { full: null, zoom: null };
const CHARTS = new Set();

function zoom(min, max) {
  VIEW.zoom = min === null ? null : [min, max];
  const [from, to] = VIEW.zoom ?? VIEW.full;
  for (const u of CHARTS) u.setScale("x", { min: from, max: to });
  document.getElementById("reset").hidden = VIEW.zoom === null;
}

// one finger moves the cursor, two zoom; up and down still scrolls the page
function fingers() {
  const touching = new Map();
  let pinch = null;
  const spread = (u) => [...touching.values()].map((x) => u.posToVal(x, "x")).sort((a, b) => a - b);
  const move = (u, event) => {
    if (event.pointerType !== "touch" || !touching.has(event.pointerId)) return;
    const box = u.over.getBoundingClientRect();
    touching.set(event.pointerId, event.clientX - box.left);
    if (touching.size === 1) u.setCursor({ left: event.clientX - box.left, top: event.clientY - box.top });
    if (touching.size === 2 && pinch) {
      const [a, b] = [...touching.values()].sort((one, other) => one - other);
      const scale = (pinch[1] - pinch[0]) / Math.max(b - a, 20);
      const from = pinch[0] - a * scale;
      zoom(Math.max(VIEW.full[0], from), Math.min(VIEW.full[1], from + u.over.clientWidth * scale));
    }
  };
  const down = (u, event) => {
    if (event.pointerType !== "touch") return;
    touching.set(event.pointerId, event.clientX - u.over.getBoundingClientRect().left);
    pinch = touching.size === 2 ? spread(u) : null;
  };
  const up = (event) => { touching.delete(event.pointerId); pinch = null; };
  return {
    hooks: {
      ready: (u) => {
        u.over.addEventListener("pointerdown", (event) => down(u, event));
        u.over.addEventListener("pointermove", (event) => move(u, event));
        for (const end of ["pointerup", "pointercancel", "pointerleave"]) u.over.addEventListener(end, up);
      },
    },
  };
}
