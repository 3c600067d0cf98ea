"use strict";

const WORDS = {
  en: {
    fleet: "Fleet power now", cars: "Cars plugged in", stations: "Charging stations", price: "Price now",
    carsHere: "Every car, and why it does what it does", station: "Station", owner: "Owner", battery: "Battery",
    power: "Metered", told: "Ordered", why: "Why", leaves: "Leaves",
    legendCharge: "state of charge, as a band where it is estimated", legendReserve: "reserve", legendTarget: "wanted at departure",
    nobody: "No car is plugged in. Chargers connect to the OCPP port; `backfeed stations add` registers one.",
    prices: "Prices of the coming day", buy: "charging", sell: "discharging", sites: "Connection points", links: "Links",
    ok: "running", degraded: "degraded", charging: "charging", feeding: "feeding back", waiting: "waiting", idle: "nobody charges or feeds back",
    known: "known", stated: "said by the driver", expected: "expected", noAnswer: "The service does not answer. This page tries again every few seconds.",
    building: "building", carsWord: "cars", noLimit: "no limit", more: "more without a limit and without cars", itsBattery: "what this did to its battery", batteries: "Batteries", takes: "taken from the grid", gives: "given to the grid", sellFor: "a discharged kWh earns", none: "none yet",
  },
  zh: {
    fleet: "车队当前功率", cars: "已插枪车辆", stations: "充电桩", price: "当前电价",
    carsHere: "每辆车的状态与原因", station: "充电桩", owner: "车主", battery: "电池",
    power: "计量功率", told: "指令功率", why: "原因", leaves: "离开时间",
    legendCharge: "荷电状态（估算时以区间表示）", legendReserve: "保底电量", legendTarget: "出发时目标电量",
    nobody: "暂无车辆插枪。充电桩通过 OCPP 端口接入；使用 `backfeed stations add` 登记充电桩。",
    prices: "未来一天电价", buy: "充电", sell: "放电", sites: "接入点", links: "通信连接",
    ok: "运行正常", degraded: "功能受限", charging: "充电", feeding: "反向放电", waiting: "等待", idle: "无车辆充电或放电",
    known: "已登记", stated: "车主告知", expected: "预计", noAnswer: "服务无响应，页面将每隔几秒重试。",
    building: "楼宇", carsWord: "车辆", noLimit: "不限", more: "个无限制且无车辆的接入点", itsBattery: "查看电池状况", batteries: "电池", takes: "从电网取电", gives: "向电网送电", sellFor: "每放电一度收入", none: "暂无",
  },
};
const PERIODS_ZH = { peak: "峰段", flat: "平段", valley: "谷段", critical: "尖峰", sharp: "尖峰", deep_valley: "深谷" };
const LOCALE = { en: "en-GB", zh: "zh-CN" };
const REFRESH_MS = 5000;
const IDLE_KW = 0.02;
const SVG = "http://www.w3.org/2000/svg";

let language = "en";
let shown = null;

const by = (id) => document.getElementById(id);
const say = (word) => WORDS[language][word];
const tell = (id, text) => { by(id).textContent = text; };
const kw = (value) => (value === null ? "–" : `${value.toFixed(Math.abs(value) < 100 ? 1 : 0)} kW`);
const way = (value) => (value > IDLE_KW ? "in" : value < -IDLE_KW ? "out" : "quiet");
const percent = (value) => `${Math.round(value * 100)}`;

function time(text, style = { hour: "2-digit", minute: "2-digit" }) {
  return new Intl.DateTimeFormat(LOCALE[language], { ...style, timeZone: shown.prices.timezone }).format(new Date(text));
}

function moment(text) {
  const day = { year: "numeric", month: "numeric", day: "numeric" };
  const sameDay = time(text, day) === time(shown.health.now, day);
  return sameDay ? time(text) : time(text, { weekday: "short", hour: "2-digit", minute: "2-digit" });
}

function element(parent, name, kind = "", text = "") {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.textContent = text;
  parent.append(made);
  return made;
}

function drawing(parent, width, height, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  parent.append(svg);
  return svg;
}

function shape(svg, name, kind, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  made.setAttribute("class", kind);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  svg.append(made);
}

