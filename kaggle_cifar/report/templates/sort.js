"use strict";

// A cell sorts by its data-value where it has one, else by its text; empty cells come last.
function compare(one, other) {
  const [a, b] = [one, other].map((cell) => cell.dataset.value ?? cell.textContent);
  if (a === "" || b === "") return null;
  const difference = Number(a) - Number(b);
  return Number.isNaN(difference) ? a.localeCompare(b, "en") : difference;
}

function sortBy(header) {
  const table = header.closest("table");
  const ascending = header.getAttribute("aria-sort") !== "ascending";
  for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const body = table.tBodies[0];
  const rows = [...body.rows].sort((one, other) => {
    const [a, b] = [one, other].map((row) => row.cells[header.cellIndex]);
    const order = compare(a, b);
    if (order === null) return (a.textContent === "") - (b.textContent === "");
    return ascending ? order : -order;
  });
  body.append(...rows);
}

for (const button of document.querySelectorAll("table.sortable th button")) {
  button.addEventListener("click", () => sortBy(button.parentElement));
}
