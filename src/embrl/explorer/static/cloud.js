// Points with metadata: what is seen of them, and which are near.

class Cloud {
  constructor(given) {
    Object.assign(this, given);
    this.count = this.ids.length;
    this.visible = new Uint8Array(this.count).fill(1);
    this.shownCount = this.count;
    this.filters = [];
    this.selected = this.hovered = this.marked = -1;
    this.near = [];
    for (const column of this.columns) {
      if (column.kind !== "number") continue;
      column.low = Infinity;
      column.high = -Infinity;
      for (const value of column.values) {
        if (value < column.low) column.low = value;
        if (value > column.high) column.high = value;
      }
    }
    const first = this.columns.find((each) => each.kind === "place")
      ?? this.columns.find((each) => each.name === "return_mean") ?? this.columns[0] ?? null;
    this.colourBy(first);
  }

  colourBy(column) {
    this.column = column;
    this.colours = coloursOf(column, this.count);
  }

  // A filter has a column and `passes`, a function of one of its values.
  refilter() {
    this.visible.fill(1);
    for (const { column, passes } of this.filters) {
      for (let at = 0; at < this.count; at++) {
        if (this.visible[at] && !passes(column.values[at])) this.visible[at] = 0;
      }
    }
    this.shownCount = this.visible.reduce((sum, each) => sum + each, 0);
    this.select(this.selected);
  }

  select(index) {
    this.selected = index;
    this.near = index < 0 ? [] : this.neighbours(row(this.vectors, index), 8, index);
  }

  // The k nearest points of a vector, nearest first, as [index, distance]; those that filters hide
  // count only if `hidden`.
  neighbours(vector, k, besides = -1, hidden = false) {
    const width = vector.length, found = [];
    let farthest = Infinity;
    for (let at = 0; at < this.count; at++) {
      if (at === besides || !(hidden || this.visible[at])) continue;
      let square = 0;
      for (let axis = 0, place = at * width; axis < width; axis++, place++) {
        const away = this.vectors[place] - vector[axis];
        square += away * away;
      }
      if (square >= farthest) continue;
      let place = found.length;
      while (place > 0 && found[place - 1][1] > square) place--;
      found.splice(place, 0, [at, square]);
      if (found.length > k) found.pop();
      if (found.length === k) farthest = found[k - 1][1];
    }
    return found.map(([at, square]) => [at, Math.sqrt(square)]);
  }

  label(index) {
    const names = this.columns.find((each) => each.name === "name" && each.kind === "text");
    const name = names ? ` ${names.labels[names.values[index]]}` : "";
    return `${this.noun} ${this.ids[index]}${name}`;
  }

  value(column, index) {
    if (column.kind === "text") return column.labels[column.values[index]];
    if (column.kind === "number") {
      const value = column.values[index];
      return column.whole ? String(value) : shown(value);
    }
    return `${shown(column.values[2 * index])}, ${shown(column.values[2 * index + 1])}`;
  }

  // A canvas with the picture of a point; null where there are none.
  thumbnail(index) {
    if (this.images === null) return null;
    const [, height, width, channels = 1] = this.images.shape;
    const canvas = el("canvas", { className: "thumb", width, height });
    const context = canvas.getContext("2d"), image = context.createImageData(width, height);
    const size = width * height, first = index * size * channels;
    for (let at = 0; at < size; at++) {
      for (let part = 0; part < 3; part++) {
        // Of stacked grey frames, the newest; of colours, each.
        const channel = channels === 3 ? part : channels - 1;
        image.data[4 * at + part] = this.images[first + at * channels + channel];
      }
      image.data[4 * at + 3] = 255;
    }
    context.putImageData(image, 0, 0);
    return canvas;
  }
}
