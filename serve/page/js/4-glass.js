// The glass panel: what this page has sent, as the server's tap saw it.

const glass = {
  exchanges: new Map(), // id → {id, time, method, target, status, sent, fields, details}
  seen: new Map(), // path → value it was last sent with
  byType: new Map(), // type ("" for none) → number
  fields: 0,
  leftOut: 0,
  connections: null,
  foreign: 0, // requests of this page to other hosts, by the browser's own list
  type: null, // chosen in "by type"
  text: "", // of the filter
};

const LONG = 400; // characters of a value that are shown before it is unfolded
const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
// What tells most about a person first.
const order = ["content", "account", "identifier", "location", "behaviour", "network", "device", "app", "consent", "none"];
const root = (type) => (type ? type.split(".")[0] : "none");

// "header:user-agent" → itself; "body|json/messages/3/content" → "body|json/messages/*/content".
const pattern = (path) => path.replace(/\/\d+(?=\/|$)/g, "/*").replace(/^path:\d+$/, "path:*").replace(/\[\d+\]/g, "");

// What a field can tell: of its path, of its type or a broader one, of where it stands.
function tells(field) {
  const own = t(`path.${pattern(field.path)}`);
  if (own) return own;
  for (let type = field.type; type; type = type.includes(".") ? type.slice(0, type.lastIndexOf(".")) : "") {
    const text = t(`tells.${type}`);
    if (text) return text;
  }
  return t(`place.${field.path.split(/[:|]/)[0]}`);
}

function decided(field) {
  const by = field.decided_by ?? "";
  if (by.startsWith("check:")) return t("decided.check", { name: by.slice(6) });
  if (by.startsWith("detector:")) return t("decided.detector", { name: by.slice(9) });
  if (by) return t(field.type ? "decided.rule" : "decided.none-rule", { name: by });
  return t("decided.nothing");
}

const nameOf = (path) => {
  const last = path.split(/[:|/]/).at(-1);
  return /^\d+$/.test(last) ? path : last;
};

function fieldRow(field) {
  const value = field.value ?? "";
  const chip = element("span", { class: `chip r-${root(field.type)}` }, typeLabel(field.type));
  const shown = value === "" ? t("value.empty") : value.slice(0, 200);
  const summary = element("summary", {}, element("span", { class: "name mono" }, nameOf(field.path)), chip,
    element("span", { class: "value mono" }, shown), element("span", { class: "tells" }, tells(field)));
  const row = element("details", { class: "field", "data-path": field.path, "data-type": field.type ?? "" }, summary);
  row.addEventListener("toggle", () => row.childElementCount > 1 || unfold(row, field, value));
  return element("li", {}, row);
}

function unfold(row, field, value) {
  const whole = element("div", { class: "whole mono", tabindex: "0" }, value.slice(0, LONG) || t("value.empty"));
  if (value.length > LONG) {
    const more = element("button", { class: "quiet", type: "button" }, t("value.more", { n: count(value.length) }));
    more.addEventListener("click", () => (whole.textContent = value));
    whole.append(more);
  }
  if (field.cut) whole.append(element("div", { class: "small" }, t("value.cut", { n: count(field.bytes) })));
  const facts = element("dl");
  const fact = (id, text) => facts.append(element("dt", {}, t(id)), element("dd", {}, text));
  fact("fact.path", field.path);
  fact("fact.type", field.type ? `${typeLabel(field.type)} (${field.type})` : t("type.none"));
  if (field.type) fact("fact.sure", t(`sure.${field.observation}`) || field.observation);
  fact("fact.decided", decided(field));
  row.append(whole, facts);
}

const matches = (field) => {
  if (glass.type !== null && (field.type ?? "") !== glass.type) return false;
  const text = glass.text.toLowerCase();
  return !text || [field.path, field.value ?? "", field.type ?? "", typeLabel(field.type)].some((part) => part.toLowerCase().includes(text));
};

