// Elements and text. Nothing on this page turns text into markup.

const byId = (id) => document.getElementById(id);

/** An element. Children are elements or strings, and strings become text. */
const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
};

const NAMES = {
  0x07: "BEL", 0x08: "BS", 0x0d: "CR", 0x1b: "ESC", 0x7f: "DEL", 0x061c: "ALM", 0xad: "SHY",
  0x200b: "ZWSP", 0x200c: "ZWNJ", 0x200d: "ZWJ", 0x200e: "LRM", 0x200f: "RLM", 0x2028: "LS", 0x2029: "PS",
  0x202a: "LRE", 0x202b: "RLE", 0x202c: "PDF", 0x202d: "LRO", 0x202e: "RLO",
  0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI", 0xfeff: "BOM",
};
const UNSEEN = /((?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}])\1*/gu;

/** Text with invisible characters made visible: control characters, direction marks, zero-width marks. */
const visible = (text) =>
  text.replace(UNSEEN, (run, sign) => {
    const code = sign.codePointAt(0);
    const name = NAMES[code] ?? `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
    const times = run.length / sign.length;
    return times === 1 ? `⟨${name}⟩` : `⟨${name} ×${times}⟩`;
  });

/** The beginning of a text, on one line. */
const line = (text, most = 240) =>
  visible(text.slice(0, most).replace(/\s*\n\s*/g, " ↵ ").replace(/\t/g, " ")) + (text.length > most ? "…" : "");

/** One line of text that does not change the direction of the text around it. */
const isolated = (text, attributes = {}) => make("bdi", attributes, line(text));

/** A name that may wrap between its parts. */
const named = (text, attributes = {}) =>
  make("bdi", attributes, ...line(text).split(/(?<=[,(/@+:])/).flatMap((piece) => [piece, make("wbr")]));

const option = (value, text) => make("option", { value }, line(text, 80));

const count = (number) => number.toLocaleString("en-US");
const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;

const seconds = (s) => {
  if (s === null) return "unknown";
  if (s >= 100) return `${s.toFixed(0)} s`;
  return s >= 1 ? `${s.toPrecision(2)} s` : `${Number((1000 * s).toPrecision(2))} ms`;
};

/** Cents; below a cent, two significant digits. */
const dollars = (usd) => {
  if (usd === null) return "unknown";
  if (usd === 0) return "$0";
  const digits = Math.max(2, 1 - Math.floor(Math.log10(usd)));
  return `$${usd.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
};
