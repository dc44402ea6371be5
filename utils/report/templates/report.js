"use strict";
// Filters, sorting and audio players of report.html; without scripts the page still shows everything else.
(() => {
  const form = document.getElementById("filters");
  if (!form) return;
  const list = document.getElementById("list");
  const articles = [...list.children];
  const texts = new Map(articles.map((article) => [article, article.textContent.toLowerCase()]));

  const isShown = (article, wanted) => {
    const data = article.dataset;
    return ["set", "language", "task"].every((name) => !wanted[name] || data[name] === wanted[name])
      && (!wanted.suspect || (wanted.suspect === "any" ? data.suspect : data.suspect.split(";").includes(wanted.suspect)))
      && texts.get(article).includes(wanted.text.trim().toLowerCase());
  };

  const update = () => {
    const wanted = Object.fromEntries(new FormData(form));
    let count = 0;
    for (const article of articles) {
      article.hidden = !isShown(article, wanted);
      count += !article.hidden;
    }
    document.getElementById("shown").textContent = `${count} of ${articles.length} shown`;
  };

  const sort = () => {
    const [name, direction] = form.elements.sort.value.split(":");
    const compare = name === "key"
      ? (a, b) => (a.dataset.key < b.dataset.key ? -1 : 1)
      : (a, b) => a.dataset[name] - b.dataset[name];
    list.append(...articles.sort((a, b) => direction * compare(a, b)));
  };

  form.addEventListener("input", update);
  form.elements.sort.addEventListener("change", sort);
  form.addEventListener("submit", (event) => event.preventDefault());

  // A player is made when its button is pressed: a thousand of them at once would be slow on a phone.
  const addresses = JSON.parse(document.getElementById("audio").textContent);
  list.addEventListener("click", (event) => {
    const button = event.target.closest("button.play");
    if (!button) return;
    const player = new Audio(addresses[button.dataset.audio]);
    player.controls = true;
    for (const other of document.querySelectorAll("audio")) other.pause();
    button.replaceWith(player);
    player.play().catch(() => {});  // the user can still press the player's own button
  });
  update();
})();
