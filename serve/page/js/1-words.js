// The page in one of its languages, and elements without HTML text: every string that comes from
// outside ends in a text node (Content-Security-Policy also forbids anything else: Trusted Types).
const page = document.documentElement.dataset;
const byId = (id) => document.getElementById(id);

const words = { language: navigator.language.toLowerCase().startsWith("ko") ? "ko" : "en", texts: {}, types: {} };

// The text of an id in the page's language, {names} filled in; "" without one.
function t(id, values = {}) {
  const text = words.texts[words.language]?.[id] ?? "";
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

const typeLabel = (type) => (type ? words.types[words.language]?.[type] ?? type : t("type.none"));
const count = (number) => number.toLocaleString(words.language);

function say(language) {
  words.language = language;
  document.documentElement.lang = language;
  // In front of an engine elsewhere some things are otherwise: a text of the same name with ".upstream" says so.
  const here = (id) => (page.upstream && t(`${id}.upstream`, page)) || t(id);
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = here(element.dataset.t);
  for (const element of document.querySelectorAll("[data-placeholder]")) {
    element.placeholder = t(element.dataset.placeholder);
  }
  const other = language === "ko" ? "en" : "ko";
  byId("language").textContent = other === "ko" ? "한국어" : "English";
  byId("language").lang = other;
  byId("stores-log").textContent = t(`stores.log.${page.log || "off"}`);
  byId("stores-upstream").hidden = !page.upstream;
  byId("stores-upstream").textContent = t("stores.upstream", page);
  byId("unseen-tls").textContent = t(location.protocol === "https:" ? "unseen.tls" : "unseen.no-tls");
}

// element("p", {class: "small"}, "text", other): attributes, then children; what is no element becomes text.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}
