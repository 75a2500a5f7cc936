// Draws every .chart element with Vega-Lite, at the latest when it comes into view, in the colours of the page.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const style = getComputedStyle(document.documentElement);
  const resolve = value => {
    if (typeof value === "string") return value.replace(/^var\((--[\w-]+)\)$/, (whole, name) => style.getPropertyValue(name).trim());
    if (Array.isArray(value)) return value.map(resolve);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolve(inner)]));
    return value;
  };
  const text = { labelColor: "var(--soft)", titleColor: "var(--ink)", labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" };
  const config = {
    background: "transparent", font: "system-ui, sans-serif", view: { stroke: null },
    axis: { ...text, gridColor: "var(--line)", domainColor: "var(--soft)", tickColor: "var(--soft)", labelOverlap: true },
    legend: { ...text, orient: "top", title: null }, header: text, title: { color: "var(--ink)", fontSize: 13, anchor: "start" },
    text: { color: "var(--ink)" }, rule: { color: "var(--ink)" }, mark: { color: "var(--series-1)" },
    range: { category: [1, 2, 3, 4, 5, 6].map(number => `var(--series-${number})`) },
  };
  const draw = async node => {
    const spec = JSON.parse(node.querySelector("script[type='application/json']").textContent);
    let picture = node.querySelector(".picture");
    if (!picture) { picture = document.createElement("div"); picture.className = "picture"; node.append(picture); }
    try {
      await vegaEmbed(picture, resolve(spec), { actions: false, renderer: "svg", config: resolve(config), tooltip: { theme: dark.matches ? "dark" : "light" } });
      node.dataset.drawn = "";
    } catch (error) { picture.textContent = "This chart cannot be drawn: " + error.message; }
  };
  const charts = [...document.querySelectorAll(".chart")];
  const started = new Set(), inView = new Set();
  const drawOnce = async node => {
    if (started.has(node)) return;
    started.add(node);
    await draw(node);
  };
  // One chart at a time, so that the first is shown before the last is calculated.
  let drawing = false;
  const drawInView = async () => {
    if (drawing) return;
    drawing = true;
    while (inView.size) {
      const [node] = inView;
      inView.delete(node);
      await drawOnce(node);
      await new Promise(resume => setTimeout(resume));
    }
    drawing = false;
  };
  const watcher = new IntersectionObserver(entries => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      inView.add(entry.target);
    }
    drawInView();
  }, { rootMargin: "300px" });
  charts.forEach(node => watcher.observe(node));
  // While the browser is idle, the charts that no fold hides are drawn ahead: a jump to them then finds them drawn.
  const whenIdle = window.requestIdleCallback ? work => requestIdleCallback(work) : work => setTimeout(work, 200);
  const drawAhead = async () => {
    const node = charts.find(chart => !started.has(chart) && (!chart.checkVisibility || chart.checkVisibility()));
    if (!node) return;
    if (!drawing) await drawOnce(node);
    whenIdle(drawAhead);
  };
  whenIdle(drawAhead);
  dark.addEventListener("change", () => charts.filter(node => "drawn" in node.dataset).forEach(draw));
  addEventListener("beforeprint", () => charts.forEach(drawOnce));
})();