function drawBattery(cell, s) {
  const box = element(cell, "div", "battery");
  const known = s.soc_high - s.soc_low <= 0.03;
  const words = known ? `${percent((s.soc_low + s.soc_high) / 2)} %` : `${percent(s.soc_low)}–${percent(s.soc_high)} %`;
  const svg = drawing(box, 100, 12, words);
  svg.setAttribute("preserveAspectRatio", "none");
  shape(svg, "rect", "track", { x: 0, y: 0, width: 100, height: 12, rx: 3 });
  shape(svg, "rect", "band", { x: 0, y: 2, width: Math.min(100 * s.soc_high, 100), height: 8, rx: 2 });
  shape(svg, "rect", "full", { x: 0, y: 2, width: Math.max(100 * s.soc_low, 0), height: 8, rx: 2 });
  shape(svg, "rect", "reserve", { x: 100 * s.reserve_soc - 0.8, y: 0, width: 1.6, height: 12 });
  shape(svg, "rect", "target", { x: 100 * s.target_soc - 0.8, y: 0, width: 1.6, height: 12 });
  element(box, "span", "", words);
}

function showSessions(sessions) {
  const body = by("sessions");
  body.replaceChildren();
  by("nobody").hidden = sessions.length > 0;
  for (const s of sessions) {
    const row = body.insertRow();
    const station = element(row, "td", "", s.evse === 1 ? s.station : `${s.station} / ${s.evse}`);
    element(station, "div", "quiet small", s.site);
    const owner = element(element(row, "td"), "a", "", s.owner);
    owner.href = s.battery_page;
    owner.title = say("itsBattery");
    drawBattery(element(row, "td"), s);
    element(row, "td", `number ${way(s.power_kw)}`, kw(s.power_kw));
    element(row, "td", `number ${way(s.ordered_kw ?? 0)}`, kw(s.ordered_kw));
    element(row, "td", "why", (language === "zh" ? s.reason_zh : s.reason) ?? "");
    const leaves = element(row, "td", "", moment(s.departure_stated ?? s.departure_expected));
    element(leaves, "div", "quiet small", say(s.departure_stated ? "stated" : "expected"));
  }
}

function showFigures({ health, sessions, stations, prices }) {
  const powers = sessions.map((s) => s.power_kw);
  const total = powers.reduce((sum, power) => sum + power, 0);
  const count = (kind) => powers.filter((power) => way(power) === kind).length;
  tell("fleet-power", kw(total));
  by("fleet-power").className = `figure ${way(total)}`;
  tell("fleet-note", say(way(total) === "in" ? "takes" : way(total) === "out" ? "gives" : "idle"));
  tell("car-count", String(sessions.length));
  tell("car-note", `${count("in")} ${say("charging")} · ${count("out")} ${say("feeding")} · ${count("quiet")} ${say("waiting")}`);
  tell("station-count", String(health.stations_connected));
  tell("station-note", `${stations.length} ${say("known")}`);
  const now = prices.steps.findLast((step) => step.start <= health.now) ?? prices.steps[0];
  tell("price-now", `${now.buy_per_kwh.toFixed(3)} ${prices.currency}/kWh`);
  tell("price-note", `${language === "zh" ? (PERIODS_ZH[now.period] ?? now.period) : now.period} · ${say("sellFor")} ${now.sell_per_kwh.toFixed(3)}`);
}

function showPrices({ steps }) {
  const chart = by("chart");
  chart.replaceChildren();
  const [width, height, left, bottom] = [560, 190, 38, 22];
  const most = Math.max(...steps.flatMap((step) => [step.buy_per_kwh, step.sell_per_kwh]), 0.01) * 1.1;
  const least = Math.min(...steps.flatMap((step) => [step.buy_per_kwh, step.sell_per_kwh]), 0);
  const x = (index) => left + ((width - left) * index) / steps.length;
  const y = (price) => 8 + (height - bottom - 8) * (1 - (price - least) / (most - least));
  const svg = drawing(chart, width, height, say("prices"));
  for (let part = 0; part <= 4; part += 1) {
    const price = least + ((most - least) * part) / 4;
    shape(svg, "line", "grid", { x1: left, x2: width, y1: y(price), y2: y(price) });
    shape(svg, "text", "", { x: left - 6, y: y(price) + 4, "text-anchor": "end" }, price.toFixed(2));
  }
  steps.forEach((step, index) => {
    if (index % 16 === 0) shape(svg, "text", "", { x: x(index), y: height - 6 }, time(step.start));
  });
  const line = (key) => steps.map((step, index) => `${index ? "L" : "M"}${x(index)} ${y(step[key])}H${x(index + 1)}`).join("");
  shape(svg, "path", "area", { d: `${line("buy_per_kwh")}V${y(least)}H${left}Z` });
  shape(svg, "path", "buy", { d: line("buy_per_kwh") });
  shape(svg, "path", "sell", { d: line("sell_per_kwh") });
  const passed = (new Date(shown.health.now) - new Date(steps[0].start)) / 900000;
  shape(svg, "line", "now", { x1: x(passed), x2: x(passed), y1: 4, y2: height - bottom });
}

