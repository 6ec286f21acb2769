// The pages of one key: every one works without this file.

document.querySelector(".key-tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button && "print" in button.dataset) {
    print();
  } else if (button?.dataset.fill) {
    const field = document.querySelector(button.dataset.fill);
    field.value = button.dataset.value;
    field.focus();
  }
});

// The newest decisions, as they come, while somebody looks and wants them.
const REFRESH_EVERY = 10_000;
setInterval(() => {
  const box = document.querySelector("[data-refresh]");
  if (box?.checked && !document.hidden) {
    htmx.trigger(box.dataset.refresh, "refresh");
  }
}, REFRESH_EVERY);
