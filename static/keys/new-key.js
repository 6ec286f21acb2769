// Enhancements of the page that shows a secret once.

function download(button) {
  const text = document.querySelector(button.dataset.download).cloneNode(true);
  text.querySelectorAll(".reveal__mask").forEach((mask) => mask.remove());
  const file = new Blob([`${text.textContent.trim()}\n`], { type: "text/plain" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = button.dataset.filename;
  link.click();
  URL.revokeObjectURL(link.href);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-download]");
  if (button) {
    download(button);
  }
});
