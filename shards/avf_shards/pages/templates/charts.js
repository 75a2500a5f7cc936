// Draws every .chart element with Vega-Lite when it comes into view, in the colours of the page.
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
  const watcher = new IntersectionObserver(entries => entries.forEach(entry => {
    if (!entry.isIntersecting) return;
    watcher.unobserve(entry.target);
    draw(entry.target);
  }), { rootMargin: "300px" });
  charts.forEach(node => watcher.observe(node));
  dark.addEventListener("change", () => charts.filter(node => "drawn" in node.dataset).forEach(draw));
  addEventListener("beforeprint", () => charts.filter(node => !("drawn" in node.dataset)).forEach(draw));
})();
