// Which items are shown, and in which order.

const form = byId("filters");
const MOST_LABELS = 500; // with more, labels are free text, not a list to pick from

let shown = []; // items, in order
let confusion = null; // {candidate, target, prediction}: only items with this confusion

const SHOW = {
  "": ["all items", () => true],
  disagree: ["candidates disagree", (right, outcomes) => right > 0 && right < outcomes.length],
  none: ["no candidate right", (right) => right === 0],
  all: ["all candidates right", (right, outcomes) => right === outcomes.length],
  best: ["the best is wrong, others are right", (right, outcomes) => right > 0 && outcomes[best()] !== "r"],
  ...Object.fromEntries(
    [..."pwuxcf"].map((letter) => [OUTCOMES[letter].word, [`some ${OUTCOMES[letter].word}`, (_, outcomes) => outcomes.includes(letter)]]),
  ),
};
const QUESTIONS = { disagree: "Where do they disagree?", best: "Where is the best wrong, and others right?", [OUTCOMES.u.word]: "What is unparsed?" };
const ORDER = { "": "original", hard: "fewest right first", easy: "most right first" };

/** The most accurate candidate; they come in that order, those that are not measured last. */
const best = () => 0;

const tally = (values) => {
  const times = new Map();
  for (const value of values) times.set(value, (times.get(value) ?? 0) + 1);
  return times;
};

/** Fill a drop-down list; it is hidden if it offers fewer than `least` options. */
const choices = (name, options, least = 3) => {
  form.elements[name].replaceChildren(...options.map(([value, text]) => option(value, text)));
  form.elements[name].closest("label").hidden = options.length < least;
};

const fillFilters = () => {
  const named = candidates.map((candidate, c) => [c, `${letter(c)}  ${candidate.name}`]);
  choices("right", [["", "any"], ...named], 2);
  choices("wrong", [["", "any"], ...named], 2);
  choices("show", Object.entries(SHOW).map(([value, [text]]) => [value, text]));
  choices("order", Object.entries(ORDER));
  const slices = [...tally(matrix.slices)].map(([slice, times]) => [slice, `${matrix.slice_names[slice] || "none"} (${count(times)})`]);
  choices("slice", [["", "all"], ...slices.sort((a, b) => a[1].localeCompare(b[1]))]);
  const labels = [...tally(matrix.targets)].map(([label, times]) => [label, `${matrix.labels[label]} (${count(times)})`]);
  const few = labels.length <= MOST_LABELS && labels.length < head.items;
  choices("label", [["", "all"], ...(few ? labels.sort((a, b) => a[1].localeCompare(b[1])) : [])]);
};

const filter = () => {
  const { text, right, wrong, show, label, slice, order } = Object.fromEntries(new FormData(form));
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = SHOW[show][1];
  const passes = (i) =>
    (right === "" || matrix.outcomes[right][i] === "r") &&
    (wrong === "" || matrix.outcomes[wrong][i] !== "r") &&
    (slice === "" || matrix.slices[i] === Number(slice)) &&
    (label === "" || matrix.targets[i] === Number(label)) &&
    words.every((word) => matrix.searched[i].includes(word)) &&
    (show === "" || wanted(matrix.rightness[i], matrix.outcomes.map((all) => all[i]))) &&
    (confusion === null || confuses(i));
  shown = matrix.ids.map((_, i) => i).filter(passes);
  if (order) shown.sort((a, b) => (order === "hard" ? 1 : -1) * (matrix.rightness[a] - matrix.rightness[b]) || a - b);

  const filtered = Boolean(words.length || right || wrong || show || label || slice || confusion);
  byId("count").textContent = filtered ? `${count(shown.length)} of ${plural(head.items, "item")}` : plural(head.items, "item");
  byId("clear").hidden = !filtered;
  for (const button of byId("questions").children) button.setAttribute("aria-pressed", String(button.value === show));
  byId("nothing").hidden = shown.length > 0;
};

/** How many items each question finds, on a button that asks it. */
const askQuestions = () => {
  const asked = Object.entries(QUESTIONS).map(([value, text]) => {
    const found = matrix.ids.filter((_, i) => SHOW[value][1](matrix.rightness[i], matrix.outcomes.map((all) => all[i]))).length;
    const button = make("button", { type: "button", value, "aria-pressed": "false" }, `${text} `, make("span", { class: "quiet" }, count(found)));
    button.addEventListener("click", () => {
      form.elements.show.value = form.elements.show.value === value ? "" : value;
      refresh();
    });
    return button;
  });
  byId("questions").append(...asked);
};

const confuses = (i) => {
  if (matrix.targets[i] !== confusion.target) return false;
  const predictions = matrix.predictions[confusion.candidate];
  for (let at = i * head.epochs; at < (i + 1) * head.epochs; at++) if (predictions[at] === confusion.prediction) return true;
  return false;
};

/** Show only the items with a confusion; null shows all again. */
const only = (taken) => {
  confusion = taken;
  const button = byId("confusion-filter");
  button.hidden = taken === null;
  if (taken !== null) {
    button.replaceChildren(
      `${letter(taken.candidate)}: `,
      isolated(matrix.labels[taken.target]),
      " mistaken for ",
      taken.prediction < 0 ? "no answer" : isolated(matrix.labels[taken.prediction]),
      make("span", { "aria-hidden": "true" }, " ✕"),
      make("span", { class: "hidden" }, ", remove this filter"),
    );
  }
  refresh();
};

const refresh = () => {
  filter();
  gridChanged();
  showConfusions();
};

const startFilters = () => {
  fillFilters();
  askQuestions();
  form.addEventListener("input", refresh);
  form.addEventListener("submit", (event) => event.preventDefault());
  byId("confusion-filter").addEventListener("click", () => {
    only(null);
    form.elements.text.focus();
  });
  byId("clear").addEventListener("click", () => {
    form.reset();
    only(null);
    form.elements.text.focus();
  });
};