// New fields with a type are shown at once; technical ones, and what was sent before with the same value, are folded.
function fillExchange(exchange) {
  const body = exchange.details.lastElementChild;
  const fields = exchange.fields.filter(matches);
  const narrowed = glass.type !== null || glass.text !== "";
  const list = (some) => element("ul", { class: "fields" }, ...some.map(fieldRow));
  const fold = (id, some, open) => element("details", { class: "fold", open }, element("summary", {}, t(id, { n: count(some.length) })), list(some));
  const shown = fields.filter((field) => field.type && !field.again);
  const technical = fields.filter((field) => !field.type && !field.again);
  const again = fields.filter((field) => field.again);
  body.replaceChildren(list(shown));
  if (technical.length) body.append(fold("technical", technical, narrowed || shown.length === 0));
  if (again.length) body.append(fold("again", again, narrowed || shown.length + technical.length === 0));
}

function titleOf(exchange) {
  if (exchange.id.endsWith(".0")) return t("exchange.connection", { n: exchange.id.split(".")[0] });
  return `${exchange.method} ${exchange.target.split("?")[0]}`;
}

function showExchange(exchange) {
  const matching = exchange.fields.filter(matches).length;
  exchange.details.hidden = matching === 0 && (glass.type !== null || glass.text !== "");
  const [what, meta] = exchange.details.firstElementChild.children;
  what.textContent = titleOf(exchange);
  const time = exchange.time ? new Date(exchange.time).toLocaleTimeString(words.language) : "";
  const parts = [t("exchange.fields", { n: count(matching) }), exchange.sent ? t("exchange.bytes", { n: count(exchange.sent) }) : "", time];
  meta.textContent = parts.filter(Boolean).join(" · ");
  if (exchange.details.open) fillExchange(exchange);
}

function addExchange({ exchange: id, time, method, target }) {
  const details = element("details", { class: id.endsWith(".0") ? "exchange line fresh" : "exchange fresh", "data-exchange": id },
    element("summary", {}, element("span", { class: "what mono" }), element("span", { class: "meta" })), element("div"));
  const exchange = { id, time, method, target, status: 0, sent: 0, fields: [], details };
  details.addEventListener("toggle", () => details.open && fillExchange(exchange));
  glass.exchanges.set(id, exchange);
  byId("exchanges").prepend(details);
  // What a person did on purpose is open, what a browser does by itself is not.
  details.open = method === "POST";
  return exchange;
}

function addFields(lines) {
  const changed = new Set();
  for (const line of lines.split("\n")) {
    const field = JSON.parse(line);
    const id = field.origin.split(":")[0];
    const exchange = glass.exchanges.get(id) ?? addExchange({ exchange: id, time: field.time, method: "", target: "" });
    field.again = glass.seen.get(field.path) === (field.value ?? "");
    glass.seen.set(field.path, field.value ?? "");
    exchange.fields.push(field);
    glass.fields += 1;
    glass.byType.set(field.type ?? "", (glass.byType.get(field.type ?? "") ?? 0) + 1);
    changed.add(exchange);
  }
  changed.forEach(showExchange);
}

function showTypes() {
  const sorted = [...glass.byType].sort((a, b) => order.indexOf(root(a[0])) - order.indexOf(root(b[0])) || a[0].localeCompare(b[0]));
  byId("types").replaceChildren(...sorted.map(([type, number]) => {
    const chip = element("button", { class: `chip r-${root(type)}`, type: "button", "aria-pressed": String(glass.type === type) },
      typeLabel(type), element("b", {}, count(number)));
    chip.addEventListener("click", () => {
      glass.type = glass.type === type ? null : type;
      filter();
    });
    return chip;
  }));
}

function filter() {
  const narrowed = glass.type !== null || glass.text !== "";
  for (const exchange of glass.exchanges.values()) {
    if (narrowed) exchange.details.open = true;
    showExchange(exchange);
  }
  showTypes();
}

function nowhere() {
  if (glass.foreign !== 0) return t("sentence.elsewhere", { n: count(glass.foreign) });
  return page.upstream ? t("sentence.upstream", page) : t("sentence.nowhere");
}

