// The panel of one cell: the request, the reply, and why it is right or wrong.

const panel = byId("panel");
const panelBody = byId("panel-body");
const open = { row: 0, candidate: 0, epoch: 0 };

const WHY_NO_PROMPT = {
  "no model": "This candidate does not use a language model.",
  "not logged": "The log does not hold the prompt: the answer is from before the run was resumed.",
  "no log": "The log cannot be read, so the prompt is not available.",
  "no room": "The prompt is left out to keep this page small; it is in the log.",
};

const STATUSES = { answered: "answered", unparsed: "unparsed", refused: "refused", cut_off: "cut off", failed: "failed", ungraded: "not graded" };

const startPanel = () => {
  byId("close").addEventListener("click", () => panel.close());
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  panel.addEventListener("close", () => activate(open.row, open.candidate + 1));
  panel.addEventListener("click", (event) => event.target === panel && panel.close()); // the backdrop
};

const step = (by) => showCell(open.row + by, open.candidate);

const openPanel = (row, candidate) => {
  showCell(row, candidate);
  if (!panel.open) panel.showModal();
  byId("panel-title").focus();
};

const showCell = async (row, candidate, epoch = 0) => {
  Object.assign(open, { row, candidate, epoch });
  const i = shown[row];
  byId("panel-title").replaceChildren(isolated(matrix.ids[i]), make("small", {}, ` ${count(row + 1)} of ${count(shown.length)}`));
  byId("previous").disabled = row === 0;
  byId("next").disabled = row === shown.length - 1;
  showSwitch(i);
  panelBody.setAttribute("aria-busy", "true");
  let made;
  try {
    made = await requests(candidate, i);
  } catch (error) {
    made = [];
    console.error(error);
  }
  if (open.row !== row || open.candidate !== candidate || open.epoch !== epoch) return; // another cell is open now
  panelBody.replaceChildren(...about(i, candidate, made, epoch));
  panelBody.removeAttribute("aria-busy");
  panelBody.scrollTop = 0;
};

const showSwitch = (i) => {
  const focused = document.activeElement?.closest("#switch") !== null;
  const buttons = candidates.map((candidate, c) => {
    const { sign, word } = OUTCOMES[matrix.outcomes[c][i]];
    const button = make(
      "button",
      { type: "button", "aria-pressed": String(c === open.candidate), "aria-label": `${letter(c)}, ${line(candidate.name, 80)}: ${word}`, title: visible(candidate.name) },
      badge(c),
      make("span", { class: `sign ${CLASSES[matrix.outcomes[c][i]]}`, "aria-hidden": "true" }, sign),
    );
    button.addEventListener("click", () => showCell(open.row, c));
    return button;
  });
  byId("switch").replaceChildren(...buttons);
  if (focused) buttons[open.candidate].focus();
};

const about = (i, c, made, epoch) => {
  const request = made[epoch];
  const name = make("p", { class: "who" }, badge(c), " ", named(candidates[c].name));
  const input = part("Input", matrix.inputs[i] === null ? quiet("The input is not available: the run’s logs cannot be read.") : text(matrix.inputs[i]));
  const outcome = OUTCOMES[matrix.outcomes[c][i]];
  const verdict = make("p", { class: `verdict ${CLASSES[matrix.outcomes[c][i]]}` }, make("span", { class: "sign", "aria-hidden": "true" }, outcome.sign), ` ${outcome.word}`);
  if (!request) return [name, verdict, input, fact("Expected", text(target(i)))];
  return [
    name,
    verdict,
    ...(made.length > 1 ? [repeats(made, epoch)] : []),
    make(
      "dl",
      {},
      ...fact("Expected", isolated(target(i))),
      ...fact("Answered", request.prediction === null ? quiet(STATUSES[request.status]) : text(request.prediction, "inline")),
      ...fact("Reason", text(request.reason ?? "", "inline")),
      ...(request.score > 0 && request.score < 1 ? fact("Score", String(request.score)) : []),
      ...(matrix.slice_names[matrix.slices[i]] ? fact("Slice", isolated(matrix.slice_names[matrix.slices[i]])) : []),
    ),
    input,
    ...(request.found ? [part("Retrieved", retrieved(request.found))] : []),
    part(request.error === null ? "Full reply" : "Error", request.error === null ? (joined(request.completion) === "" ? quiet("empty") : text(request.completion)) : text(request.error)),
    part("Tokens and latency", measured(request)),
    part("Prompt", ...promptOf(request)), // last: it can be long
  ];
};

