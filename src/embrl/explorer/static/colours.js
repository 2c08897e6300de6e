// Colours of points, as whole numbers of the form 0xAABBGGRR, which a canvas keeps them in.

const PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
  "#8C564B", "#7F7F7F", "#9467BD", "#BCBD22", "#17BECF"];
const RAMP = ["#440154", "#443983", "#31688e", "#21918c", "#35b779", "#90d743", "#fde725"];
const MISSING = "#cccccc";

const parts = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
const pack = ([r, g, b]) => (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
const css = (colour) =>
  `rgb(${colour & 255}, ${(colour >> 8) & 255}, ${(colour >> 16) & 255})`;

const STEPS = 256;
const RAMP_COLOURS = Uint32Array.from({ length: STEPS }, (_, step) => {
  const place = (step / (STEPS - 1)) * (RAMP.length - 1);
  const low = Math.min(Math.floor(place), RAMP.length - 2);
  const [a, b] = [parts(RAMP[low]), parts(RAMP[low + 1])];
  return pack(a.map((value, at) => Math.round(value + (place - low) * (b[at] - value))));
});
const PALETTE_COLOURS = Uint32Array.from(PALETTE, (text) => pack(parts(text)));

// The colour of each point by a column of metadata; null: one colour for all.
function coloursOf(column, count) {
  const found = new Uint32Array(count).fill(PALETTE_COLOURS[0]);
  if (column === null) return found;
  const { kind, values, low, high } = column;
  for (let at = 0; at < count; at++) {
    if (kind === "place") {
      const [x, y] = [values[2 * at], values[2 * at + 1]];
      found[at] = pack([x, y, 0.5].map((each) => Math.round(255 * Math.min(1, Math.max(0, each)))));
    } else if (kind === "text") {
      found[at] = PALETTE_COLOURS[values[at] % PALETTE.length];
    } else if (Number.isFinite(values[at])) {
      const share = high > low ? (values[at] - low) / (high - low) : 0.5;
      found[at] = RAMP_COLOURS[Math.round(share * (STEPS - 1))];
    } else found[at] = pack(parts(MISSING));
  }
  return found;
}

function legendOf(column) {
  const made = el("span", { className: "legend" });
  if (column === null) return made;
  if (column.kind === "number") {
    const ramp = el("span", { className: "ramp" });
    ramp.style.background = `linear-gradient(to right, ${RAMP.join(", ")})`;
    made.append(shown(column.low), ramp, shown(column.high));
  } else if (column.kind === "text") {
    column.labels.slice(0, PALETTE.length).forEach((label, at) => {
      const dot = el("i");
      dot.style.background = PALETTE[at];
      made.append(el("span", {}, dot, label));
    });
    const more = column.labels.length - PALETTE.length;
    if (more > 0) made.append(`and ${more} more, with colours again`);
  } else made.append("two colours: one across, one up");
  return made;
}
