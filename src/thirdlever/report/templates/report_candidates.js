// The heading, the candidates and the notes.

const showTitle = () => {
  byId("title").append(head.suite ? isolated(head.suite) : "Run", ": every answer");
  const facts = [
    plural(head.items, "item"),
    plural(candidates.length, "candidate"),
    head.epochs > 1 ? `${head.epochs} repeats` : "",
    head.date.replaceAll("-", "\u2011"), // without line breaks
    head.run && `run ${line(head.run, 80)}`,
    head.hash && `suite ${line(head.hash.slice(0, 12))}`,
    head.version && `thirdlever ${line(head.version, 20)}`,
    head.status === "budget" ? "stopped early: the budget was spent" : "",
  ];
  byId("subtitle").textContent = facts.filter(Boolean).join(" · ");
};

/** The verdict with a link to the memo, or how to write one. */
const showDecision = () => {
  const { verdict, headline } = head.memo ?? {};
  if (!verdict) byId("decision").append("No memo yet. Write one with ", make("code", {}, `thirdlever memo ${line(head.run, 80)}`), ".");
  else byId("decision").append(make("strong", {}, `${line(verdict)}.`), " ", isolated(headline), " ", make("a", { href: "memo/memo.html" }, "Decision memo"));
};

const badge = (c) => make("span", { class: "letter" }, letter(c));

/** Accuracy as a dot and its interval as a line, on a scale from 0 to 100 %. */
const plot = (candidate) => {
  const track = make("span", { class: "track", "aria-hidden": "true" });
  if (candidate.accuracy === null) return track;
  const line = make("span", { class: "interval" });
  line.style.left = `${100 * candidate.low}%`;
  line.style.width = `${100 * (candidate.high - candidate.low)}%`;
  const dot = make("span", { class: "dot" });
  dot.style.left = `${100 * candidate.accuracy}%`;
  track.append(line, dot);
  return track;
};

const accuracy = (candidate) =>
  candidate.accuracy === null
    ? make("span", { class: "figure" }, "not measured")
    : make(
        "span",
        { class: "figure" },
        make("strong", {}, percent(candidate.accuracy)),
        ` ${percent(candidate.low, 0).replace(" %", "")}–${percent(candidate.high, 0)}`,
      );

/** Columns of requests without an answer: those that occur, and the two that readers look for. */
const LOST = [
  ["unparseable", "Unparsed"],
  ["refused", "Refused"],
  ["cut_off", "Cut off"],
  ["errors", "Failed"],
];

const showCandidates = () => {
  const lost = LOST.filter(([field]) => field === "unparseable" || field === "errors" || candidates.some((one) => one[field] > 0));
  byId("latency-column").before(...lost.map(([, title]) => make("th", { scope: "col", class: "number" }, title)));
  const rows = candidates.map((candidate, c) =>
    make(
      "tr",
      {},
      make("td", {}, badge(c)),
      make(
        "th",
        { scope: "row" },
        named(candidate.name, { class: "name" }),
        candidate.model ? named(candidate.model, { class: "model" }) : make("span", { class: "model" }, "no model"),
      ),
      make("td", { class: "plot" }, make("div", {}, plot(candidate), accuracy(candidate))),
      ...lost.map(([field]) => make("td", { class: "number" }, count(candidate[field]))),
      make("td", { class: "number" }, seconds(candidate.latency_p50_s)),
      make("td", { class: "number" }, dollars(candidate.cost_per_1k_usd)),
    ),
  );
  byId("candidates").tBodies[0].append(...rows);
  if (head.measure === "score") byId("measure").textContent = "Score";
};

const showLegend = () => {
  const letters = Object.keys(OUTCOMES).filter((outcome) => "rwuf".includes(outcome) || matrix.outcomes.some((all) => all.includes(outcome)));
  byId("legend").append(
    ...letters.map((outcome) =>
      make("li", {}, make("span", { class: `sign ${CLASSES[outcome]}`, "aria-hidden": "true" }, OUTCOMES[outcome].sign), OUTCOMES[outcome].word),
    ),
  );
};

/** How to read the page, and what it leaves out. */
const showNotes = () => {
  const notes = [
    "Right: the full score. Unparsed, refused, cut-off and failed requests count as not right.",
    "A cell’s latency comes from the accuracy pass, which sends many requests at once. The median latency above comes from requests sent one at a time.",
    "Invisible characters are shown in angle brackets, such as ⟨ESC⟩ or ⟨RLO⟩.",
    `Texts over ${count(LONGEST)} characters are cut in the middle. The full texts are in logs/ and records.parquet in the run’s folder.`,
  ];
  if (head.input_limit < LONGEST) notes.push(`Inputs are cut to ${count(head.input_limit)} characters to keep this page small.`);
  candidates.forEach((candidate, c) => {
    const name = `${letter(c)}, ${line(candidate.name, 80)}`;
    if (candidate.limit === 0) notes.push(`${name}: its texts are left out to keep this page small.`);
    else if (candidate.limit < LONGEST) notes.push(`${name}: its texts are cut to ${count(candidate.limit)} characters to keep this page small.`);
    if (candidate.trouble) notes.push(`${name}: prompts are not available (${line(candidate.trouble, 200)}).`);
  });
  byId("notes").append(...notes.map((note) => make("li", {}, make("bdi", {}, note))));
};
