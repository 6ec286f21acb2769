// Enhancements of the list only: keys are selected, and changed, without this file too.

// Of the table that is there now: htmx may have brought a new one.
const boxes = () => [...document.querySelectorAll('#bulk input[name="key"]')];

function showSelection() {
  const all = boxes();
  const selected = all.filter((box) => box.checked).length;
  const everything = document.querySelector("[data-pick-all]");
  if (everything) {
    everything.checked = selected > 0 && selected === all.length;
    everything.indeterminate = selected > 0 && selected < all.length;
  }
  const count = document.querySelector("[data-count]");
  if (count) {
    const words = selected === 1 ? count.dataset.one : count.dataset.many;
    count.textContent = words.replace("{}", selected);
  }
}

// With Shift, all between the box that was changed last and this one become like it.
let last = null;
let isShifted = false;
const noteShift = (event) => {
  isShifted = event.shiftKey;
};
document.addEventListener("keydown", noteShift, true);
document.addEventListener("keyup", noteShift, true);
document.addEventListener("pointerdown", noteShift, true);

document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.matches("[data-pick-all]")) {
    boxes().forEach((each) => {
      each.checked = box.checked;
    });
  } else if (box.matches('#bulk input[name="key"]')) {
    const all = boxes();
    const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
    if (isShifted && from >= 0) {
      all.slice(from, to + 1).forEach((each) => {
        each.checked = box.checked;
      });
    }
    last = box;
  } else {
    return;
  }
  showSelection();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-fill]");
  if (button) {
    const field = document.querySelector(button.dataset.fill);
    field.value = button.dataset.value;
    field.focus();
  }
});

// What was applied shows behind the panel.
document.querySelector("#filter")?.addEventListener("submit", () => {
  const panel = document.querySelector("#filters");
  if (panel.matches(":popover-open")) {
    panel.hidePopover();
  }
});

// Where the saved filters scroll, the one in use is in sight.
function showCurrentFilter() {
  const strip = document.querySelector(".saved");
  const current = strip?.querySelector("[aria-current]");
  if (current) {
    strip.scrollLeft = current.offsetLeft - strip.offsetLeft - strip.clientWidth / 3;
  }
}

// A browser that comes back to the page ticks again what was ticked.
addEventListener("pageshow", showSelection);
document.addEventListener("htmx:afterSettle", () => {
  showSelection();
  showCurrentFilter();
});
showSelection();
showCurrentFilter();
