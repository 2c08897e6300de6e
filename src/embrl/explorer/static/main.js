// The page: clouds with their controls, views side by side, and what is known of a point.

const DATA = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const clouds = Object.fromEntries(
  Object.entries(unpackAll(DATA.clouds)).map(([name, each]) => [name, new Cloud(each)]));
const tip = at("tip");

at("head").append(el("h1", {}, DATA.title),
  ...DATA.notes.map((note) => el("p", {}, note)),
  el("p", {}, "Drag to move, wheel to zoom, double click for all; click a point for its neighbours."));

// Views

function showTip(plot, index, event) {
  tip.hidden = index < 0;
  if (index < 0) return;
  const { cloud } = plot, thumbnail = cloud.thumbnail(index);
  tip.replaceChildren(el("b", {}, cloud.label(index)),
    ...cloud.columns.slice(0, 8).map((column) => el("div", {}, `${column.name}: ${cloud.value(column, index)}`)),
    ...(thumbnail ? [thumbnail] : []));
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - 270)}px`;
  tip.style.top = `${event.clientY + 14}px`;
}

function hover(plot, index, event) {
  showTip(plot, index, event);
  if (plot.cloud.hovered === index) return;
  plot.cloud.hovered = index;
  for (const other of plots) if (other.cloud === plot.cloud) other.drawOver();
}

function click(plot, index, place) {
  if (index < 0 && !(policy?.walk && plot.view.key === "S")) return select(plot.cloud, -1);
  if (policy?.walk && plot.view.key === "S") walkFrom(place);
  else if (live) live.choose(index);
  if (index >= 0) select(plot.cloud, index);
}

const unpacked = unpackAll({ views: DATA.views, policy: DATA.policy, walk: DATA.walk, agents: DATA.agents });
const size = unpacked.views.length > 1 ? [430, 400] : [760, 620];
const plots = unpacked.views.map((view) => new Plot(view, clouds[view.cloud], { hover, click }, size));
at("views").append(...plots.map((plot) => plot.element));
const plotOf = (key) => plots.find((plot) => plot.view.key === key);
const redraw = () => plots.forEach((plot) => plot.redraw());

// Policy and agents

const inE = plotOf("E");
const policy = unpacked.policy
  ? new PolicyView(unpacked.policy, unpacked.walk, inE, clouds.actions) : null;
const random = el("input", { type: "checkbox", id: "random" });
const walked = el("p", { className: "quiet", id: "walked" });
const live = unpacked.agents
  ? new LiveAgents(unpacked.agents, clouds.agents, plotOf("Z")) : null;

function walkFrom(place) {
  const plot = plotOf("S"), start = place.map((value) => Math.fround(Math.min(1, Math.max(0, value))));
  const { points, end } = policy.path(start, random.checked ? normal : null);
  const said = { goal: "reached the goal", stuck: "stays where it is", limit: "the step limit" };
  let shownPoints = 1;
  walked.textContent = `${points.length - 1} steps: ${said[end]}`;
  const mine = (plot.walking = {});
  const step = () => { // a step every other frame, unless another walk has begun
    if (plot.walking !== mine) return;
    shownPoints = Math.min(points.length, shownPoints + 0.5);
    const part = points.slice(0, Math.floor(shownPoints));
    plot.shapes = [
      ...(part.length > 1 ? [{ points: part, stroke: "#e00000", width: 2 }] : []),
      { points: [part[0]], fill: "#e00000" }, { points: [part[part.length - 1]], fill: "#fff", stroke: "#e00000" },
    ];
    plot.drawOver();
    if (shownPoints < points.length) requestAnimationFrame(step);
  };
  step();
  return { points, end };
}

// What is selected

const details = el("section");
function select(cloud, index) {
  cloud.select(index);
  if (cloud === clouds.states && policy) {
    const chosen = index < 0 ? -1 : policy.policy.action[index];
    if (clouds.actions) clouds.actions.marked = chosen;
    if (inE) inE.shapes = index < 0 ? [] : policy.shapes(index);
    if (inE?.shapes.length) inE.include(inE.project(row(policy.policy.mean, index)));
  }
  describe(cloud);
  redraw();
}

function describe(cloud) {
  const index = cloud.selected;
  if (index < 0) return details.replaceChildren(el("p", { className: "quiet" }, "Nothing is selected."));
  const line = (name, value) => el("tr", {}, el("td", {}, name), el("td", {}, value));
  const thumbnail = cloud.thumbnail(index);
  const near = cloud.near.map(([other, distance]) => {
    const link = line(cloud.label(other), shown(distance));
    link.className = "link";
    link.addEventListener("click", () => select(cloud, other));
    return link;
  });
  details.replaceChildren(el("h2", {}, cloud.label(index)), ...(thumbnail ? [thumbnail] : []),
    el("table", {}, ...cloud.columns.map((column) => line(column.name, cloud.value(column, index)))),
    ...ofPolicy(cloud, index),
    el("h2", {}, "Nearest, with distances"), el("table", { id: "near" }, ...near));
}

function ofPolicy(cloud, index) {
  if (cloud !== clouds.states || !policy || !clouds.actions) return [];
  const found = [], chosen = policy.policy.action[index];
  if (chosen >= 0) found.push(el("p", { id: "chosen" }, `The policy's most likely choice: ${clouds.actions.label(chosen)}.`));
  if (policy.policy.mean && policy.linear) {
    const cell = policy.policy.nearest ? "f" : "the nearest action (f weighs more than distance)";
    found.push(el("p", { className: "quiet" }, "In E: its mean, one and two standard deviations"
      + (policy.policy.cells ? `, and the cell of ${cell} in the plane through the mean.` : ".")));
  }
  return found;
}

