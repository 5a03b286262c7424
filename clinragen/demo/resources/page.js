"use strict";
// The page's own behaviour in the browser. Nothing of a patient is ever made into markup or code here: classes are
// switched, and values of inputs are set.

// What says the same thing in the rationale, the note and the charts lights up together.
(() => {
  const names = (element) => (element.dataset.of || "").split(" ").filter(Boolean);
  const light = (target) => {
    const owner = target instanceof Element ? target.closest("[data-of]") : null;
    const wanted = new Set(owner ? names(owner) : []);
    for (const one of document.querySelectorAll("[data-of]")) {
      one.classList.toggle("cr-lit", names(one).some((name) => wanted.has(name)));
    }
    return wanted;
  };
  const reveal = (target) => {
    // With the keyboard there is no other way to see what lies beyond the visible part of the note.
    const wanted = light(target);
    const note = document.querySelector(".cr-note");
    if (!note || note.contains(target) || !wanted.size) return;
    const mark = [...note.querySelectorAll("mark")].find((one) => names(one).some((name) => wanted.has(name)));
    if (mark) note.scrollTop = mark.offsetTop - note.offsetTop - note.clientHeight / 3;
  };
  document.addEventListener("mouseover", (event) => light(event.target));
  document.addEventListener("focusin", (event) => reveal(event.target));
  document.addEventListener("focusout", () => light(null));
})();

// The table of values and the CSV text are one thing, which the text holds.
(() => {
  const quoted = (cell) => (/[",;\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  const rowsOf = (table) => [...table.querySelectorAll("tr")];
  const inputsOf = (row) => [...row.querySelectorAll("input")];
  const text = () => document.querySelector("#measurements textarea");

  const csvOf = (table) => {
    const rows = rowsOf(table).map((row) => [row.dataset.title, ...inputsOf(row).map((one) => one.value.trim())]);
    const kept = rows.filter((row, place) => place === 0 || row.slice(1).some(Boolean));
    const times = rows[0].length - 1;
    const lines = [kept.map((row) => quoted(row[0])).join(",")];
    for (let time = 1; time <= times; time += 1) {
      if (kept.some((row) => row[time])) lines.push(kept.map((row) => quoted(row[time])).join(","));
    }
    return lines.length > 1 ? `${lines.join("\n")}\n` : "";
  };

  const addTime = (table) => {
    for (const row of rowsOf(table)) {
      const cell = row.lastElementChild.cloneNode(true);
      const input = cell.querySelector("input");
      input.value = "";
      input.setAttribute("aria-label", input.getAttribute("aria-label").replace(/\d+$/, String(row.cells.length)));
      row.append(cell);
    }
  };

  const fill = (table, csv) => {
    const lines = csv.split(/\r?\n/).filter((line) => line.trim());
    const cells = lines.map((line) => line.split(",").map((cell) => cell.trim()));
    const titles = rowsOf(table).map((row) => row.dataset.title);
    const known = !lines.length || (cells[0].every((title) => titles.includes(title)) && !csv.includes('"')
      && cells.every((row) => row.length === cells[0].length) && lines.length <= 25);
    table.closest(".cr-values").querySelector(".cr-message").textContent = known ? ""
      : "The CSV text has more than this table can show; what you type here replaces it.";
    while (known && rowsOf(table)[0].cells.length < lines.length) addTime(table);
    for (const row of rowsOf(table)) {
      const column = known && lines.length ? cells[0].indexOf(row.dataset.title) : -1;
      inputsOf(row).forEach((input, place) => {
        input.value = column < 0 ? "" : (cells[place + 1] || [])[column] || "";
      });
    }
  };

  document.addEventListener("input", (event) => {
    const table = event.target.closest?.(".cr-values table");
    const area = text();
    if (!table || !area) return;
    event.stopPropagation();
    table.closest(".cr-values").querySelector(".cr-message").textContent = "";
    area.value = csvOf(table);
    table.wrote = area.value;
    area.dispatchEvent(new Event("input", { bubbles: true }));
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".cr-more");
    if (!button) return;
    const table = button.closest(".cr-values").querySelector("table");
    addTime(table);
    rowsOf(table)[0].lastElementChild.querySelector("input").focus();
  });
  setInterval(() => {
    const table = document.querySelector(".cr-values table");
    const area = text();
    if (table && area && table.wrote !== area.value) {
      table.wrote = area.value;
      fill(table, area.value);
    }
  }, 250);
})();

// A part of an answer that arrives after the reader has changed something is never painted: only what was asked for
// last may stand on the page.
let asked = "";
new MutationObserver(() => {
  for (const one of document.querySelectorAll("[data-asked]")) {
    if (one.dataset.asked !== asked) one.remove();
  }
}).observe(document, { childList: true, subtree: true });

window.clinragen = {
  ask: () => {
    asked = String(Math.random());
    return asked;
  },
  drop: (values) => {
    asked = "";
    return values;
  },
  // What the server made of an answer is saved by the browser, and kept nowhere else.
  save: (file) => {
    if (!file) return "";
    const { name, type, data } = JSON.parse(file);
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    return "";
  },
};
