// Marks of pairs: kept in this browser, counted, and downloaded as the file that `harness clean --apply` reads.
(() => {
  const main = document.querySelector("main");
  const form = document.querySelector("form.marks");
  const output = document.getElementById("precision");
  const cards = [...main.children];
  const key = `clean-${form.dataset.key}`;
  const read = () => { try { return JSON.parse(localStorage.getItem(key)) ?? {}; } catch { return {}; } };
  let marks = read();

  // Wilson's 95 % interval of a share that was counted.
  function interval(hits, of) {
    const z = 1.96, share = hits / of;
    const middle = (share + (z * z) / (2 * of)) / (1 + (z * z) / of);
    const half = (z / (1 + (z * z) / of)) * Math.sqrt((share * (1 - share)) / of + (z * z) / (4 * of * of));
    return [Math.max(0, middle - half), Math.min(1, middle + half)].map((end) => Math.round(100 * end));
  }

  function tell() {
    const seen = cards.filter((card) => card.dataset.sample === "1" && marks[card.dataset.row]);
    const wrong = seen.filter((card) => marks[card.dataset.row] === "wrong").length;
    const all = Object.values(marks);
    const counted = `${all.length} marked, ${all.filter((mark) => mark === "wrong").length} wrong`;
    if (!seen.length) { output.textContent = all.length ? counted : "no marks yet"; return; }
    const [low, high] = interval(wrong, seen.length);
    output.textContent = `${counted}; precision by the sample ${Math.round((100 * wrong) / seen.length)} % ` +
      `(${low} to ${high} %), ${seen.length} looked at`;
  }

  function show() {
    const wanted = form.elements.show.value;
    for (const card of cards) {
      const mark = marks[card.dataset.row];
      card.hidden = !(wanted === "all" || (wanted === "sample" && card.dataset.sample === "1") ||
        (wanted === "unmarked" && !mark) || wanted === mark);
    }
  }

  function paint(card) {
    const mark = marks[card.dataset.row] ?? "";
    card.dataset.mark = mark;
    card.querySelector(".mark").textContent = mark && `marked ${mark}`;
  }

  function set(card, mark) {
    if (mark) marks[card.dataset.row] = mark; else delete marks[card.dataset.row];
    try { localStorage.setItem(key, JSON.stringify(marks)); } catch { /* a private window: the marks stay on the page */ }
    paint(card);
    tell();
  }

  function move(by) {
    const visible = cards.filter((card) => !card.hidden);
    const at = visible.indexOf(document.activeElement.closest?.("article"));
    const next = at < 0 ? visible.at(0) : visible[at + by];
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "start" });
  }

  // A spreadsheet would compute a cell that begins so.
  const cell = (text) => `"${(/^[=+\-@\t\r]/.test(text) ? "'" : "") + text.replaceAll('"', '""')}"`;

  function download() {
    const lines = cards.filter((card) => marks[card.dataset.row]).map((card) =>
      [card.dataset.row, cell(card.dataset.image), cell(card.dataset.caption), marks[card.dataset.row]].join(","));
    const file = new Blob([["row,image,caption,mark", ...lines, ""].join("\n")], { type: "text/csv" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = "decisions.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  main.addEventListener("click", (event) => {
    const mark = event.target.dataset.mark;
    if (event.target.matches("button") && mark) set(event.target.closest("article"), mark);
  });
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("download").addEventListener("click", download);
  document.getElementById("forget").addEventListener("click", () => {
    if (!confirm("Forget all marks of this page?")) return;
    marks = {};
    try { localStorage.removeItem(key); } catch { /* nothing was kept */ }
    cards.forEach(paint);
    tell();
    show();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select")) return;
    const card = document.activeElement.closest?.("article");
    const mark = { x: "wrong", c: "right", u: "" }[event.key];
    if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (card && mark !== undefined) { set(card, mark); if (mark) move(1); }
  });
  cards.forEach(paint);
  tell();
})();
