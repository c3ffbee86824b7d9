(() => {
  const gallery = document.getElementById("gallery");
  const rows = [...gallery.querySelectorAll("tbody tr")];
  const chips = [...gallery.querySelectorAll("button[data-group]")];
  const search = document.getElementById("g-search");
  const clear = document.getElementById("g-clear");

  const chosen = () => {
    const groups = {};
    for (const chip of chips) {
      if (chip.getAttribute("aria-pressed") === "true")
        (groups[chip.dataset.group] ??= []).push(chip.dataset.value);
    }
    return groups;
  };

  // Any of the chips of a group will do, but of "also" each must hold.
  const fits = (row, groups, words) =>
    Object.entries(groups).every(([group, values]) => {
      const own = row.dataset[group].split(" ");
      return group === "also"
        ? values.every((value) => own.includes(value))
        : values.some((value) => own.includes(value));
    }) && words.every((word) => row.dataset.text.includes(word));

  const show = () => {
    const groups = chosen();
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      row.hidden = !fits(row, groups, words);
      count += !row.hidden;
    }
    document.getElementById("g-count").textContent = `${count} of ${rows.length}`;
    document.getElementById("g-none").hidden = count > 0;
    clear.hidden = !words.length && !Object.keys(groups).length;
    const parts = Object.entries(groups).map(([group, values]) => `${group}=${values.join(",")}`);
    if (words.length) parts.push(`q=${encodeURIComponent(words.join(" "))}`);
    history.replaceState(null, "", parts.length ? `#${parts.join("&")}` : location.pathname);
  };

  const restore = () => {
    const wanted = new Map(location.hash.slice(1).split("&").map((part) => part.split("=")));
    search.value = decodeURIComponent(wanted.get("q") ?? "");
    for (const chip of chips) {
      const on = (wanted.get(chip.dataset.group) ?? "").split(",").includes(chip.dataset.value);
      chip.setAttribute("aria-pressed", on);
    }
    show();
  };

  for (const chip of chips) {
    chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", chip.getAttribute("aria-pressed") !== "true");
      show();
    });
  }
  search.addEventListener("input", show);
  clear.addEventListener("click", () => {
    search.value = "";
    for (const chip of chips) chip.setAttribute("aria-pressed", false);
    show();
  });
  window.addEventListener("hashchange", restore);
  gallery.querySelector(".g-controls").hidden = false;
  restore();
})();
