"use strict";
(() => {
  const by = (id) => document.getElementById(id);
  const make = (tag, text, attributes) => {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    return made;
  };

  // The theme: the system's, or the one that is chosen.
  const themes = ["system", "light", "dark"];
  const button = by("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    const root = document.documentElement;
    root.dataset.theme = themes[(themes.indexOf(root.dataset.theme || "system") + 1) % 3];
    button.textContent = `Theme: ${root.dataset.theme}`;
  });

  // A link to a cell opens it.
  const open = () => {
    const target = location.hash.length > 1 && by(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") {
      target.open = true;
      target.scrollIntoView();
      target.querySelector("summary").focus({ preventScroll: true });
    }
  };
  addEventListener("hashchange", open);
  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest('a[href^="#cell-"]');
    if (link && link.hash === location.hash) open();
  });
  open();

  // Who prints sees why something failed.
  addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("article details")) one.open = true;
  });

  // The cases: rows are made when they are to be seen.
  if (!by("data")) return;
  const { distros, suites, rows } = JSON.parse(by("data").textContent);
  const looks = {
    f: ["failed", "✗"], e: ["error", "!"], X: ["xpassed", "X"], k: ["flaky", "~"],
    x: ["xfailed", "x"], s: ["skipped", "–"], p: ["passed", "✓"],
  };
  const several = suites.length > 1;
  const lower = rows.map((row) => `${suites[row[0]]} ${row[1]}`.toLowerCase());
  const table = by("table");
  const head = make("tr");
  head.append(make("th", "Case", { scope: "col" }));
  for (const name of distros) head.append(make("th", name, { scope: "col" }));
  table.createTHead().append(head);
  const body = table.createTBody();
  for (const [n, name] of distros.entries()) by("distro").append(make("option", name, { value: n }));

  const name = (row) => {
    const line = document.createDocumentFragment();
    if (several) line.append(make("span", `${suites[row[0]]} `, { class: "dim" }));
    line.append(make("code", row[1]));
    if (!row[3]) return line;
    const folded = make("details");
    const summary = make("summary");
    summary.append(line);
    folded.append(summary);
    const where = new Map(); // the same is said once
    for (const [n, said] of Object.entries(row[3])) {
      where.set(said, [...(where.get(said) || []), distros[n]]);
    }
    for (const [said, names] of where) {
      const text = make("p", `${said} `);
      text.append(make("span", names.join(", "), { class: "dim" }));
      folded.append(text);
    }
    return folded;
  };
  const rowOf = (row) => {
    const made = make("tr");
    const head = make("th", "", { scope: "row" });
    head.append(name(row));
    made.append(head);
    for (const letter of row[2]) {
      const look = looks[letter];
      const cell = make("td", "", look ? { class: look[0] === "flaky" ? "xfailed" : look[0] } : {});
      const word = look && make("span", look[0], letter === "p" ? { class: "sr" } : {});
      if (look) cell.append(make("span", look[1], { "aria-hidden": "true" }), " ", word);
      made.append(cell);
    }
    return made;
  };

  let found = [];
  let shown = 0;
  const show = (many) => {
    const part = document.createDocumentFragment();
    for (const index of found.slice(shown, shown + many)) part.append(rowOf(rows[index]));
    shown = Math.min(shown + many, found.length);
    body.append(part);
    by("more").hidden = shown >= found.length;
  };
  const number = new Intl.NumberFormat("en");
  const filter = () => {
    const words = by("name").value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdict = by("verdict").value;
    const distro = by("distro").value;
    const fits = (letters) => {
      const there = distro === "" ? letters : letters[distro];
      if (verdict === "*") {
        const ran = new Set(letters.replaceAll(".", ""));
        return ran.size > 1 && there !== ".";
      }
      return verdict ? [...verdict].some((one) => there.includes(one)) : there !== ".";
    };
    found = [];
    for (let n = 0; n < rows.length; n++) {
      if (words.every((word) => lower[n].includes(word)) && fits(rows[n][2])) found.push(n);
    }
    body.replaceChildren();
    shown = 0;
    show(100);
    by("count").textContent = `${number.format(found.length)} of ${number.format(rows.length)} cases`;
  };
  let waiting = 0;
  by("filter").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 120);
  });
  by("filter").addEventListener("submit", (event) => event.preventDefault());
  by("more").addEventListener("click", () => show(500));
  by("filter").hidden = false;
  by("bare").hidden = true;
  filter();
})();
