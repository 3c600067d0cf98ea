"use strict";
(() => {
  const root = document.documentElement;
  const memory = {
    get(key) { try { return localStorage.getItem(key); } catch { return null; } },
    set(key, value) { try { localStorage.setItem(key, value); } catch { /* a file opened without storage */ } },
  };
  const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = memory.get("backfeed-theme") || (dark ? "dark" : "light");
  root.dataset.lang = root.dataset.asked || memory.get("backfeed-lang") || ((navigator.language || "en").startsWith("zh") ? "zh" : "en");
  const toggle = (id, key, first, second) => document.getElementById(id).addEventListener("click", () => {
    root.dataset[key] = root.dataset[key] === first ? second : first;
    memory.set("backfeed-" + key, root.dataset[key]);
    root.lang = root.dataset.lang === "zh" ? "zh-CN" : "en";
  });
  toggle("language", "lang", "en", "zh");
  toggle("theme", "theme", "light", "dark");

  const tip = document.getElementById("tip");
  const zone = document.body.dataset.zone;
  const clock = (ms) => new Intl.DateTimeFormat(root.dataset.lang === "zh" ? "zh-CN" : "en-GB", {
    timeZone: zone, weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit",
  }).format(ms);
  for (const svg of document.querySelectorAll("svg[data-readout]")) {
    const read = JSON.parse(svg.dataset.readout);
    const count = read.series[0].values.length;
    const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
    const height = svg.viewBox.baseVal.height;
    for (const [key, value] of [["class", "cursor"], ["y1", 44], ["y2", height - 30]]) cursor.setAttribute(key, value);
    cursor.style.display = "none";
    svg.append(cursor);
    const hide = () => { tip.style.display = cursor.style.display = "none"; };
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
      const step = Math.floor((x - read.left) / (read.right - read.left) * count);
      if (step < 0 || step >= count) { hide(); return; }
      const lines = read.series.filter((one) => one.values[step] !== null)
        .map((one) => one[root.dataset.lang] + "  " + one.values[step]);
      tip.textContent = [clock(read.start + step * read.step), ...lines].join("\n");
      tip.style.display = cursor.style.display = "block";
      const right = event.clientX + 200 > window.innerWidth;
      tip.style.left = (event.clientX + (right ? -tip.offsetWidth - 14 : 14)) + "px";
      tip.style.top = (event.clientY + 14) + "px";
      const at = read.left + (step + 0.5) * (read.right - read.left) / count;
      cursor.setAttribute("x1", at); cursor.setAttribute("x2", at);
    });
  }
})();
