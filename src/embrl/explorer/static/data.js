"use strict";
// Arrays as the page was given them, and small helpers.

const KINDS = { f4: Float32Array, i4: Int32Array, u1: Uint8Array };

function unpack(packed) {
  const text = atob(packed.data);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  const values = new KINDS[packed.type](bytes.buffer);
  values.shape = packed.shape;
  return values;
}

// All arrays of a value, however deep they lie.
function unpackAll(value) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(unpackAll);
  if ("data" in value && "shape" in value) return unpack(value);
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, unpackAll(each)]));
}

const row = (values, at) => {
  const width = values.shape[1];
  return values.subarray(at * width, (at + 1) * width);
};

// An element with properties and children; texts are never read as HTML.
function el(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function shown(number) {
  if (!Number.isFinite(number)) return "none";
  if (Number.isInteger(number)) return number.toLocaleString("en");
  return String(Number(number.toPrecision(4)));
}
