// Runs before the page is painted: the chosen theme must not flash the other one first.
{
  const root = document.documentElement;
  root.classList.add("js");
  try {
    const chosen = localStorage.getItem("theme");
    if (chosen === "light" || chosen === "dark") {
      root.dataset.theme = chosen;
    }
  } catch {
    // Without storage the system's preference stands.
  }
}
