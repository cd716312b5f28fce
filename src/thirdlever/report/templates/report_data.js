// The page's data: the head at once, then the matrix, then texts block by block as they are needed.

const head = JSON.parse(byId("head").textContent);
const candidates = head.candidates;

const OUTCOMES = {
  r: { sign: "✓", word: "right" },
  p: { sign: "◐", word: "partly right" },
  w: { sign: "✕", word: "wrong" },
  u: { sign: "?", word: "unparsed" },
  x: { sign: "⊘", word: "refused" },
  c: { sign: "…", word: "cut off" },
  f: { sign: "!", word: "failed" },
  "-": { sign: "·", word: "not run" },
};
const LONGEST = 65536; // characters: longer texts are always cut

/** A, B, … Z, AA, AB, … */
const letter = (c) => (c < 26 ? "" : letter(Math.floor(c / 26) - 1)) + String.fromCharCode(65 + (c % 26));

const inflate = async (base64) => {
  const bytes = Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
};

const loaded = new Promise((resolve) => {
  if (document.readyState !== "loading") resolve();
  document.addEventListener("DOMContentLoaded", resolve);
});

/** Unpack a block by its name; those after this script may not have been parsed yet. */
const block = async (name) => {
  if (!byId(name)) await loaded;
  return inflate(byId(name).textContent);
};

const MOST_BLOCKS = 32;
const read = new Map();

/** The same, with the most recent blocks cached. */
const kept = (name) => {
  const found = read.get(name) ?? block(name);
  read.delete(name);
  read.set(name, found);
  if (read.size > MOST_BLOCKS) read.delete(read.keys().next().value);
  return found;
};

let matrix = null;

/** A text, whole or [start, dropped, end], as it can be searched. */
const joined = (text) => (text === null ? "" : typeof text === "string" ? text : `${text[0]} … ${text[2]}`);

const loadMatrix = async () => {
  matrix = await block("matrix");
  matrix.shown = matrix.inputs.map((text, i) => joined(text) || matrix.ids[i]);
  matrix.searched = matrix.inputs.map((text, i) => `${matrix.ids[i]}\n${joined(text)}`.toLowerCase());
  matrix.rightness = matrix.ids.map((_, i) => matrix.outcomes.filter((outcomes) => outcomes[i] === "r").length);
};

const target = (i) => matrix.labels[matrix.targets[i]];

/** A candidate's distinct answers to an item. */
const predicted = (c, i) => {
  const predictions = matrix.predictions[c].slice(i * head.epochs, (i + 1) * head.epochs);
  return [...new Set(predictions)].filter((label) => label >= 0).map((label) => matrix.labels[label]);
};

/** A cell's requests, one per repeat that was run. */
const requests = async (c, i) => {
  const [texts, first] = await Promise.all([kept(`texts-${c}-${Math.floor(i / head.block)}`), kept(`first-${c}`)]);
  const made = [];
  for (let epoch = 0; epoch < head.epochs; epoch++) {
    const at = (i % head.block) * head.epochs + epoch;
    if (!texts.asked[at]) continue;
    const request = Object.fromEntries(Object.entries(texts).map(([name, column]) => [name, column[at]]));
    made.push({ ...request, epoch: epoch + 1, messages: messages(request.prompt, first) });
  }
  return made;
};

/** A prompt's messages, {role, text, shared}; null if there is no prompt. Shared: as in the candidate's first prompt. */
const messages = (prompt, first) => {
  if (typeof prompt === "string") return null;
  const [whole, part, own] = prompt;
  const shared = first.slice(0, whole).map(([role, text]) => ({ role, text, shared: true }));
  const rest = own.map(([role, text], at) => {
    const before = at === 0 && part ? first[whole][1].slice(0, part) : "";
    return { role, shared: false, text: typeof text === "string" ? before + text : [before + text[0], text[1], text[2]] };
  });
  return [...shared, ...rest];
};
