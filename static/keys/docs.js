// Swagger UI is dark by a class on the root; it follows the theme of the pages.
{
  const root = document.documentElement;
  const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

  const followTheme = () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : systemIsDark.matches;
    root.classList.toggle("dark-mode", isDark);
  };

  followTheme();
  systemIsDark.addEventListener("change", followTheme);
  new MutationObserver(followTheme).observe(root, { attributeFilter: ["data-theme"] });
}
