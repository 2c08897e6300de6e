// Live agents: decoded from a point of Z, and simulated here in float64.

const gelu = (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

// x W + b into `found`, with the matrix at one place of arrays and the bias at another.
function affine(found, x, inputs, weight, from, bias, start) {
  const outputs = found.length;
  for (let to = 0; to < outputs; to++) found[to] = bias[start + to];
  for (let at = 0; at < inputs; at++) {
    const value = x[at], first = from + at * outputs;
    for (let to = 0; to < outputs; to++) found[to] += value * weight[first + to];
  }
  return found;
}

class AgentSimulator {
  constructor({ decoder, widths, activation, cart_pole: settings }) {
    Object.assign(this, { decoder, widths, settings });
    this.activation = activation === "tanh" ? Math.tanh : (x) => Math.max(0, x);
    this.layers = widths.slice(1).map((width) => new Float64Array(width));
  }

  // The weights of the agent at a point of Z.
  decode(z) {
    const { layers, mean, deviation } = this.decoder;
    let x = z;
    layers.forEach(({ weight, bias }, at) => {
      if (at) x = x.map(gelu);
      x = affine(new Float64Array(bias.length), x, x.length, weight, 0, bias, 0);
    });
    return x.map((value, at) => mean[at] + deviation[at] * value);
  }

  // The most likely action: 0 pushes to the left, 1 to the right.
  act(weights, observation) {
    let x = observation, from = 0;
    for (let layer = 0; layer < this.layers.length; layer++) {
      const inputs = this.widths[layer], outputs = this.layers[layer];
      const bias = from + inputs * outputs.length;
      affine(outputs, x, inputs, weights, from, weights, bias);
      from = bias + outputs.length;
      if (layer + 1 < this.layers.length) {
        for (let at = 0; at < outputs.length; at++) outputs[at] = this.activation(outputs[at]);
      }
      x = outputs;
    }
    let best = 0;
    for (let at = 1; at < x.length; at++) if (x[at] > x[best]) best = at;
    return best;
  }

  // One step of Euler's method, as embrl.envs.cart_pole takes it.
  step([position, velocity, angle, spin], action) {
    const s = this.settings, mass = s.cart_mass + s.pole_mass, moment = s.pole_mass * s.half_length;
    const force = action === 1 ? s.force : -s.force, cos = Math.cos(angle), sin = Math.sin(angle);
    const pushed = (force + moment * spin ** 2 * sin) / mass;
    const turn = (s.gravity * sin - cos * pushed)
      / (s.half_length * (4 / 3 - (s.pole_mass * cos ** 2) / mass));
    const push = pushed - (moment * turn * cos) / mass;
    return [position + s.tau * velocity, velocity + s.tau * push, angle + s.tau * spin,
      spin + s.tau * turn];
  }

  fallen([position, , angle]) {
    const { most_position: far, most_angle: degrees } = this.settings;
    return Math.abs(position) > far || Math.abs(angle) > (degrees * Math.PI) / 180;
  }

  // The observations of an episode, from its start; `fall` ends it.
  trajectory(weights, start, steps, fall = true) {
    const found = [Array.from(start)];
    while (found.length <= steps) {
      const now = found[found.length - 1];
      if (fall && found.length > 1 && this.fallen(now)) break;
      found.push(this.step(now, this.act(weights, now)));
    }
    return found;
  }

  // Steps of survival in an episode that starts as it does each time.
  survival(weights, episode) {
    const { spread, step_limit: limit } = this.settings;
    const start = [1, 2, 3, 5].map((prime) => spread * Math.sin(97 * prime * (episode + 1)));
    return this.trajectory(weights, start, limit).length - 1;
  }
}

const FROM = -0.5, TO = 1.5, POINTS = 41, EPISODES = 5;
const BUSY = 4; // milliseconds of a frame that may go into the curve

// The panel: two agents, a slider between and beyond them, and the agent at work.
class LiveAgents {
  constructor(given, cloud, plot) {
    this.simulator = new AgentSimulator(given);
    Object.assign(this, { cloud, plot, t: 0.5, next: "a" });
    this.slider = el("input", { type: "range", min: FROM, max: TO, step: 0.01, value: this.t,
      id: "between" });
    this.slider.addEventListener("input", () => this.move(Number(this.slider.value)));
    this.says = el("p", { className: "quiet", id: "live" });
    this.ends = el("p", { className: "quiet" });
    this.canvas = el("canvas", { width: 300, height: 150 });
    this.curve = el("canvas", { width: 300, height: 60 });
    this.element = el("section", {}, el("h2", {}, "Live agents"),
      el("p", { className: "quiet" }, "Click two agents in turn. The slider goes from the first, "
        + "0, to the second, 1, and beyond both; the agent decoded there balances its pole."),
      this.ends, this.slider, this.says, this.canvas,
      el("p", { className: "quiet" }, `Survival along the slider, mean of ${EPISODES} starts:`), this.curve);
    const best = cloud.columns.find((each) => each.name === "survival_mean");
    const order = Array.from(cloud.ids.keys());
    if (best) order.sort((one, other) => best.values[other] - best.values[one]);
    this.a = order[0];
    this.b = order[order.length - 1];
    this.changed();
    const live = () => {
      this.frame();
      requestAnimationFrame(live);
    };
    requestAnimationFrame(live);
  }

  choose(index) {
    this[this.next] = index;
    this.next = this.next === "a" ? "b" : "a";
    this.changed();
  }

  point(t) {
    const [a, b] = [row(this.cloud.vectors, this.a), row(this.cloud.vectors, this.b)];
    return Float64Array.from(a, (value, at) => value + t * (b[at] - value));
  }

  changed() {
    const said = (index) => this.cloud.label(index);
    this.ends.textContent = `0: ${said(this.a)}; 1: ${said(this.b)}; the next click sets ${
      this.next === "a" ? 0 : 1}`;
    this.survivals = [];
    this.survey = this.surveyed();
    this.move(this.t);
  }

  // The survival along the slider, an episode at a time.
  *surveyed() {
    for (let at = 0; at < POINTS; at++) {
      const weights = this.simulator.decode(this.point(FROM + ((TO - FROM) * at) / (POINTS - 1)));
      let total = 0;
      for (let episode = 0; episode < EPISODES; episode++) {
        total += this.simulator.survival(weights, episode);
        yield;
      }
      this.survivals.push(total / EPISODES);
    }
  }

  move(t) {
    this.t = t;
    this.slider.value = t;
    this.weights = this.simulator.decode(this.point(t));
    this.mean = 0;
    for (let episode = 0; episode < EPISODES; episode++) {
      this.mean += this.simulator.survival(this.weights, episode) / EPISODES;
    }
    this.says.textContent = `at ${t.toFixed(2)}: survives ${shown(this.mean)} of ${
      this.simulator.settings.step_limit} steps`;
    this.begin();
    if (this.plot.view.linear) {
      const place = (share) => this.plot.project(this.point(share));
      this.plot.shapes = [
        { points: [place(FROM), place(TO)], stroke: "#999", dash: [4, 3] },
        { points: [place(0), place(1)], stroke: "#000" },
        { points: [place(t)], fill: "#d55e00", stroke: "#000" },
      ];
      this.plot.redraw();
    }
  }

  begin() {
    const { spread } = this.simulator.settings;
    this.now = Array.from({ length: 4 }, () => spread * (2 * Math.random() - 1));
    this.steps = 0;
    this.over = 0;
  }

  frame() {
    const simulator = this.simulator;
    if (!this.over) {
      this.now = simulator.step(this.now, simulator.act(this.weights, this.now));
      this.steps += 1;
      if (simulator.fallen(this.now) || this.steps >= simulator.settings.step_limit) this.over = 40;
    } else if (--this.over === 0) this.begin();
    this.drawCart();
    const until = performance.now() + BUSY;
    while (performance.now() < until && !this.survey.next().done);
    this.drawCurve();
  }

  drawCart() {
    const g = this.canvas.getContext("2d"), { width, height } = this.canvas;
    const [position, , angle] = this.now, s = this.simulator.settings, scale = width / 2 / (1.1 * s.most_position);
    const x = width / 2 + position * scale, y = height - 30, length = 160 * s.half_length;
    g.clearRect(0, 0, width, height);
    g.fillStyle = "#222";
    g.fillText(`step ${this.steps}${this.over ? ", over" : ""}`, 4, 12);
    g.strokeStyle = "#999";
    g.strokeRect(width / 2 - s.most_position * scale, y + 12, 2 * s.most_position * scale, 1);
    g.fillRect(x - 18, y, 36, 12);
    g.lineWidth = 5;
    g.strokeStyle = this.over ? "#d55e00" : "#0072b2";
    g.beginPath();
    g.moveTo(x, y);
    g.lineTo(x + length * Math.sin(angle), y - length * Math.cos(angle));
    g.stroke();
    g.lineWidth = 1;
  }

  drawCurve() {
    const g = this.curve.getContext("2d"), { width, height } = this.curve;
    const across = (t) => 2 + ((t - FROM) / (TO - FROM)) * (width - 4);
    const up = (value) => height - 2 - (value / this.simulator.settings.step_limit) * (height - 4);
    g.clearRect(0, 0, width, height);
    g.strokeStyle = "#ddd";
    for (const t of [0, 1]) g.strokeRect(across(t), 0, 0.5, height);
    g.strokeStyle = "#0072b2";
    g.beginPath();
    this.survivals.forEach((value, at) => {
      const t = FROM + ((TO - FROM) * at) / (POINTS - 1);
      if (at) g.lineTo(across(t), up(value));
      else g.moveTo(across(t), up(value));
    });
    g.stroke();
    g.fillStyle = "#d55e00";
    g.beginPath();
    g.arc(across(this.t), up(this.mean), 3, 0, 7);
    g.fill();
  }
}
