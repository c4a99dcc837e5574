"use strict";
(() => {
  const root = document.documentElement;

  // Light or dark: the system's, until the button says otherwise; remembered where the browser allows it.
  const theme = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const nameTheme = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  const stored = (value) => {
    try { return value ? localStorage.setItem("theme", value) : localStorage.getItem("theme"); } catch { return null; }
  };
  if (["light", "dark"].includes(stored())) root.dataset.theme = stored();
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    stored(root.dataset.theme);
    nameTheme();
  });
  dark.addEventListener("change", nameTheme);
  nameTheme();

  // Sorting: down, up, back to the report's order (words: up first). Within groups, so that like stands beside like;
  // a column that they share orders the groups. What has no value is last either way.
  const value = (row, column) => row.cells[column].dataset.sort;
  const order = (column, sign) => (a, b) => {
    const [x, y] = [value(a, column), value(b, column)];
    if (x === "" || y === "") return (x === "") - (y === "");
    const difference = Number(x) - Number(y);
    return sign * (Number.isNaN(difference) ? x.localeCompare(y, "en", { numeric: true }) : difference);
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const bodies = [...table.tBodies];
    const rows = bodies.map((body) => [...body.rows]);
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const cycle = head.classList.contains("number") ? ["descending", "ascending"] : ["ascending", "descending"];
      const next = [...cycle, "none"][cycle.indexOf(head.ariaSort) + 1];
      for (const each of heads) each.ariaSort = "none";
      head.ariaSort = next;
      const compare = order(column, next === "descending" ? -1 : 1);
      const groups = column < Number(table.dataset.shared);
      const sorted = next !== "none";
      const indices = bodies.map((_, i) => i);
      if (sorted && groups) indices.sort((i, j) => compare(rows[i][0], rows[j][0]));
      table.append(...indices.map((i) => bodies[i]));
      bodies.forEach((body, i) => body.append(...(sorted && !groups ? [...rows[i]].sort(compare) : rows[i])));
    }));
  }

  // A table that is wider than its box says how much of it is out of sight.
  const tell = (box) => {
    const heads = [...(box.querySelector("table").tHead?.rows ?? [])].at(-1)?.cells ?? [];
    const end = box.getBoundingClientRect().right + 10; // the padding of a cell is nothing to see
    const hidden = [...heads].filter((head) => head.getBoundingClientRect().right > end).length;
    let line = box.nextElementSibling;
    if (!line?.classList.contains("more")) {
      if (!hidden) return;
      line = Object.assign(document.createElement("p"), { className: "more" });
      box.after(line);
    }
    line.hidden = !hidden;
    line.textContent = `${hidden} more ${hidden === 1 ? "column" : "columns"}: scroll the table sideways →`;
  };
  const sizes = new ResizeObserver((entries) => { for (const entry of entries) tell(entry.target); });
  for (const box of document.querySelectorAll(".scroll:has(> table)")) {
    sizes.observe(box);
    box.addEventListener("scroll", () => tell(box), { passive: true });
  }

  // On paper, everything is open.
  const folded = () => [...document.querySelectorAll("details:not([open])")];
  let opened = [];
  addEventListener("beforeprint", () => { opened = folded(); for (const each of opened) each.open = true; });
  addEventListener("afterprint", () => { for (const each of opened) each.open = false; });
})();
