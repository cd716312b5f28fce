// Start: show the head, then load the matrix.

const startTheme = () => {
  const button = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const name = () => {
    button.textContent = dark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Use ${dark() ? "light" : "dark"} colours`);
  };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    name();
  });
  system.addEventListener("change", name);
  name();
};

const start = async () => {
  startTheme();
  showTitle();
  showDecision();
  showCandidates();
  startParts();
  showNotes();
  startGrid();
  await loadMatrix();
  showLegend();
  startPanel();
  startConfusions();
  startFilters();
  refresh();
  document.documentElement.dataset.ready = "";
};

start().catch((error) => {
  byId("trouble").textContent = `This page could not be displayed; try a current browser. (${error.message})`;
  byId("trouble").hidden = false;
  throw error;
});
