// The matrix. Only visible rows are in the document, so that its size does not matter.

const grid = byId("grid");
const gridBody = grid.querySelector(".body");
const CLASSES = { r: "right", p: "partly", w: "wrong", u: "unparsed", x: "refused", c: "cut-off", f: "failed", "-": "absent" };
const AROUND = 6; // rows kept above and below the visible ones

const drawn = new Map(); // row -> element
const active = { row: 0, column: 0 }; // column 0 is the item, c + 1 is candidate c

const rowHeight = () => Number.parseFloat(getComputedStyle(grid).getPropertyValue("--row"));

const startGrid = () => {
  grid.style.setProperty("--n", candidates.length);
  grid.style.setProperty("--cell-wide", `${Math.max(84, Math.min(160, Math.floor(672 / candidates.length)))}px`);
  grid.setAttribute("aria-colcount", candidates.length + 1);
  grid.querySelector(".head .row").append(
    make("div", { role: "columnheader", "aria-colindex": 1, class: "item" }, "Item", make("span", { class: "target" }, "expected")),
    ...candidates.map((candidate, c) =>
      make(
        "div",
        { role: "columnheader", "aria-colindex": c + 2, title: visible(candidate.name) },
        make("span", { class: "top" }, badge(c), candidate.accuracy === null ? "–" : percent(candidate.accuracy, 0)),
        isolated(candidate.strategy, { class: "strategy" }),
        make("span", { class: "hidden" }, `, ${line(candidate.name, 120)}`),
      ),
    ),
  );
  let due = false;
  const soon = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      draw();
    });
  };
  grid.addEventListener("scroll", soon, { passive: true });
  new ResizeObserver(soon).observe(grid);
  grid.addEventListener("click", onClick);
  grid.addEventListener("keydown", onKey);
  grid.addEventListener("focusin", onFocus);
};

/** The items changed: start at the top. */
const gridChanged = () => {
  Object.assign(active, { row: 0, column: Math.min(active.column, candidates.length) });
  grid.setAttribute("aria-rowcount", shown.length + 1);
  grid.hidden = shown.length === 0;
  grid.scrollTop = 0;
  for (const element of drawn.values()) element.remove();
  drawn.clear();
  draw();
};

const draw = () => {
  const height = rowHeight();
  gridBody.style.height = `${shown.length * height}px`;
  const from = Math.max(0, Math.floor(grid.scrollTop / height) - AROUND);
  const to = Math.min(shown.length, Math.ceil((grid.scrollTop + grid.clientHeight) / height) + AROUND);
  for (const [row, element] of drawn) {
    if ((row < from || row >= to) && row !== active.row) {
      element.remove();
      drawn.delete(row);
    }
  }
  for (let row = from; row < to; row++) place(row);
  if (shown.length) place(active.row); // stays even if it is not visible: it holds the focus
  for (const [row, element] of drawn) element.style.transform = `translateY(${row * height}px)`;
};

/** Insert a row in document order, which screen readers follow. */
const place = (row) => {
  if (drawn.has(row)) return;
  const element = rowElement(row);
  drawn.set(row, element);
  const later = [...drawn.keys()].filter((other) => other > row);
  gridBody.insertBefore(element, later.length ? drawn.get(Math.min(...later)) : null);
};

const rowElement = (row) => {
  const i = shown[row];
  const here = (column) => (row === active.row && column === active.column ? "0" : "-1");
  const item = make(
    "div",
    { role: "rowheader", "aria-colindex": 1, class: "item", tabindex: here(0) },
    isolated(matrix.shown[i], { class: "input" }),
    isolated(target(i), { class: "target" }),
  );
  const cells = candidates.map((candidate, c) => cellElement(c, i, here(c + 1)));
  return make("div", { role: "row", class: "row", "aria-rowindex": row + 2, "data-row": row }, item, ...cells);
};

const cellElement = (c, i, tabindex) => {
  const outcome = matrix.outcomes[c][i];
  const answers = outcome === "r" ? [] : predicted(c, i);
  const { sign, word } = OUTCOMES[outcome];
  const answer = answers.map((text) => line(text, 60)).join(" / ");
  return make(
    "div",
    {
      role: "gridcell",
      "aria-colindex": c + 2,
      "aria-label": `${letter(c)} ${word}${answer ? `, answered ${answer}` : ""}`,
      class: `cell ${CLASSES[outcome]}`,
      title: answer || null,
      tabindex,
    },
    make("span", { class: "sign", "aria-hidden": "true" }, sign),
    answer ? make("bdi", { class: "answer", "aria-hidden": "true" }, answer) : "",
  );
};

/** The cell of an event. */
const cellOf = (event) => {
  const cell = event.target.closest("[role=gridcell], [role=rowheader]");
  return cell && { row: Number(cell.parentElement.dataset.row), column: Number(cell.getAttribute("aria-colindex")) - 1 };
};

const activeElement = () => drawn.get(active.row)?.children[active.column];

/** Make a cell the tab stop, scroll it into view and, if wanted, focus it. */
const activate = (row, column, focus = true) => {
  activeElement()?.setAttribute("tabindex", "-1");
  Object.assign(active, { row, column });
  const height = rowHeight();
  const top = row * height;
  const room = grid.clientHeight - gridBody.offsetTop;
  if (top < grid.scrollTop) grid.scrollTop = top;
  else if (top + height > grid.scrollTop + room) grid.scrollTop = top + height - room;
  draw();
  const cell = activeElement();
  cell.setAttribute("tabindex", "0");
  const item = cell.parentElement.firstElementChild.offsetWidth; // covers what is scrolled under it
  if (column > 0 && cell.offsetLeft - item < grid.scrollLeft) grid.scrollLeft = cell.offsetLeft - item;
  else if (column > 0 && cell.offsetLeft + cell.offsetWidth > grid.scrollLeft + grid.clientWidth) {
    grid.scrollLeft = cell.offsetLeft + cell.offsetWidth - grid.clientWidth;
  }
  if (focus) cell.focus({ preventScroll: true });
};

const onFocus = (event) => {
  const cell = cellOf(event);
  if (cell && (cell.row !== active.row || cell.column !== active.column)) activate(cell.row, cell.column, false);
};

const onClick = (event) => {
  const cell = cellOf(event);
  if (!cell) return;
  activate(cell.row, cell.column);
  openPanel(cell.row, Math.max(0, cell.column - 1));
};

const onKey = (event) => {
  if (!cellOf(event) || event.altKey || event.metaKey) return;
  const { row, column } = active;
  const last = { row: shown.length - 1, column: candidates.length };
  const page = Math.max(1, Math.floor(grid.clientHeight / rowHeight()) - 2);
  const whole = event.ctrlKey;
  const moves = {
    ArrowUp: [row - 1, column],
    ArrowDown: [row + 1, column],
    ArrowLeft: [row, column - 1],
    ArrowRight: [row, column + 1],
    PageUp: [row - page, column],
    PageDown: [row + page, column],
    Home: [whole ? 0 : row, 0],
    End: [whole ? last.row : row, last.column],
  };
  if (event.key === "Enter" || event.key === " ") openPanel(row, Math.max(0, column - 1));
  else if (event.key in moves) {
    const [toRow, toColumn] = moves[event.key];
    activate(Math.min(last.row, Math.max(0, toRow)), Math.min(last.column, Math.max(0, toColumn)));
  } else return;
  event.preventDefault();
};
