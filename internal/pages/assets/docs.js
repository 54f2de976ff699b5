/** Adds a button to each block of code, which copies it without what its commands print. */
for (const block of document.querySelectorAll("figure.code")) {
  if (!navigator.clipboard) break; // A page over http, of another machine, has none.
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    const copy = block.querySelector("code").cloneNode(true);
    for (const line of copy.querySelectorAll(".printed")) line.remove();
    try {
      await navigator.clipboard.writeText(copy.textContent.replace(/\n{2,}/g, "\n\n").trim());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  block.append(button);
}
