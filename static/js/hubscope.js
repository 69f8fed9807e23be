// Theme switch, comparison bar, confirm dialogs, copy buttons. Listens on the document, so HTMX swaps need no set-up.
(() => {
  const root = document.documentElement;
  const LEAST = 2, MOST = 6;

  // Comparison bar: checkboxes with data-compare-slug; the choice lasts for the tab.
  const bar = document.getElementById("compare-bar");
  const chosen = new Map(JSON.parse(sessionStorage.getItem("compare") || "[]"));
  function showChosen() {
    sessionStorage.setItem("compare", JSON.stringify([...chosen]));
    for (const box of document.querySelectorAll("[data-compare-slug]")) {
      box.checked = chosen.has(box.dataset.compareSlug);
      box.disabled = !box.checked && chosen.size >= MOST;
      box.closest("tr")?.classList.toggle("is-selected", box.checked);
    }
    if (!bar) return;
    const isListed = document.querySelector("[data-compare-slug]") !== null;
    bar.hidden = chosen.size === 0 || !isListed;
    const more = chosen.size < LEAST ? ", choose one more" : chosen.size >= MOST ? ", the most that fit" : "";
    bar.querySelector("[data-compare-count]").textContent = `${chosen.size} of ${MOST} models chosen${more}`;
    bar.querySelector("[data-compare-names]").textContent = [...chosen.values()].join(" · ");
    const link = bar.querySelector("[data-compare-link]");
    const isReady = chosen.size >= LEAST;
    link.href = `${bar.dataset.compareUrl}?models=${[...chosen.keys()].map(encodeURIComponent).join(",")}`;
    link.classList.toggle("disabled", !isReady);
    link.toggleAttribute("aria-disabled", !isReady);
    link.tabIndex = isReady ? 0 : -1;
  }
  document.addEventListener("change", (event) => {
    const box = event.target.closest("[data-compare-slug]");
    if (!box) return;
    if (box.checked) chosen.set(box.dataset.compareSlug, box.dataset.compareTitle || box.dataset.compareSlug);
    else chosen.delete(box.dataset.compareSlug);
    showChosen();
  });

  // Confirm: forms, links and buttons with data-confirm ask first, then do what they would have done.
  const dialog = document.getElementById("confirm-dialog");
  function confirmed(element, goOn) {
    dialog.querySelector("[data-confirm-text]").textContent = element.dataset.confirm;
    dialog.querySelector("[data-confirm-yes]").textContent = element.dataset.confirmYes || "Go on";
    dialog.returnValue = "no";
    dialog.addEventListener("close", () => dialog.returnValue === "yes" && goOn(), { once: true });
    dialog.showModal();
  }

  document.addEventListener("click", async (event) => {
    if (event.target.closest("[data-theme-toggle]")) {
      const theme = root.dataset.bsTheme === "dark" ? "light" : "dark";
      localStorage.setItem("theme", theme);
      root.dataset.bsTheme = theme;
      return;
    }
    if (event.target.closest("[data-compare-clear]")) {
      chosen.clear();
      showChosen();
      return;
    }
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      const label = copy.textContent;
      try {
        await navigator.clipboard.writeText(copy.dataset.copy);
        copy.textContent = "Copied";
      } catch {
        copy.textContent = "Press Ctrl-C";
        getSelection().selectAllChildren(document.querySelector(copy.dataset.copyFrom) || copy);
      }
      setTimeout(() => { copy.textContent = label; }, 2000);
      return;
    }
    const asks = event.target.closest("[data-confirm]");
    if (asks && asks.tagName !== "FORM" && dialog && !asks.dataset.isConfirmed) {
      event.preventDefault();
      event.stopImmediatePropagation();
      confirmed(asks, () => {
        asks.dataset.isConfirmed = "1";
        asks.click();
        delete asks.dataset.isConfirmed;
      });
    }
  }, true);
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.dataset.confirm || form.dataset.isConfirmed || !dialog) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    confirmed(form, () => {
      form.dataset.isConfirmed = "1";
      form.requestSubmit(event.submitter);
      delete form.dataset.isConfirmed;
    });
  }, true);

  document.addEventListener("htmx:after:swap", showChosen);
  showChosen();
})();
