// Enhancements only: every page works without this file.

const root = document.documentElement;

function switchTheme() {
  const systemIsDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : systemIsDark;
  root.dataset.theme = isDark ? "light" : "dark";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch {
    // The choice then lasts for this page.
  }
}

async function copy(button) {
  const source = document.querySelector(button.dataset.copy);
  const text = source.cloneNode(true);
  text.querySelectorAll(".reveal__mask").forEach((mask) => mask.remove());
  const label = button.querySelector("[data-copy-label]") ?? button;
  const before = label.textContent;
  try {
    await navigator.clipboard.writeText(text.textContent.trim());
    label.textContent = button.dataset.copied;
    button.classList.add("is-done");
  } catch {
    // Without permission to write: select it, so that one keystroke copies.
    getSelection().selectAllChildren(source);
    label.textContent = button.dataset.copyFailed;
  }
  setTimeout(() => {
    label.textContent = before;
    button.classList.remove("is-done");
  }, 2500);
}

function insertLine(button) {
  const field = document.querySelector(button.dataset.insertInto);
  const lines = field.value.split("\n").map((line) => line.trim());
  if (!lines.includes(button.dataset.insert)) {
    field.value = [...lines.filter(Boolean), button.dataset.insert].join("\n") + "\n";
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
  field.focus();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button, a");
  if (!button) {
    return;
  }
  if ("themeSwitch" in button.dataset) {
    switchTheme();
  } else if (button.dataset.copy) {
    copy(button);
  } else if (button.dataset.insertInto) {
    insertLine(button);
  } else if ("close" in button.dataset && button.closest("dialog")) {
    event.preventDefault();
    button.closest("dialog").close();
  }
});

// A confirmation page that htmx fetched into the dialog is shown as one.
const dialog = document.querySelector("#dialog");
dialog?.addEventListener("htmx:afterSwap", () => dialog.showModal());
dialog?.addEventListener("close", () => dialog.replaceChildren());
dialog?.addEventListener("click", (event) => {
  if (event.target === dialog) {
    dialog.close();
  }
});

// Signed out meanwhile: the sign-in page belongs into the window, not into a part of it.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (new URL(event.detail.xhr.responseURL).pathname.startsWith("/accounts/")) {
    event.detail.shouldSwap = false;
    // But not where leaving would lose what was typed, or a secret that is shown once.
    if (!event.target.closest("[data-stay]")) {
      location.reload();
    }
  }
});

// A second press while the first is on its way would only be told "already shown".
document.addEventListener("submit", (event) => {
  if ("once" in event.target.dataset) {
    const button = event.submitter ?? event.target.querySelector("[type=submit]");
    setTimeout(() => {
      button.disabled = true;
    });
  }
});

// Back to a page kept in memory: its buttons work again.
addEventListener("pageshow", (event) => {
  if (event.persisted) {
    document.querySelectorAll("form[data-once] [type=submit]").forEach((button) => {
      button.disabled = false;
    });
  }
});

// A browser refuses passkeys on a host without a name, and says so in its console only.
const passkeyHint = document.querySelector("[data-passkey-hint]");
if (passkeyHint && /^[\d.]+$|^\[/.test(location.hostname)) {
  passkeyHint.hidden = false;
  document.querySelector(passkeyHint.dataset.passkeyHint).disabled = true;
}

// Single keys are shortcuts, unless somebody switched that off: who dictates hits them unawares.
const hasShortcuts = () => {
  try {
    return localStorage.getItem("shortcuts") !== "off";
  } catch {
    return true;
  }
};

document.querySelectorAll("[data-shortcuts-switch]").forEach((box) => {
  box.checked = hasShortcuts();
  box.addEventListener("change", () => {
    try {
      localStorage.setItem("shortcuts", box.checked ? "on" : "off");
    } catch {
      box.checked = true;
    }
  });
});

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || !hasShortcuts()) {
    return;
  }
  const target = document.querySelector(`[data-shortcut="${CSS.escape(event.key)}"]`);
  if (target) {
    event.preventDefault();
    if (target.matches("a, button")) {
      target.click();
    } else {
      target.focus();
    }
  }
});
