"use strict";
(() => {
  // What stands behind a number: its row's article from the list of runs, with the column of this metric alone.
  // Shown on hover and focus; a click or tap pins it, so that its links can be followed.
  const box = document.getElementById("provenance");
  let shown = null, pinned = false, timer = 0;
  const hide = () => {
    clearTimeout(timer);
    if (shown) box.hidePopover();
    shown = null;
    pinned = false;
  };
  const place = (link) => {
    box.style.left = box.style.top = "";
    if (matchMedia("(max-width: 40rem)").matches) return; // a sheet at the bottom, see the style
    const at = link.closest("td").getBoundingClientRect(), own = box.getBoundingClientRect();
    const below = at.bottom + 6 + own.height <= innerHeight || at.top < own.height + 6;
    box.style.top = `${Math.max(8, Math.min(below ? at.bottom + 6 : at.top - own.height - 6, innerHeight - own.height - 8))}px`;
    box.style.left = `${Math.max(8, Math.min(at.left, innerWidth - own.width - 8))}px`;
  };
  const show = (link) => {
    clearTimeout(timer);
    if (shown === link) return;
    const article = document.getElementById(link.hash.slice(1)).cloneNode(true);
    article.removeAttribute("id");
    const metric = link.dataset.metric;
    for (const each of article.querySelectorAll("[data-metric]")) if (metric && each.dataset.metric !== metric) each.remove();
    for (const row of article.querySelectorAll("tbody + tbody tr")) {
      if (![...row.cells].some((cell) => cell.tagName === "TD" && cell.textContent)) row.remove();
    }
    const close = document.createElement("button");
    Object.assign(close, { type: "button", className: "close", textContent: "×", ariaLabel: "Close", onclick: hide });
    box.replaceChildren(close, article);
    pinned = false;
    shown = link;
    box.showPopover();
    place(link);
  };
  const later = (action, wait) => { clearTimeout(timer); timer = setTimeout(action, wait); };
  const cells = "td > a[data-metric]";
  const hover = (event) => event.pointerType === "mouse" && event.target.closest?.(cells);
  document.addEventListener("pointerover", (event) => {
    const link = hover(event);
    if (link && !pinned) later(() => show(link), 150);
    else if (box.contains(event.target)) clearTimeout(timer);
    else if (!pinned && event.pointerType === "mouse") later(hide, 250);
  });
  document.addEventListener("focusin", (event) => {
    if (event.target.matches(cells) && event.target.matches(":focus-visible")) show(event.target);
    else if (!box.contains(event.target)) hide();
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest(cells);
    if (link) {
      event.preventDefault();
      show(link);
      pinned = true;
      if (event.detail === 0) box.querySelector("a, button").focus(); // by keyboard: go in, Escape comes back
    } else if (!box.contains(event.target)) hide();
  });
  document.addEventListener("keydown", (event) => {
    const link = shown;
    if (event.key === "Escape" && link) {
      link.focus({ preventScroll: true }); // which shows it again
      hide();
    }
    const way = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (!way || !event.target.matches(cells)) return;
    event.preventDefault();
    const rows = [...event.target.closest("table").querySelectorAll("tbody tr")];
    let row = rows.indexOf(event.target.closest("tr")), column = event.target.closest("td").cellIndex, next;
    do {
      row += way[0];
      column += way[1];
      const cell = rows[row]?.cells[column];
      if (!cell) return;
      next = cell.querySelector("a[data-metric]");
    } while (!next);
    next.focus();
  });
  addEventListener("scroll", (event) => { if (shown && !box.contains(event.target)) place(shown); }, { passive: true, capture: true });

  // One stop of the Tab key for each table; the arrows move inside.
  for (const table of document.querySelectorAll("table.sortable")) {
    const links = [...table.querySelectorAll("a[data-metric]")];
    links.forEach((link, i) => { link.tabIndex = i ? -1 : 0; });
    table.addEventListener("focusin", (event) => {
      if (links.includes(event.target)) for (const link of links) link.tabIndex = link === event.target ? 0 : -1;
    });
  }
})();