function showSites(sites) {
  const box = by("sites");
  box.replaceChildren();
  const worth = sites.filter((site) => site.import_limit_kw !== null || site.cars > 0);
  for (const site of worth) {
    const net = site.building_kw + site.cars_kw;
    const most = site.import_limit_kw ?? Math.max(net, site.building_kw, 10) * 1.2;
    const least = -(site.export_limit_kw ?? Math.max(-net, 10) * 1.2);
    const x = (power) => Math.min(Math.max((100 * (power - least)) / (most - least), 0), 100);
    const bar = (svg, kind, from, to, top, tall) =>
      shape(svg, "rect", kind, { x: Math.min(x(from), x(to)), y: top, width: Math.abs(x(to) - x(from)), height: tall });
    const part = element(box, "div", "site");
    const head = element(part, "div");
    element(head, "strong", "", site.site);
    const limits = [site.export_limit_kw === null ? say("noLimit") : kw(-site.export_limit_kw), site.import_limit_kw === null ? say("noLimit") : kw(site.import_limit_kw)];
    element(head, "span", `number ${way(net)}`, kw(net));
    const svg = drawing(part, 100, 8, `${site.site}: ${kw(net)}`);
    svg.setAttribute("preserveAspectRatio", "none");
    bar(svg, "track", least, most, 0, 8);
    bar(svg, "building", 0, site.building_kw, 1, 2);
    bar(svg, net < 0 ? "giving" : "taking", 0, net, 3.5, 3.5);
    shape(svg, "rect", "zero", { x: x(0) - 0.15, y: 0, width: 0.3, height: 8 });
    const foot = element(part, "div", "quiet small");
    element(foot, "span", "", limits[0]);
    element(foot, "span", "", `${say("building")} ${kw(site.building_kw)} · ${site.cars} ${say("carsWord")} ${kw(site.cars_kw)}`);
    element(foot, "span", "", limits[1]);
  }
  if (sites.length > worth.length) element(box, "p", "note", `${sites.length - worth.length} ${say("more")}`);
}

function showStations(stations) {
  const list = by("stations");
  list.replaceChildren();
  for (const station of stations) {
    const item = element(list, "li", station.connected ? "up" : "", station.station);
    item.title = `${station.site} · ${moment(station.since)}`;
  }
  if (!stations.length) element(list, "span", "note", say("none"));
}

function show() {
  for (const place of document.querySelectorAll("[data-say]")) place.textContent = say(place.dataset.say);
  for (const name of ["en", "zh"]) by(name).setAttribute("aria-pressed", String(name === language));
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  if (shown === null) return;
  const { health } = shown;
  tell("health", say(health.status));
  by("health").className = health.status === "ok" ? "pill ok" : "pill bad";
  by("trouble").hidden = health.reasons.length === 0;
  tell("trouble", health.reasons.join("; "));
  tell("clock", `${time(health.now, { dateStyle: "full", timeStyle: "medium" })} · ${shown.prices.timezone}`);
  tell("version", `${health.version} · ${shown.prices.tariff}`);
  showFigures(shown);
  showSessions(shown.sessions);
  showPrices(shown.prices);
  showSites(shown.sites);
  showStations(shown.stations);
}

async function refresh() {
  const ask = async (path) => (await fetch(path)).json();
  try {
    const paths = ["/healthz", "/api/v1/sessions", "/api/v1/stations", "/api/v1/sites", "/api/v1/prices"];
    const [health, sessions, stations, sites, prices] = await Promise.all(paths.map(ask));
    shown = { health, sessions, stations, sites, prices };
    show();
  } catch {
    by("health").className = "pill bad";
    tell("health", "?");
    by("trouble").hidden = false;
    tell("trouble", say("noAnswer"));
  }
}

function speak(name) {
  language = name;
  localStorage.setItem("language", name);
  show();
}

const asked = new URLSearchParams(location.search).get("lang") ?? localStorage.getItem("language") ?? navigator.language;
by("en").addEventListener("click", () => speak("en"));
by("zh").addEventListener("click", () => speak("zh"));
language = asked.startsWith("zh") ? "zh" : "en";
show();
refresh();
setInterval(refresh, REFRESH_MS);