function showSentence() {
  const requests = [...glass.exchanges.keys()].filter((id) => !id.endsWith(".0")).length;
  const where = isLocal ? t("where.here") : t("where.host", { host: location.hostname });
  const strong = (text) => element("strong", {}, text);
  const parts = t("sentence").split(/(\{\w+\})/).map((part) =>
    part === "{fields}" ? strong(count(glass.fields)) : part === "{requests}" ? strong(count(requests)) : part === "{where}" ? where : part);
  byId("sentence").replaceChildren(...parts, " ", strong(nowhere()));
  byId("glass-count").textContent = count(glass.fields);
  byId("glass-toggle").setAttribute("aria-label", `${t("glass.title")}: ${t("exchange.fields", { n: count(glass.fields) })}`);
  byId("left-out").hidden = glass.leftOut === 0;
  byId("left-out").textContent = t("left-out", { n: count(glass.leftOut) });
}

function showConnections() {
  const measured = glass.connections;
  if (!measured) return;
  const { elsewhere, seccomp, upstream } = measured;
  byId("elsewhere").textContent = count(elsewhere.total);
  byId("elsewhere").classList.toggle("some", elsewhere.total > 0);
  const since = new Date(measured.measured.since).toLocaleTimeString(words.language);
  byId("elsewhere-note").textContent = t("elsewhere.note", { now: count(elsewhere.now), clients: count(measured.clients), since });
  byId("upstream").hidden = !page.upstream;
  byId("upstream-count").textContent = count(upstream.total);
  byId("upstream-note").textContent = t("upstream.note", { upstream: page.upstream, now: count(upstream.now) });
  const all = seccomp.filtered === seccomp.threads;
  const filterState = seccomp.filtered === 0 ? "off" : !all ? "partly" : seccomp.locked ? (page.upstream ? "gateway" : "locked") : "on";
  byId("elsewhere-how").replaceChildren(...[
    t("elsewhere.method", { seconds: measured.measured.interval_ms / 1000 }),
    page.upstream ? t("elsewhere.upstream", page) : "",
    t("elsewhere.limit", { gap: (measured.measured.longest_gap_ms / 1000).toFixed(1) }),
    t(`elsewhere.filter.${filterState}`, { filtered: seccomp.filtered, threads: seccomp.threads }),
    elsewhere.recent.length ? t("elsewhere.recent", { list: elsewhere.recent.join(", ") }) : "",
    measured.measured.failed ? t("elsewhere.failed", { n: count(measured.measured.failed) }) : "",
  ].filter(Boolean).map((text) => element("p", {}, text)));
}

function showGlass() {
  filter();
  showSentence();
  showConnections();
}

function takeEvent({ event, data }) {
  if (event === "exchange") showExchange(addExchange(JSON.parse(data)));
  else if (event === "fields") addFields(data);
  else if (event === "left-out") glass.leftOut = Number(data);
  else if (event === "connections") glass.connections = JSON.parse(data);
  else if (event === "closed") {
    const { exchange: id, status, sent } = JSON.parse(data);
    const exchange = glass.exchanges.get(id);
    if (exchange) showExchange(Object.assign(exchange, { status, sent }));
  }
}

// Follows the stream for as long as the page is open; begins anew when it breaks.
async function followGlass() {
  for (let pause = 1000; ; pause = Math.min(pause * 2, 15000)) {
    try {
      const response = await request(`/page/fields?page=${page.page}`);
      forgetGlass(); // the stream tells everything again
      let painting = false;
      for await (const event of events(response)) {
        takeEvent(event);
        pause = 1000;
        if (painting) continue;
        painting = true;
        requestAnimationFrame(() => {
          painting = false;
          showTypes();
          showSentence();
          showConnections();
        });
      }
    } catch (error) {
      if (error.status === 401) return askKey(error);
      if (error.status === 404) return showNotice(t("error.reload"));
      byId("sentence").textContent = t("glass.lost");
    }
    await wait(pause);
  }
}

function forgetGlass() {
  Object.assign(glass, { exchanges: new Map(), seen: new Map(), byType: new Map(), fields: 0, leftOut: 0 });
  byId("exchanges").replaceChildren();
}

// The browser's own list of what this page has loaded or called.
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (!entry.name.startsWith("data:") && new URL(entry.name).origin !== location.origin) glass.foreign += 1;
  }
}).observe({ type: "resource", buffered: true });
