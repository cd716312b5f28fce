// Search and filters. The texts are in the page already; nothing here turns text into markup.

const byId = (id) => document.getElementById(id);
const concerns = [...document.querySelectorAll(".concern")];
const filters = byId("filters");

const items = new Map(concerns.map((concern) => [concern, [...concern.querySelectorAll(".found > li")]]));
const texts = new Map([...items.values()].flat().map((item) => [item, item.textContent.toLowerCase()]));
const SHOWN = { "": () => true, found: (level) => level !== "ok", serious: (level) => level === "error" || level === "warning" };

const show = () => {
  const words = filters.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = SHOWN[filters.elements.show.value];
  let matching = 0;
  let visible = 0;
  for (const concern of concerns) {
    let own = 0;
    for (const item of items.get(concern)) {
      const fits = words.every((word) => texts.get(item).includes(word));
      item.hidden = !fits;
      own += fits;
    }
    concern.hidden = !wanted(concern.dataset.level) || (words.length > 0 && own === 0);
    if (words.length > 0 && !concern.hidden) concern.open = true;
    if (!concern.hidden) {
      visible += 1;
      matching += own;
    }
  }
  byId("nothing").hidden = visible > 0;
  byId("count").textContent = `${visible} of ${concerns.length} checks, ${matching.toLocaleString("en")} items`;
};

const expand = byId("expand");
const label = () => {
  expand.textContent = concerns.every((concern) => concern.hidden || concern.open) ? "Collapse all" : "Expand all";
};
expand.addEventListener("click", () => {
  const open = expand.textContent === "Expand all";
  for (const concern of concerns) concern.open = open;
  label();
});
for (const concern of concerns) concern.addEventListener("toggle", label);

const theme = byId("theme");
const dark = () =>
  document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
const named = () => {
  theme.textContent = dark() ? "Light" : "Dark";
};
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = dark() ? "light" : "dark";
  named();
});

filters.addEventListener("input", show);
filters.addEventListener("submit", (event) => event.preventDefault());
for (const element of [filters, expand, theme]) element.hidden = false;
named();
label();
show();
document.documentElement.dataset.ready = "";
