// Tables and figure saving. `widget` holds the table library (see build_report.py).

// A number as the TSV files have it: C's %.6g.
function sixDigits(value) {
  if (value === 0) return "0";
  const rounded = Number(value.toPrecision(6));
  const exponent = Math.floor(Math.log10(Math.abs(rounded)));
  if (exponent >= -4 && exponent < 6) return String(rounded);
  const [mantissa, power] = rounded.toExponential(5).split("e");
  const digits = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
  return `${digits}e${power[0]}${power.slice(1).padStart(2, "0")}`;
}

function threeDigits(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3) return value.toExponential(1).replace("-", "−").replace("e-", "e−");
  const text = size >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
  return text.replace("-", "−");
}

const MISSING = '<span class="missing">NA</span>';

function escaped(text) {
  return String(text).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

// One cell for the eye, for sorting and searching, or for a file.
function renderer(kind) {
  return (value, use) => {
    if (use === "export") {
      if (value === null) return "NA";
      return typeof value === "number" && kind === "number" ? sixDigits(value) : String(value);
    }
    if (value === "inf" || value === "-inf") {
      if (use === "sort" || use === "type") return value === "inf" ? Infinity : -Infinity;
      return value === "inf" ? "∞" : "−∞";
    }
    if (use === "sort" || use === "type") {
      if (value !== null) return value;
      return kind === "text" ? "" : Infinity;
    }
    if (value === null) return use === "display" ? MISSING : "";
    if (use !== "display") return value;
    if (kind === "number") return threeDigits(value);
    return kind === "integer" ? value.toLocaleString("en") : escaped(value);
  };
}

const PLACES = new Set(["circle", "peak", "id", "library", "matched_feature", "linear_peak"]);

function textClass(column, rows, index) {
  if (PLACES.has(column.name)) return "text place";
  let longest = 0;
  for (const row of rows.slice(0, 200)) longest = Math.max(longest, (row[index] ?? "").length);
  if (longest === 64) return "text hash";
  return longest > 40 ? "text long" : "text";
}

function columnOf(column, index, rows) {
  return {
    title: column.name.replace(/_(?=.)|(?<=[a-z])(?=[A-Z])/g, "$&<wbr>"),
    data: index,
    visible: column.shown,
    type: column.kind === "text" ? "string" : "num",
    className: column.kind === "text" ? textClass(column, rows, index) : "number",
    render: renderer(column.kind),
  };
}

function makeTable(element) {
  const key = element.dataset.table;
  const { columns, rows, total } = JSON.parse(document.getElementById(`data-${key}`).textContent);
  const own = columns.flatMap((column, index) => (column.added ? [] : [index]));
  const format = { header: (title) => title.replaceAll("<wbr>", ""), body: (value) => value };
  const whole = { columns: own, orthogonal: "export", format };
  const buttons = [
    { extend: "copyHtml5", text: "Copy", title: null, exportOptions: whole },
    {
      extend: "csvHtml5",
      text: "Download TSV",
      filename: rows.length < total ? `${key}_first_${rows.length}_rows` : key,
      extension: ".tsv",
      fieldSeparator: "\t",
      fieldBoundary: "",
      exportOptions: whole,
    },
  ];
  if (columns.length > 6) buttons.push({ extend: "colvis", text: "Columns" });
  const few = rows.length <= 10;
  const table = new widget.DataTable(element, {
    data: rows,
    columns: columns.map((column, index) => columnOf(column, index, rows)),
    order: [],
    autoWidth: false,
    deferRender: true,
    pageLength: 10,
    paging: !few,
    info: !few,
    language: { search: "Search", searchPlaceholder: "" },
    layout: {
      topStart: { buttons },
      topEnd: rows.length > 1 ? "search" : null,
      bottomStart: few ? null : "info",
      bottomEnd: few ? null : "paging",
    },
  });
  columns.forEach((column, index) => {
    table.column(index).header().title = column.description;
  });
}

function saveFigure(button) {
  const svg = document.querySelector(`#${button.dataset.figure} svg`).outerHTML;
  const plain = svg.replace(/var\(--[a-z-]+, (#[0-9a-f]{6})\)/g, "$1");
  const address = URL.createObjectURL(new Blob([plain], { type: "image/svg+xml" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = `${button.dataset.figure}.svg`;
  link.click();
  URL.revokeObjectURL(address);
}

function followSections() {
  const links = new Map();
  document.querySelectorAll("nav a").forEach((link) => links.set(link.hash.slice(1), link));
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        links.forEach((link) => link.removeAttribute("aria-current"));
        links.get(entry.target.id)?.setAttribute("aria-current", "true");
      }
    },
    { rootMargin: "-10% 0px -80% 0px" },
  );
  document.querySelectorAll("main > section").forEach((section) => watcher.observe(section));
}

document.querySelectorAll("table[data-table]").forEach(makeTable);
document.querySelectorAll("button.save").forEach((button) => {
  button.addEventListener("click", () => saveFigure(button));
});
followSections();
