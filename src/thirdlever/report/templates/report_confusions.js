// Which answers a candidate confuses, over the items shown, most frequent first.

const FEW = 10;
const picked = byId("confusions-of");
let everyConfusion = false;

const startConfusions = () => {
  picked.append(...candidates.map((candidate, c) => option(c, `${letter(c)}  ${candidate.name}`)));
  picked.addEventListener("change", showConfusions);
  byId("confusions-more").addEventListener("click", () => {
    everyConfusion = !everyConfusion;
    showConfusions();
  });
};

/** [{target, prediction, times}], most frequent first; and how often each answer was expected. */
const confusionsOf = (c) => {
  const times = new Map();
  const asked = new Map();
  for (const i of shown) {
    const outcome = matrix.outcomes[c][i];
    if (outcome === "-") continue;
    const right = matrix.targets[i];
    for (let epoch = 0; epoch < head.epochs; epoch++) {
      const answer = matrix.predictions[c][i * head.epochs + epoch];
      asked.set(right, (asked.get(right) ?? 0) + 1);
      if (answer === right || outcome === "r") continue;
      const key = `${right} ${answer}`;
      times.set(key, (times.get(key) ?? 0) + 1);
    }
  }
  const found = [...times].map(([key, number]) => {
    const [right, answer] = key.split(" ").map(Number);
    return { target: right, prediction: answer, times: number };
  });
  return [found.sort((a, b) => b.times - a.times || a.target - b.target || a.prediction - b.prediction), asked];
};

const showConfusions = () => {
  const c = Number(picked.value);
  const [found, asked] = confusionsOf(c);
  const most = found.length ? found[0].times : 1;
  const rows = (everyConfusion ? found.slice(0, 500) : found.slice(0, FEW)).map((one) => {
    const bar = make("span", { class: "length" });
    bar.style.width = `${(100 * one.times) / most}%`;
    const button = make("button", { type: "button" }, "Show");
    const answer = one.prediction < 0 ? "no answer" : matrix.labels[one.prediction];
    button.setAttribute("aria-label", `Show the items where ${line(matrix.labels[one.target], 60)} is mistaken for ${line(answer, 60)}`);
    button.addEventListener("click", () => {
      only({ candidate: c, target: one.target, prediction: one.prediction });
      byId("answers").scrollIntoView();
      if (shown.length) activate(0, c + 1);
    });
    return make(
      "tr",
      {},
      make("td", {}, isolated(matrix.labels[one.target])),
      make("td", {}, one.prediction < 0 ? quiet(answer) : isolated(answer)),
      make("td", { class: "bar" }, make("div", {}, make("span", { class: "room", "aria-hidden": "true" }, bar), count(one.times))),
      make("td", { class: "number" }, percent(one.times / asked.get(one.target), 0)),
      make("td", {}, button),
    );
  });
  byId("confusions").tBodies[0].replaceChildren(...rows);
  byId("confusions").hidden = rows.length === 0;
  const wrong = found.reduce((sum, one) => sum + one.times, 0);
  byId("confusions-about").textContent = rows.length
    ? `${letter(c)} has ${plural(wrong, "answer")} that ${wrong === 1 ? "is" : "are"} not right among the ${plural(shown.length, "item")} shown: ${plural(found.length, "kind of mistake", "kinds of mistakes")}, most frequent first.`
    : `${letter(c)} makes no mistakes among the ${plural(shown.length, "item")} shown.`;
  const more = byId("confusions-more");
  more.hidden = found.length <= FEW;
  more.textContent = everyConfusion ? `Show the first ${FEW} only` : `Show all ${count(Math.min(found.length, 500))}`;
};
