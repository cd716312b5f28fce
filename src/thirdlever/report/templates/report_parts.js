// Precision, recall and F1 of every label, or accuracy of every field or rule, of one candidate.

const partsOf = byId("parts-of");

const startParts = () => {
  const counted = candidates.flatMap((candidate, c) => (candidate.parts.length ? [c] : []));
  byId("parts-section").hidden = counted.length === 0;
  if (!counted.length) return;
  byId("parts-title").textContent = `By ${head.by}`;
  partsOf.append(...counted.map((c) => option(c, `${letter(c)}  ${candidates[c].name}`)));
  partsOf.addEventListener("change", showParts);
  showParts();
};

const showParts = () => {
  const rows = candidates[Number(partsOf.value)].parts;
  const figures = ["accuracy", "precision", "recall", "F1", "valid"].filter((name) => rows.some((row) => row[name] !== null));
  const heads = [head.by, "targets", ...figures].map((name) => name[0].toUpperCase() + name.slice(1));
  byId("parts").tHead.rows[0].replaceChildren(
    ...heads.map((name, at) => make("th", { scope: "col", class: at ? "number" : null }, name)),
  );
  byId("parts").tBodies[0].replaceChildren(
    ...rows.map((row) =>
      make(
        "tr",
        {},
        make("th", { scope: "row" }, isolated(row[head.by])),
        make("td", { class: "number" }, count(row.targets)),
        ...figures.map((name) => make("td", { class: "number" }, row[name] === null ? quiet("–") : percent(row[name]))),
      ),
    ),
  );
};