const KNOWN = { gold: "holds the answer (gold)", answer: "first with the right answer in its text", missed: "holds the answer (gold), not retrieved" };

/** The passages of a request, best first, then the gold documents that are not among them. */
const retrieved = (found) => {
  const entry = ([id, known]) => make("li", {}, isolated(id), ...(known.length ? [quiet(` ${known.map((one) => KNOWN[one]).join(", ")}`)] : []));
  const missed = found.filter(([, known]) => known.includes("missed"));
  const list = make("ol", {}, ...found.filter((one) => !missed.includes(one)).map(entry));
  return missed.length ? make("div", {}, list, make("ul", {}, ...missed.map(entry))) : list;
};

const quiet = (words) => make("span", { class: "quiet" }, words);
const part = (title, ...content) => make("section", {}, make("h3", {}, title), ...content);
const fact = (name, value) => [make("dt", {}, name), make("dd", {}, value)];

/** A text, whole or [start, dropped, end]. */
const text = (value, how = "block") => {
  const [start, dropped, end] = typeof value === "string" ? [value, 0, ""] : value;
  const box = make("div", { class: `text ${how}`, dir: "auto" }, visible(start));
  if (dropped) box.append(make("span", { class: "cut" }, `${plural(dropped, "character")} cut; the full text is in the run’s folder`), visible(end));
  if (how === "block") box.setAttribute("tabindex", "0");
  return box;
};

const repeats = (made, epoch) => {
  const select = make("select", {}, ...made.map((request, at) => option(at, `${request.epoch}: ${joined(request.prediction) || STATUSES[request.status]}`)));
  select.value = epoch;
  select.addEventListener("change", () => showCell(open.row, open.candidate, Number(select.value)));
  return make("label", { class: "repeats" }, `Repeat, of ${made.length} `, select);
};

const promptOf = (request) => {
  if (request.messages === null) return [quiet(WHY_NO_PROMPT[request.prompt])];
  const message = ({ role, text: content }) => make("div", { class: "message" }, make("h4", {}, isolated(role)), text(content));
  const shared = request.messages.filter((one) => one.shared);
  const own = request.messages.filter((one) => !one.shared);
  if (!own.length) return request.messages.map(message);
  const folded = make("details", {}, make("summary", {}, `${plural(shared.length, "message")} shared with this candidate's first prompt`), ...shared.map(message));
  return [...(shared.length ? [folded] : []), ...own.map(message)];
};

const measured = (request) => {
  const known = (value, show = count) => (value === null ? "unknown" : show(value));
  const rows = [
    ["Tokens in", known(request.input_tokens) + (request.cached_tokens ? `, ${count(request.cached_tokens)} of them cached` : "")],
    ["Tokens out", known(request.output_tokens)],
    ["Latency", `${seconds(request.latency_s)}, with concurrent requests`],
    ["Latency alone", request.alone_s === null ? null : seconds(request.alone_s)],
    ["Time to first token", request.ttft_s === null ? null : seconds(request.ttft_s)],
    ["Retrieval", request.retrieval_s === null ? null : seconds(request.retrieval_s)],
    ["Device time", request.device_s === null ? null : seconds(request.device_s)],
    ["Stop reason", request.stop_reason === null ? null : isolated(request.stop_reason)],
  ];
  return make("dl", {}, ...rows.filter(([, value]) => value !== null).flatMap(([name, value]) => fact(name, value)));
};
