"use strict";
const table = document.getElementById("table");
const body = table.tBodies[0];
const rows = [...body.rows];
const chosen = (id) => document.getElementById(id).value;

function filter() {
  const words = chosen("search").toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const data = row.dataset;
    const visible =
      words.every((word) => data.search.includes(word)) &&
      (!chosen("script") || data.script === chosen("script")) &&
      (!chosen("family") || data.family === chosen("family")) &&
      (!chosen("verdict-filter") || data.verdict.split(" ").includes(chosen("verdict-filter")));
    row.hidden = !visible;
    shown += visible;
  }
  document.getElementById("count").value = `${shown} of ${rows.length}`;
}

function sort(heading) {
  const column = heading.cellIndex;
  const ascending = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const key = (row) => row.cells[column].dataset.sort;
  const numeric = heading.classList.contains("num");
  rows.sort((a, b) => {
    const order = numeric ? key(a) - key(b) : key(a).localeCompare(key(b));
    return ascending ? order : -order;
  });
  body.append(...rows);
}

for (const id of ["search", "script", "family", "verdict-filter"])
  document.getElementById(id).addEventListener("input", filter);
for (const heading of table.tHead.rows[0].cells)
  heading.firstElementChild.addEventListener("click", () => sort(heading));
filter();

function showMap() {
  const map = `${chosen("layer")}-${chosen("grouping")}`;
  for (const element of document.querySelectorAll(".map"))
    element.hidden = element.dataset.map !== map;
}
if (document.getElementById("layer")) {
  for (const id of ["layer", "grouping"])
    document.getElementById(id).addEventListener("input", showMap);
  showMap();
}
