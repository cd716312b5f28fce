// The heading and the candidates with their accuracy.

const showTitle = () => {
  byId("title").append(head.suite ? isolated(head.suite) : "Run", ": every answer");
  const facts = [
    plural(head.items, "item"),
    plural(candidates.length, "candidate"),
    head.epochs > 1 ? `${head.epochs} repeats` : "",
    head.date.replaceAll("-", "\u2011"), // not to be broken
    head.run && `run ${line(head.run, 80)}`,
    head.hash && `suite ${line(head.hash.slice(0, 12))}`,
    head.version && `thirdlever ${line(head.version, 20)}`,
    head.status === "budget" ? "ended early: the budget was spent" : "",
  ];
  byId("subtitle").textContent = facts.filter(Boolean).join(" · ");
};

const badge = (c) => make("span", { class: "letter" }, letter(c));

/** Accuracy as a dot, its interval as a line through it, on a scale from 0 to 100 %. */
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
    ? make("span", { class: "figure" }, "unknown")
    : make(
        "span",
        { class: "figure" },
        make("strong", {}, percent(candidate.accuracy)),
        ` ${percent(candidate.low, 0).replace(" %", "")}–${percent(candidate.high, 0)}`,
      );

const showCandidates = () => {
  const rows = candidates.map((candidate, c) =>
    make(
      "tr",
      {},
      make("td", {}, badge(c)),
      make(
        "th",
        { scope: "row" },
        named(candidate.name, { class: "name" }),
        candidate.model ? named(candidate.model, { class: "model" }) : make("span", { class: "model" }, "asks no model"),
      ),
      make("td", { class: "plot" }, make("div", {}, plot(candidate), accuracy(candidate))),
      make("td", { class: "number" }, count(candidate.unparseable)),
      make("td", { class: "number" }, count(candidate.errors)),
      make("td", { class: "number" }, seconds(candidate.latency_p50_s)),
      make("td", { class: "number" }, dollars(candidate.cost_per_1k_usd)),
    ),
  );
  byId("candidates").tBodies[0].append(...rows);
};

const showLegend = () => {
  const letters = Object.keys(OUTCOMES).filter((outcome) => "rwuf".includes(outcome) || matrix.outcomes.some((all) => all.includes(outcome)));
  byId("legend").append(
    ...letters.map((outcome) =>
      make("li", {}, make("span", { class: `sign ${CLASSES[outcome]}`, "aria-hidden": "true" }, OUTCOMES[outcome].sign), OUTCOMES[outcome].word),
    ),
  );
};

/** What a reader must know of what is not here. */
const showNotes = () => {
  const notes = [
    "Right means full marks. An answer that could not be read, or a request that failed, counts as not right.",
    "Times in a cell are from the accuracy pass, in which many requests are under way at once. The median time above is from requests made one by one.",
    "Signs in angle brackets, such as ⟨ESC⟩ or ⟨RLO⟩, stand for characters that cannot be seen. Answers are shown as text and do nothing.",
    `A text longer than ${count(LONGEST)} characters is cut in its middle, and says so. Whole texts are in logs/ and records.parquet beside this page.`,
  ];
  if (head.input_limit < LONGEST) notes.push(`To keep this page small, inputs in the list are cut to ${count(head.input_limit)} characters.`);
  candidates.forEach((candidate, c) => {
    const name = `${letter(c)}, ${line(candidate.name, 80)}`;
    if (candidate.limit === 0) notes.push(`${name}: there is no room for its texts on this page.`);
    else if (candidate.limit < LONGEST) notes.push(`${name}: to keep this page small, its texts are cut to ${count(candidate.limit)} characters each.`);
    if (candidate.trouble) notes.push(`${name}: no prompts can be shown, because ${line(candidate.trouble, 200)}.`);
  });
  byId("notes").append(...notes.map((note) => make("li", {}, make("bdi", {}, note))));
};