// Colours and filters

function controlsOf(cloud, name) {
  const legend = el("span"), count = el("span", { id: `count-${name}` });
  const options = () => [el("option", { value: "" }, "none"),
    ...cloud.columns.map((column) => el("option", { value: column.name }, column.name))];
  const find = (given) => cloud.columns.find((column) => column.name === given) ?? null;
  const colour = el("select", { id: `colour-${name}` }, ...options());
  colour.value = cloud.column?.name ?? "";
  const recolour = () => {
    cloud.colourBy(find(colour.value));
    legend.replaceChildren(legendOf(cloud.column));
    redraw();
  };
  colour.addEventListener("change", recolour);
  const filtered = () => {
    cloud.refilter();
    count.textContent = `${shown(cloud.shownCount)} of ${shown(cloud.count)} shown`;
    describe(cloud);
    redraw();
  };
  const add = el("select", { id: `filter-${name}` }, ...options());
  add.querySelectorAll("option").forEach((option) => {
    if (find(option.value)?.kind === "place") option.remove();
  });
  const bar = el("div", { className: "bar" }, el("b", {}, name), el("label", {}, "colour ", colour), legend,
    el("label", {}, "add filter ", add), count);
  add.addEventListener("change", () => {
    const column = find(add.value);
    add.value = "";
    if (column) bar.insertBefore(filterOf(cloud, column, filtered), count);
  });
  recolour();
  filtered();
  return bar;
}

function filterOf(cloud, column, changed) {
  const filter = { column, passes: () => true };
  const box = el("span", { className: "filter" }, `${column.name} `);
  cloud.filters.push(filter);
  if (column.kind === "number") {
    const ends = [column.low, column.high].map((value, side) =>
      el("input", { type: "number", step: "any", value, ariaLabel: `${column.name} ${side ? "at most" : "at least"}` }));
    const update = () => {
      const [low, high] = ends.map((end) => Number.parseFloat(end.value));
      filter.passes = (value) => !(value < low || value > high) && Number.isFinite(value);
      changed();
    };
    ends.forEach((end) => end.addEventListener("input", update));
    box.append(ends[0], " to ", ends[1]);
  } else if (column.labels.length <= 12) {
    const kept = new Set(column.labels.keys());
    filter.passes = (value) => kept.has(value);
    column.labels.forEach((label, code) => {
      const tick = el("input", { type: "checkbox", checked: true });
      tick.addEventListener("change", () => {
        if (tick.checked) kept.add(code);
        else kept.delete(code);
        changed();
      });
      box.append(el("label", {}, tick, label));
    });
  } else {
    const text = el("input", { type: "search", placeholder: "contains" });
    text.addEventListener("input", () => {
      const wanted = text.value.toLowerCase();
      const kept = column.labels.map((label) => label.toLowerCase().includes(wanted));
      filter.passes = (value) => kept[value];
      changed();
    });
    box.append(text);
  }
  const remove = el("button", { title: "remove this filter" }, "×");
  remove.addEventListener("click", () => {
    cloud.filters.splice(cloud.filters.indexOf(filter), 1);
    box.remove();
    changed();
  });
  box.append(remove);
  return box;
}

at("side").append(...(live ? [live.element] : []),
  ...(policy?.walk ? [el("section", {}, el("h2", {}, "Walk"),
    el("p", { className: "quiet" }, "Click a place in S, and the policy walks from there."),
    ...(policy.canDraw ? [el("label", {}, random, " actions drawn, not the most likely ones")] : []),
    walked)] : []), details);
at("controls").append(...Object.entries(clouds).map(([name, cloud]) => controlsOf(cloud, name)));
if (!Object.keys(clouds).some((name) => clouds[name].selected >= 0)) describe(Object.values(clouds)[0]);

// For tests, benchmarks, and the curious.
window.explorer = { clouds, plots, plotOf, policy, live, select, walkFrom };
