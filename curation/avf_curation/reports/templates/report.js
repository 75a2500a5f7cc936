// Filters by source, stage and reason, kept in the URL's hash beside the place on the page; one excerpt plays at a time.
(() => {
  const selects = [...document.querySelectorAll("#filters select")];
  const count = document.getElementById("shown");
  const items = [...document.querySelectorAll("[data-source],[data-stage],[data-reason]")];
  // Inner groups first. A group without an item says so in a sentence, which no filter hides.
  const groups = [...document.querySelectorAll("[data-group]")].filter(group => group.querySelector("[data-source]")).reverse();
  const folds = [...document.querySelectorAll("details.fold")];
  const contents = [...document.querySelectorAll("nav.contents a[href^='#']")];
  const state = () => Object.fromEntries(selects.filter(select => select.value).map(select => [select.name, select.value]));
  const parse = () => location.hash.includes("=") ? new URLSearchParams(location.hash.slice(1)) : new URLSearchParams({ at: location.hash.slice(1) });
  const write = at => {
    const values = new URLSearchParams(state());
    const filtered = [...values.keys()].length > 0;
    if (at) values.set("at", at);
    return filtered ? "#" + values : at ? "#" + at : " ";
  };
  function apply() {
    const chosen = Object.entries(state());
    let shown = 0;
    for (const item of items) {
      item.hidden = chosen.some(([name, value]) => name in item.dataset && item.dataset[name] !== value);
      shown += !item.hidden;
    }
    for (const group of groups) group.hidden = !group.querySelector("[data-source]:not([hidden])");
    // A filter opens what it found; without one, the page is as folded as at first.
    for (const fold of folds) if ("group" in fold.dataset) fold.open = chosen.length ? !fold.hidden : "open" in fold.dataset;
    for (const link of contents) link.parentElement.hidden = !!document.querySelector(link.hash).closest("[hidden]");
    count.textContent = chosen.length ? `${shown} of ${items.length} rows, charts and clips are shown; sums of the whole run stay as they are` : "everything is shown";
  }
  function unfold(target) {
    for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  }
  function go(at) {
    const target = at && document.getElementById(at);
    if (!target) return;
    unfold(target);
    target.scrollIntoView();
    if (!target.hasAttribute("tabindex")) target.setAttribute("tabindex", "-1");
    target.focus({ preventScroll: true });
  }
  function read() {
    const values = parse();
    for (const select of selects) {
      const value = values.get(select.name) || "";
      select.value = [...select.options].some(option => option.value === value) ? value : "";
    }
    apply();
    if (values.get("at")) go(values.get("at"));
  }
  for (const select of selects) select.addEventListener("change", () => { history.replaceState(null, "", write("")); apply(); });
  document.getElementById("clear").addEventListener("click", () => { for (const select of selects) select.value = ""; history.replaceState(null, "", " "); apply(); });
  document.addEventListener("click", event => {
    const link = event.target.closest("a[href^='#']");
    if (!link) return;
    const at = link.getAttribute("href").slice(1);
    if (!Object.keys(state()).length) {
      const target = document.getElementById(at);
      return target && unfold(target);
    }
    event.preventDefault();
    history.pushState(null, "", write(at));
    go(at);
  });
  addEventListener("hashchange", () => { if (location.hash.includes("=") || !document.getElementById(location.hash.slice(1))) read(); });
  addEventListener("popstate", () => { if (location.hash.includes("=")) read(); });
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const fold of folded) fold.open = true;
  });
  addEventListener("afterprint", () => { for (const fold of folded) fold.open = false; });
  document.addEventListener("play", event => { for (const video of document.querySelectorAll("video")) if (video !== event.target) video.pause(); }, true);
  for (const video of document.querySelectorAll("video")) {
    const toggle = () => video.paused ? video.play() : video.pause();
    video.addEventListener("keydown", event => { if (event.key === "Enter") { event.preventDefault(); toggle(); } });
    // A click on the picture plays by itself; a tap would only show the controls. The lower part has the controls' own buttons.
    video.addEventListener("pointerup", event => { if (event.pointerType === "touch" && event.offsetY < 0.6 * video.clientHeight) toggle(); });
  }
  if (location.hash) read();
})();
