// Filters over the cards. Their state is in the address (#q=dog&wrong=1), so a view can be sent to somebody.
(() => {
  const main = document.querySelector("main");
  const form = document.querySelector("form.filters");
  const cards = [...main.children];
  const texts = cards.map((card) => card.querySelector("blockquote").textContent.toLowerCase());
  const fields = form.elements;
  const orders = {
    rank: (a, b) => a.dataset.rank - b.dataset.rank,
    last: (a, b) => b.dataset.rank - a.dataset.rank,
    pair: (a, b) => a.dataset.pair - b.dataset.pair,
  };
  const output = form.querySelector("output");
  const top = Number(output.dataset.top); // true pairs ranked low have a card beyond it, for the filter alone
  let order = "rank";

  function apply() {
    const words = fields.q.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wrong = Boolean(fields.wrong?.checked);
    let shown = 0;
    cards.forEach((card, n) => {
      const asked = wrong ? card.dataset.clean === "1" : card.dataset.rank <= top;
      card.hidden = !asked || !words.every((word) => texts[n].includes(word));
      shown += !card.hidden;
    });
    if (fields.order.value !== order) {
      order = fields.order.value;
      main.append(...[...cards].sort(orders[order]));
    }
    output.textContent = shown === 1 ? "1 pair" : `${shown || "no"} pairs`;
  }

  function remember() {
    const state = new URLSearchParams([...new FormData(form)].filter(([name, value]) => value && value !== "rank"));
    history.replaceState(null, "", `#${state}`);
  }

  function restore() {
    const state = new URLSearchParams(location.hash.slice(1));
    fields.q.value = state.get("q") ?? "";
    fields.order.value = state.get("order") in orders ? state.get("order") : "rank";
    if (fields.wrong) fields.wrong.checked = state.has("wrong");
    apply();
  }

  function move(by) {
    const visible = [...main.children].filter((card) => !card.hidden);
    const at = visible.indexOf(document.activeElement.closest?.("article"));
    const next = at < 0 ? visible.at(0) : visible[at + by];
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "start" });
  }

  form.addEventListener("input", () => { apply(); remember(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", restore);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select")) return;
    if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "w" && fields.wrong) fields.wrong.click();
    else if (event.key === "/") { event.preventDefault(); fields.q.focus(); }
  });
  restore();
})();
