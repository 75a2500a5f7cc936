// What the theme leaves out for keyboards and screen readers: the name of the search, and tables that scroll by keys.
const makeAccessible = () => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])").forEach((box) => box.setAttribute("tabindex", "0"));
};
makeAccessible();
new MutationObserver(makeAccessible).observe(document.body, { childList: true, subtree: true });
