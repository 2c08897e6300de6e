// What a policy does in a state: its Gaussian in E, the cell of f, and its walk in a gridworld.

class PolicyView {
  constructor(policy, walk, plot, actions) {
    Object.assign(this, { policy, walk, plot, actions });
  }

  get linear() {
    return this.plot ? this.plot.view.linear : null;
  }

  // The curve of points at `sigmas` standard deviations, as it is projected.
  ellipse(mean, std, sigmas) {
    const { axes } = this.linear, d = mean.length, middle = this.plot.project(mean);
    let [a, b, c] = [0, 0, 0];
    for (let at = 0; at < d; at++) {
      const [x, y, variance] = [axes[at], axes[d + at], std[at] ** 2];
      a += x * x * variance;
      b += x * y * variance;
      c += y * y * variance;
    }
    // Cholesky: the circle times a root of the covariance.
    const l = Math.sqrt(Math.max(a, 1e-30)), k = b / l, m = Math.sqrt(Math.max(c - k * k, 0));
    return Array.from({ length: 72 }, (_, step) => {
      const angle = (2 * Math.PI * step) / 72, [u, v] = [Math.cos(angle), Math.sin(angle)];
      return [middle[0] + sigmas * l * u, middle[1] + sigmas * (k * u + m * v)];
    });
  }

  // The cell of the action nearest to e, in the plane of the view through e: an exact polygon, cut
  // by a half-plane for each other action, out of what is shown.
  cell(e) {
    const { axes } = this.linear, d = e.length, middle = this.plot.project(e), g = this.actions.vectors;
    const [[nearest]] = this.nearest(e);
    const away = (at) => {
      let sum = 0;
      for (let axis = 0; axis < d; axis++) sum += (g[at * d + axis] - e[axis]) ** 2;
      return sum;
    };
    const own = away(nearest), reach = (4 * Math.max(this.plot.width, this.plot.height)) / this.plot.home;
    let polygon = [[-reach, -reach], [reach, -reach], [reach, reach], [-reach, reach]];
    for (let at = 0; at < this.actions.count && polygon.length; at++) {
      if (at === nearest) continue;
      let [nx, ny] = [0, 0];
      for (let axis = 0; axis < d; axis++) {
        const apart = 2 * (g[at * d + axis] - g[nearest * d + axis]);
        nx += axes[axis] * apart;
        ny += axes[d + axis] * apart;
      }
      polygon = cut(polygon, nx, ny, away(at) - own);
    }
    return { nearest, polygon: polygon.map(([x, y]) => [middle[0] + x, middle[1] + y]) };
  }

  // f considers all actions, also those that filters hide.
  nearest(e) {
    return this.actions.neighbours(e, 1, -1, true);
  }

  // Shapes in E for a state.
  shapes(state) {
    if (!this.policy.mean || !this.linear || !this.actions) return [];
    const [mean, std] = [row(this.policy.mean, state), row(this.policy.std, state)];
    const cell = { closed: true, fill: "#c000c022", stroke: "#c000c0", width: 1 };
    return [
      ...(this.policy.cells ? [{ ...cell, points: this.cell(mean).polygon }] : []),
      { points: this.ellipse(mean, std, 2), closed: true, stroke: "#000", dash: [4, 3] },
      { points: this.ellipse(mean, std, 1), closed: true, stroke: "#000" },
      { points: [this.plot.project(mean)], fill: "#000" },
    ];
  }

  get canDraw() {
    return Boolean(this.policy.mean && this.policy.nearest && this.policy.cells);
  }

  // An action of the policy in a state: the most likely one, or drawn.
  act(state, random) {
    if (!random || !this.canDraw) return this.policy.action[state];
    const [mean, std] = [row(this.policy.mean, state), row(this.policy.std, state)];
    const e = Array.from(mean, (value, at) => {
      if (!this.policy.squashed) return value + std[at] * random();
      const slope = Math.max(1 - value * value, 1e-6);
      return Math.tanh(Math.atanh(value) + (std[at] / slope) * random());
    });
    return this.nearest(e)[0][0];
  }

  // The policy's path from a place, with what ended it.
  path(place, random = null) {
    const world = new Gridworld(this.walk), points = [Array.from(place)];
    let end = "limit";
    while (points.length <= this.walk.limit) {
      const from = points[points.length - 1];
      const action = this.act(world.cell(from), random);
      const after = world.step(from, this.actions.ids[action]);
      points.push(after.place);
      if (after.goal) {
        end = "goal";
        break;
      }
      if (!random && after.place[0] === from[0] && after.place[1] === from[1]) {
        end = "stuck";
        break;
      }
    }
    return { points, end };
  }
}

// What is left of a convex polygon where nx x + ny y <= most.
function cut(polygon, nx, ny, most) {
  const found = [];
  let all = true;
  const sides = polygon.map(([x, y]) => {
    const side = nx * x + ny * y - most;
    if (side > 0) all = false;
    return side;
  });
  if (all) return polygon;
  polygon.forEach((point, at) => {
    const next = (at + 1) % polygon.length, [a, b] = [sides[at], sides[next]];
    if (a <= 0) found.push(point);
    if ((a <= 0) !== (b <= 0)) {
      const share = a / (a - b);
      found.push(point.map((value, axis) => value + share * (polygon[next][axis] - value)));
    }
  });
  return found;
}

// The square of embrl.envs.square, in float32 as there.
class Gridworld {
  constructor(given) {
    this.given = given;
  }

  cell([x, y]) {
    const { bins } = this.given;
    const along = (value) => Math.min(bins - 1, Math.max(0, Math.trunc(Math.fround(value * bins))));
    return along(y) * bins + along(x);
  }

  inside(box, [x, y]) {
    return box[0] <= x && x <= box[2] && box[1] <= y && y <= box[3];
  }

  crosses(box, from, to) {
    let [enter, leave] = [0, 1];
    for (const axis of [0, 1]) {
      const delta = to[axis] - from[axis], [low, high] = [box[axis], box[axis + 2]];
      if (delta === 0) {
        if (from[axis] < low || from[axis] > high) return false;
        continue;
      }
      const [a, b] = [(low - from[axis]) / delta, (high - from[axis]) / delta];
      enter = Math.max(enter, Math.min(a, b));
      leave = Math.min(leave, Math.max(a, b));
    }
    return enter <= leave;
  }

  blocked(from, to) {
    if (to.some((value) => value < 0 || value > 1)) return true;
    const { obstacles, swept } = this.given;
    for (let at = 0; at < obstacles.length; at += 4) {
      const box = obstacles.subarray(at, at + 4);
      if (swept ? this.crosses(box, from, to) : this.inside(box, to)) return true;
    }
    return false;
  }

  step(from, action) {
    const { motions, length, substeps, goal } = this.given;
    const delta = [0, 1].map((axis) => Math.fround(Math.fround(length) * motions[2 * action + axis]));
    let place = from;
    for (let part = 0; part < substeps; part++) {
      const target = place.map((value, axis) => Math.fround(value + delta[axis]));
      if (this.blocked(place, target)) return { place, goal: false };
      place = target;
      if (this.inside(goal, place)) return { place, goal: true };
    }
    return { place, goal: false };
  }
}

// Normal random numbers (Box and Muller).
function normal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}
