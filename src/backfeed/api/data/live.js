"use strict";
const cell = (row, text, kind = "") => {
  const td = row.insertCell();
  td.textContent = text;
  td.className = kind;
};
const fill = (id, items, write) => {
  const body = document.getElementById(id);
  body.replaceChildren();
  for (const item of items) write(body.insertRow(), item);
};
const kw = (value) => (value === null ? "–" : `${value.toFixed(2)} kW`);
const direction = (value) => (value > 0 ? "number in" : value < 0 ? "number out" : "number");
const percent = (value) => `${Math.round(value * 100)} %`;
async function refresh() {
  const get = async (path) => (await fetch(path)).json();
  try {
    const [health, sessions, stations] = await Promise.all([get("/healthz"), get("/api/v1/sessions"), get("/api/v1/stations")]);
    document.getElementById("health").textContent =
      `${health.status} · ${health.now} · ${health.stations_connected} stations connected · ${health.log_events} events` +
      (health.reasons.length ? ` · ${health.reasons.join("; ")}` : "");
    fill("sessions", sessions, (row, s) => {
      cell(row, `${s.station} / ${s.evse}`);
      cell(row, s.owner);
      cell(row, s.soc_high - s.soc_low > 0.02 ? `${percent(s.soc_low)} – ${percent(s.soc_high)}` : percent(s.soc_low));
      cell(row, kw(s.power_kw), direction(s.power_kw));
      cell(row, kw(s.ordered_kw), direction(s.ordered_kw ?? 0));
      cell(row, s.reason ?? "");
      cell(row, s.departure_stated ?? s.departure_promised ?? "–");
    });
    fill("stations", stations, (row, s) => {
      cell(row, s.station);
      cell(row, s.site);
      cell(row, s.connected ? "connected" : "away");
      cell(row, s.since);
    });
  } catch (error) {
    document.getElementById("health").textContent = `no answer from the platform: ${error}`;
  }
}
refresh();
setInterval(refresh, 5000);
