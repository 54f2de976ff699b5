/** Keeps the focus where people expect it when what had it goes away. */

const FOCUSABLE = "a[href], button:not(:disabled), input:not(:disabled, .hidden), select, summary, [tabindex='0']";

/** What has the focus, and the elements around it, the innermost first. */
let chain = [];

/** Moves the focus to the heading of the screen, from where a reader begins. */
export function focusHeading() {
  const heading = document.querySelector("#main h1");
  if (!heading) return;
  heading.tabIndex = -1;
  heading.focus();
}

function around(element) {
  const all = [];
  for (let at = element; at && at !== document.body; at = at.parentElement) all.push(at);
  return all;
}

/** If what had the focus is gone, what is nearest to where it was gets it. */
function keep() {
  if (chain.length === 0 || chain[0].isConnected || document.activeElement !== document.body) return;
  const near = chain.find((element) => element.isConnected);
  chain = [];
  const next = near?.closest("main") && near.id !== "main" ? near.querySelector(FOCUSABLE) : undefined;
  if (next) next.focus();
  else focusHeading();
}

/** Watches over what is below an element. */
export function keepFocus(root) {
  addEventListener("focusin", ({ target }) => { chain = around(target); });
  addEventListener("focusout", ({ target, relatedTarget }) => {
    // Who clicks beside everything, or leaves the page, has given the focus up.
    if (!relatedTarget) queueMicrotask(() => { if (target.isConnected) chain = []; });
  });
  new MutationObserver(keep).observe(root, { childList: true, subtree: true });
}
