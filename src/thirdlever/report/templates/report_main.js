// Start: what is known at once, then the matrix.

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
  showCandidates();
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
  byId("trouble").textContent = `This page could not be shown; a current browser can show it. (${error.message})`;
  byId("trouble").hidden = false;
  throw error;
});
