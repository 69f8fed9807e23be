// Draws every figure[data-chart]: fetches its JSON, puts in the theme's colours, fills "Show as table".
(() => {
  const root = document.documentElement;
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const sources = new WeakMap(); // plot element → figure as the server sent it

  function themed(figure) {
    let text = JSON.stringify(figure);
    for (const [colour, variable] of Object.entries(figure.layout.meta?.palette || {})) {
      text = text.replaceAll(`"${colour}"`, `"${css(variable)}"`);
    }
    const { data, layout } = JSON.parse(text);
    const line = css("--hs-line"), muted = css("--hs-muted");
    for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
      if (layout[name].title) layout[name].title.font = { size: 12, color: muted };
      layout[name] = { gridcolor: line, linecolor: css("--hs-line-strong"), tickfont: { color: muted }, ...layout[name] };
    }
    return {
      data,
      layout: {
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: css("--hs-text") },
        hoverlabel: { bgcolor: css("--hs-surface"), bordercolor: css("--hs-line-strong"), font: { color: css("--hs-text") } },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: muted, activecolor: css("--hs-accent") },
        ...layout,
      },
    };
  }

  function cell(tag, value) {
    const element = document.createElement(tag);
    const isNumber = typeof value === "number";
    if (isNumber) element.className = "is-number";
    element.textContent = value === null ? "–"
      : isNumber && !Number.isInteger(value) ? String(Number(value.toPrecision(4))) : String(value);
    return element;
  }

  function fillTable(holder, { columns, rows }) {
    const table = document.createElement("table");
    table.className = "hs-table";
    const head = table.createTHead().insertRow();
    columns.forEach((column, place) => {
      const th = cell("th", column);
      th.scope = "col";
      if (rows.some((row) => typeof row[place] === "number")) th.className = "is-number";
      head.append(th);
    });
    const body = table.createTBody();
    for (const row of rows) body.insertRow().append(...row.map((value) => cell("td", value)));
    holder.replaceChildren(table);
  }

  function fail(figure, sentence) {
    const plot = figure.querySelector(".hs-plot");
    plot.classList.add("is-failed");
    plot.removeAttribute("role");
    plot.style.height = "auto";
    plot.textContent = sentence;
    figure.querySelector("details")?.remove();
  }

  async function paint(plot) {
    const { data, layout } = themed(sources.get(plot));
    if (layout.height) plot.style.height = `${layout.height}px`;
    await Plotly.react(plot, data, layout, {
      responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    });
  }

  async function draw(figure) {
    if (figure.dataset.isDrawn) return;
    figure.dataset.isDrawn = "1";
    const plot = figure.querySelector(".hs-plot");
    let source;
    try {
      const response = await fetch(figure.dataset.chart, { headers: { Accept: "application/json" } });
      source = await response.json();
      if (!response.ok) return fail(figure, source.error || `The chart could not be loaded (${response.status}).`);
    } catch {
      return fail(figure, "The chart could not be loaded. Reload the page to try again.");
    }
    if (!source.data?.length) return fail(figure, source.layout?.meta?.empty || "There is nothing to draw yet.");
    try {
      const holder = figure.querySelector("details > div");
      if (holder && source.layout.meta?.table) fillTable(holder, source.layout.meta.table);
      sources.set(plot, source);
      plot.replaceChildren();
      await paint(plot);
      figure.dataset.isReady = "1";
    } catch {
      fail(figure, "The chart could not be drawn in this browser. Its values are in the page's JSON.");
    }
  }

  const drawAll = (within) => within.querySelectorAll("figure[data-chart]").forEach(draw);
  new MutationObserver(() => document.querySelectorAll("figure[data-is-ready] .hs-plot").forEach(paint))
    .observe(root, { attributeFilter: ["data-bs-theme"] });
  document.addEventListener("htmx:after:swap", () => drawAll(document));
  drawAll(document);
})();
