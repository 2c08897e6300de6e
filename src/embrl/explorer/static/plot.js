// A cloud in the plane. Points are written into the pixels of a canvas one by one: 100,000 take
// some milliseconds without any graphics card, where libraries for WebGL take seconds.

const MARGIN = 18, REACH = 9;

class Plot {
  constructor(view, cloud, events, [width, height]) {
    Object.assign(this, { view, cloud, events, width, height, shapes: [] });
    this.ratio = Math.min(2, window.devicePixelRatio || 1);
    const size = { width: width * this.ratio, height: height * this.ratio };
    this.canvas = el("canvas", size);
    this.over = el("canvas", size);
    this.box = el("div", { className: "plot" }, this.canvas, this.over);
    this.box.style.width = `${width}px`;
    this.box.style.height = `${height}px`;
    const [across, up] = view.axes;
    this.element = el("section", {}, el("h2", {}, view.title), this.box,
      el("div", { className: "axis" }, up ? `across: ${across}; up: ${up}` : `across: ${across}`));
    this.element.style.width = `${width}px`;
    this.context = this.canvas.getContext("2d");
    this.image = this.context.createImageData(size.width, size.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.fit();
    this.listen();
  }

  // Show all points.
  fit() {
    const low = [Infinity, Infinity], high = [-Infinity, -Infinity];
    const include = (values, at) => {
      for (const axis of [0, 1]) {
        low[axis] = Math.min(low[axis], values[at + axis]);
        high[axis] = Math.max(high[axis], values[at + axis]);
      }
    };
    for (let at = 0; at < this.cloud.count; at++) include(this.view.points, 2 * at);
    for (const { corners } of this.view.boxes) {
      include(corners, 0);
      include(corners, 2);
    }
    const spans = [0, 1].map((axis) => Math.max(high[axis] - low[axis], 1e-9));
    const room = [this.width, this.height].map((size) => size - 2 * MARGIN);
    this.scale = Math.min(room[0] / spans[0], room[1] / spans[1]);
    this.middle = [0, 1].map((axis) => (low[axis] + high[axis]) / 2);
    this.home = this.scale;
    this.redraw();
  }

  // Zoom out until a place is in sight.
  include([x, y]) {
    const room = [this.width, this.height].map((size) => size / 2 - MARGIN);
    const away = [x - this.middle[0], y - this.middle[1]].map(Math.abs);
    this.scale = Math.min(this.scale, room[0] / away[0], room[1] / away[1]);
  }

  toScreen(x, y) {
    return [this.width / 2 + (x - this.middle[0]) * this.scale,
      this.height / 2 - (y - this.middle[1]) * this.scale];
  }

  toPlane(u, v) {
    return [this.middle[0] + (u - this.width / 2) / this.scale,
      this.middle[1] - (v - this.height / 2) / this.scale];
  }

  // Where a vector of the cloud's space lies in a linear view.
  project(vector) {
    const { centre, axes } = this.view.linear, d = centre.length;
    return [0, 1].map((axis) => {
      let sum = 0;
      for (let at = 0; at < d; at++) sum += axes[axis * d + at] * (vector[at] - centre[at]);
      return sum;
    });
  }

  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  radius() {
    const count = Math.max(1, this.cloud.shownCount), zoom = Math.min(4, this.scale / this.home);
    return Math.min(5, Math.max(1, Math.sqrt(12000 / count) * 1.2 * Math.sqrt(zoom))) * this.ratio;
  }

  draw() {
    const { pixels, cloud, ratio } = this, points = this.view.points;
    const [width, height] = [this.canvas.width, this.canvas.height];
    const scale = this.scale * ratio, x0 = width / 2 - this.middle[0] * scale;
    const y0 = height / 2 + this.middle[1] * scale;
    const radius = this.radius(), whole = Math.ceil(radius), disc = [];
    for (let v = -whole; v <= whole; v++) {
      for (let u = -whole; u <= whole; u++) {
        if (u * u + v * v <= radius * (radius + 0.8)) disc.push(v * width + u);
      }
    }
    pixels.fill(0xffffffff);
    const { visible, colours } = cloud, right = width - whole, bottom = height - whole;
    for (let at = 0; at < cloud.count; at++) {
      if (!visible[at]) continue;
      const u = Math.round(x0 + points[2 * at] * scale), v = Math.round(y0 - points[2 * at + 1] * scale);
      if (!(u >= whole && v >= whole && u < right && v < bottom)) continue;
      const place = v * width + u, colour = colours[at];
      for (let part = 0; part < disc.length; part++) pixels[place + disc[part]] = colour;
    }
    this.context.putImageData(this.image, 0, 0);
    this.drawOver();
  }

  drawOver() {
    const g = this.over.getContext("2d"), { cloud, view } = this;
    g.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    g.clearRect(0, 0, this.width, this.height);
    for (const { kind, corners } of view.boxes) {
      const [u, v] = this.toScreen(corners[0], corners[3]);
      const [right, bottom] = this.toScreen(corners[2], corners[1]);
      g.fillStyle = g.strokeStyle = kind === "goal" ? "#0033cc" : "#222";
      if (kind === "goal") g.strokeRect(u, v, right - u, bottom - v);
      else g.fillRect(u, v, right - u, bottom - v);
    }
    for (const shape of this.shapes) this.drawShape(g, shape);
    const ring = (index, size, colour, width = 2) => {
      if (index < 0) return;
      const [u, v] = this.toScreen(view.points[2 * index], view.points[2 * index + 1]);
      g.beginPath();
      g.arc(u, v, size, 0, 2 * Math.PI);
      g.lineWidth = width;
      g.strokeStyle = colour;
      g.stroke();
    };
    for (const [at] of cloud.near) ring(at, 6, "#d55e00", 1.5);
    ring(cloud.marked, 9, "#c000c0");
    ring(cloud.selected, 8, "#000");
    ring(cloud.hovered, 6, "#666", 1.5);
  }

  // A shape has points [[x, y], ...] of the plane; one alone is a dot.
  drawShape(g, { points, stroke, fill, width = 1.5, closed = false, dash = [] }) {
    g.beginPath();
    points.forEach(([x, y], at) => {
      const [u, v] = this.toScreen(x, y);
      if (points.length === 1) g.arc(u, v, 4, 0, 2 * Math.PI);
      else if (at) g.lineTo(u, v);
      else g.moveTo(u, v);
    });
    if (closed) g.closePath();
    g.setLineDash(dash);
    if (fill) {
      g.fillStyle = fill;
      g.fill();
    }
    if (stroke) {
      g.lineWidth = width;
      g.strokeStyle = stroke;
      g.stroke();
    }
    g.setLineDash([]);
  }

  // The visible point that is nearest to a place on the screen, within reach; -1: none.
  pick(u, v) {
    const [x, y] = this.toPlane(u, v), points = this.view.points;
    let best = -1, least = (REACH / this.scale) ** 2;
    for (let at = 0; at < this.cloud.count; at++) {
      const square = (points[2 * at] - x) ** 2 + (points[2 * at + 1] - y) ** 2;
      if (square < least && this.cloud.visible[at]) {
        least = square;
        best = at;
      }
    }
    return best;
  }

  place(event) {
    const box = this.box.getBoundingClientRect();
    return [event.clientX - box.left - 1, event.clientY - box.top - 1];
  }

  listen() {
    let from = null, moved = false;
    this.box.addEventListener("pointerdown", (event) => {
      from = this.place(event);
      moved = false;
      this.box.setPointerCapture(event.pointerId);
    });
    this.box.addEventListener("pointermove", (event) => {
      const [u, v] = this.place(event);
      if (from === null) return this.events.hover(this, this.pick(u, v), event);
      if (Math.hypot(u - from[0], v - from[1]) > 3) moved = true;
      if (!moved) return;
      this.middle[0] -= (u - from[0]) / this.scale;
      this.middle[1] += (v - from[1]) / this.scale;
      from = [u, v];
      this.redraw();
    });
    this.box.addEventListener("pointerup", (event) => {
      if (from !== null && !moved) {
        const place = this.place(event);
        this.events.click(this, this.pick(...place), this.toPlane(...place), event);
      }
      from = null;
    });
    this.box.addEventListener("pointerleave", (event) => this.events.hover(this, -1, event));
    this.box.addEventListener("dblclick", () => this.fit());
    this.box.addEventListener("wheel", (event) => {
      event.preventDefault();
      const [u, v] = this.place(event), [x, y] = this.toPlane(u, v);
      this.scale *= Math.exp(-event.deltaY * 0.0015);
      const [after, above] = this.toPlane(u, v);
      this.middle[0] += x - after;
      this.middle[1] += y - above;
      this.redraw();
    }, { passive: false });
  }

  // Frames a second while the plot is moved, for tests and benchmarks.
  async framesPerSecond(frames) {
    const began = performance.now();
    let work = 0;
    for (let frame = 0; frame < frames; frame++) {
      this.middle[0] += (frame % 2 ? -3 : 3) / this.scale;
      const before = performance.now();
      this.draw();
      work += performance.now() - before;
      await new Promise((done) => requestAnimationFrame(done));
    }
    const seconds = (performance.now() - began) / 1000;
    return { framesPerSecond: frames / seconds, millisecondsOfWork: work / frames };
  }
}
