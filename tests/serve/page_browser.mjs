// The page in a real browser (headless Chromium, through playwright-core): called by page_test.py, which
// runs the server. Prints one JSON object: {checks: [{name, ok, why}], page, stream, rows, count}.
//
//   node page_browser.mjs PLAYWRIGHT CHROMIUM URL [--key KEY | --upstream URL | --https | --log MODE] [--pictures FOLDER]
import { answers, ask, askAndStop, launch, until } from "./browser.mjs";

const [playwright, executablePath, url, ...rest] = process.argv.slice(2);
const option = (name) => (rest.includes(name) ? rest[rest.indexOf(name) + 1] : "");
const pictures = option("--pictures");
const checks = [];

const check = (name, ok, why = "") => checks.push({ name, ok: Boolean(ok), why: String(why).slice(0, 600) });
const metric = async (name) => {
  const text = await (await fetch(`${origin}/metrics`, { headers: key() })).text();
  return Number(text.match(new RegExp(`^vitrine_${name} (.*)$`, "m"))?.[1]);
};
const key = () => (option("--key") ? { authorization: `Bearer ${option("--key")}` } : {});

const { browser, open, origin } = await launch(playwright, executablePath, url, rest.includes("--https") ? ["--ignore-certificate-errors"] : []);

const picture = async (page, name) => {
  if (pictures) await page.screenshot({ path: `${pictures}/${name}.png` });
};

// An answer of our own making, for what no model can be made to say on demand.
const chunk = (delta, finish = null) => `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
const sse = (...chunks) => ({ status: 200, contentType: "text/event-stream", body: chunks.join("") });

async function conversation() {
  const page = await open({ colorScheme: "light" });
  check("the message field has the focus", await until(() => page.evaluate(() => document.activeElement?.id === "prompt")));
  check("the model is named", await until(async () => (await page.locator("#model").textContent()) !== ""));
  await page.evaluate(() => {
    window.lengths = new Set();
    new MutationObserver(() => window.lengths.add(document.querySelector(".message.assistant .text")?.textContent.length)).observe(document.getElementById("messages"), { subtree: true, childList: true, characterData: true });
  });
  const done = await ask(page, "Which colours does a rainbow have? Answer in one sentence.");
  const lengths = await page.evaluate(() => [...window.lengths]);
  check("an answer comes and ends", done, await page.locator("#notice").textContent());
  check("it comes piece by piece", lengths.filter((length) => length > 0).length > 1, lengths);
  const foot = await answers(page).first().textContent();
  check("tokens, speed and reason are told", /\d+ tokens · [\d.,]+ tokens\/s · /.test(foot), foot);
  await page.locator("#prompt").focus();
  await picture(page, "page-light");
  await glassOf(page);

  // Stop: the fetch ends, and so does the server's sequence.
  const cancelled = await metric("sequences_cancelled_total");
  // A small model may end its answer before anybody can stop it: then it is asked again.
  const stopped = async () => {
    const before = await answers(page).count();
    await page.locator("#prompt").fill("Count from one to ten thousand, in words, one number a line.");
    await page.locator("#prompt").press("Enter");
    const begun = () => page.evaluate(() => document.querySelector(".message.writing .text")?.textContent.length > 0);
    await until(async () => (await begun()) || (await answers(page).count()) > before);
    const button = await page.locator("#send").textContent();
    await page.keyboard.press("Escape");
    await until(async () => (await answers(page).count()) > before);
    return button === "Stop" && (await answers(page).last().textContent()) === "stopped by you";
  };
  let tries = 0;
  while (!(await stopped()) && ++tries < 5);
  check("the button says stop, Esc stops", tries < 5);
  check("the server's sequence is cancelled", await until(async () => (await metric("sequences_cancelled_total")) === cancelled + 1));

  await keyboard(page);
  check("no error, no violation, nothing elsewhere", page.wrong.length === 0, page.wrong.join("; "));
  await page.context().close();
}

async function keyboard(page) {
  const users = () => page.locator(".message.user .text").allTextContents();
  const before = await users();
  await page.locator("#prompt").press("ArrowUp");
  check("arrow up takes the last message", (await page.locator("#prompt").inputValue()) === before.at(-1) && (await page.locator("#editing").isVisible()));
  await page.keyboard.press("Escape");
  check("Esc leaves it", (await page.locator("#prompt").inputValue()) === "" && (await users()).length === before.length);
  await page.locator("#prompt").fill("one");
  await page.locator("#prompt").press("Shift+Enter");
  await page.keyboard.type("two");
  check("Shift+Enter makes a line", (await page.locator("#prompt").inputValue()) === "one\ntwo");
  // While an input method composes (Korean), Enter is its own.
  await page.locator("#prompt").evaluate((prompt) => prompt.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", isComposing: true, bubbles: true, cancelable: true })));
  check("Enter sends nothing while an input method composes", (await users()).length === before.length);
  await page.locator("#prompt").fill("");
}

// The panel: what it lists, and that the stream behind it and its rows are the same.
async function glassOf(page) {
  const id = await page.evaluate(() => document.documentElement.dataset.page);
  const types = await page.locator("#types .chip").allTextContents();
  check("counts by type", types.some((text) => text.startsWith("Prompt")) && types.some((text) => text.startsWith("User agent")), types.join());
  check("the sentence", /^This page has sent [\d,]+ fields in \d+ requests to this machine\. Nothing was sent elsewhere\.$/.test(await page.locator("#sentence").textContent()), await page.locator("#sentence").textContent());
  check("connections to elsewhere: none, measured", (await page.locator("#elsewhere").textContent()) === "0");
  const post = page.locator(".exchange").filter({ hasText: "POST /v1/chat/completions" });
  check("the newest exchange stands first", (await page.locator(".exchange .what").first().textContent()) === "POST /v1/chat/completions");
  const chip = (path) => post.locator(`.field[data-path="${path}"]`).first().getAttribute("data-type");
  const expected = {
    "header:user-agent": "device.user-agent",
    "header:accept-language": "device.locale",
    "header:sec-ch-ua": "device.client-hints",
    "header:sec-ch-ua-mobile": "device.form-factor",
    "header:sec-ch-ua-platform": "device.os",
    "header:x-vitrine-page": "identifier.session",
    "body|json/messages/0/content": "content.prompt",
  };
  for (const [path, type] of Object.entries(expected)) check(`${path} is ${type}`, (await chip(path)) === type, await chip(path));
  const prompt = post.locator('.field[data-path="body|json/messages/0/content"]');
  await prompt.locator("summary").click();
  check("a field unfolds to value and reason", (await prompt.locator(".whole").textContent()).startsWith("Which colours does a rainbow have?") && (await prompt.locator("dl").textContent()).includes("gen-messages"));
  await prompt.locator("summary").click();
  check("every field is explained", (await page.locator(".field .tells").evaluateAll((all) => all.filter((one) => !one.textContent).length)) === 0);

  await page.locator("#filter").fill("rainbow");
  check("the filter narrows", (await page.locator(".exchange:not([hidden])").count()) === 1);
  await page.locator("#filter").fill("");

  // Another page of the same browser is not this page's.
  const other = await page.context().newPage();
  await other.goto(url);
  const otherId = await other.evaluate(() => document.documentElement.dataset.page);
  await until(async () => (await other.locator("#glass-count").textContent()) !== "0");
  check("each load has an id of its own", otherId !== id && /^[0-9a-f]{32}$/.test(otherId), otherId);
  await other.close();
  await collect(page, id);
}

const result = {};
async function collect(page, id) {
  const abort = new AbortController();
  let stream = "";
  const response = await fetch(`${origin}/page/fields?page=${id}`, { headers: key(), signal: abort.signal });
  const reading = (async () => {
    for await (const part of response.body.pipeThrough(new TextDecoderStream())) stream += part;
  })().catch(() => {});
  await until(() => stream.includes("event: connections"));
  await new Promise((done) => setTimeout(done, 1500));
  abort.abort();
  await reading;
  const folds = page.locator("#exchanges .exchange");
  await folds.evaluateAll((all) => all.forEach((one) => (one.open = true)));
  await new Promise((done) => setTimeout(done, 300));
  result.rows = await folds.evaluateAll((all) => Object.fromEntries(all.map((one) => [one.dataset.exchange, [...one.querySelectorAll(".field")].map((field) => field.dataset.path)])));
  await folds.evaluateAll((all) => all.forEach((one) => (one.open = one.querySelector(".what").textContent.startsWith("POST"))));
  Object.assign(result, { page: id, stream, count: await page.locator("#glass-count").textContent() });
}

async function hostileAnswers() {
  const page = await open();
  await until(async () => (await page.locator("#model").textContent()) !== "");
  let reply = null;
  await page.route("**/v1/chat/completions", (route) => reply(route));
  const evil = "Hi <img src=x onerror=alert(1)> **bold** and `a<b`\n\n```html\n<script>alert(1)</script>\n```\n\n- one\n- two\n";
  reply = (route) => route.fulfill(sse(chunk({ reasoning_content: "first I think" }), chunk({ content: evil }), chunk({}, "stop"), "data: [DONE]\n\n"));
  await ask(page, "go");
  const text = page.locator(".message.assistant .text").last();
  check("markup of an answer stays text", (await text.locator("img, script").count()) === 0 && (await text.textContent()).includes("<img src=x onerror=alert(1)>"));
  check("a little Markdown", (await text.locator("strong").textContent()) === "bold" && (await text.locator(".block pre code").textContent()) === "<script>alert(1)</script>" && (await text.locator("ul li").count()) === 2);
  check("reasoning is folded away", (await page.locator(".reasoning .thought").textContent()) === "first I think" && !(await page.locator(".reasoning").getAttribute("open")));

  let tries = 0;
  reply = (route) => (++tries === 1 ? route.fulfill({ status: 429, headers: { "retry-after": "1" }, json: { error: { message: "too many" } } }) : route.fulfill(sse(chunk({ content: "now" }), chunk({}, "stop"))));
  check("a busy server is asked again", (await ask(page, "again")) && tries === 2);
  reply = (route) => route.fulfill({ status: 400, json: { error: { message: "the prompt is too long" } } });
  await page.locator("#prompt").fill("refused");
  await page.locator("#prompt").press("Enter");
  check("a refusal is told", await until(async () => (await page.locator("#notice-text").textContent()).includes("the prompt is too long")));
  reply = (route) => route.fulfill(sse(chunk({ content: "half" })));
  await page.locator("#notice-again").click();
  check("an answer that breaks off is told", await until(async () => (await page.locator("#notice-text").textContent()) === "The answer broke off."));
  reply = (route) => route.abort("connectionrefused");
  await page.locator("#notice-again").click();
  check("a server that is gone is told", await until(async () => (await page.locator("#notice-text").textContent()).startsWith("The server does not answer")));
  const foreign = page.wrong.filter((what) => !what.includes("Failed to load resource"));
  check("hostile answers: no violation, nothing elsewhere", foreign.length === 0, foreign.join("; "));
  await page.context().close();
}

async function phone() {
  const page = await open({ viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, colorScheme: "light" });
  await until(async () => (await page.locator("#glass-count").textContent()) !== "0");
  await askAndStop(page, "Write a short note that moves a meeting to Thursday.");
  check("phone: nothing is wider than the screen", (await page.evaluate(() => document.documentElement.scrollWidth)) <= 390);
  check("phone: the panel is away", !(await page.locator("#glass").isVisible()));
  await picture(page, "page-phone-chat");
  await page.locator("#glass-toggle").tap();
  await page.locator("#glass-close").waitFor({ state: "visible" });
  await new Promise((done) => setTimeout(done, 600));
  check("phone: the panel is a sheet", (await page.locator("#glass").boundingBox()).width === 390);
  await picture(page, "page-phone");
  await page.keyboard.press("Escape");
  check("phone: Esc closes it", await until(async () => !(await page.locator("#glass").isVisible())));
  check("phone: no error, no violation, nothing elsewhere", page.wrong.length === 0, page.wrong.join("; "));
  await page.context().close();
}

async function dark() {
  const page = await open({ colorScheme: "dark" });
  check("dark", (await page.evaluate(() => getComputedStyle(document.body).backgroundColor)) === "rgb(20, 23, 27)");
  await askAndStop(page, "Show a Python function that reverses a list.");
  await picture(page, "page-dark");
  check("dark: no error, no violation, nothing elsewhere", page.wrong.length === 0, page.wrong.join("; "));
  await page.context().close();
}

async function korean() {
  const page = await open({ locale: "ko-KR", colorScheme: "light" });
  check("Korean by the browser's language", await until(async () => (await page.locator("#glass-title").textContent()) === "유리 패널" && (await page.getAttribute("html", "lang")) === "ko"));
  await until(async () => (await page.locator("#glass-count").textContent()) !== "0");
  const load = page.locator(".exchange").filter({ has: page.getByText("GET /", { exact: true }) });
  await load.locator("summary").first().click();
  await load.evaluate((one) => one.scrollIntoView());
  check("Korean: fields are explained", (await load.locator('.field[data-path="header:accept-language"] .tells').textContent()).startsWith("읽는 언어와"));
  await new Promise((done) => setTimeout(done, 500));
  await picture(page, "page-korean");
  await page.locator("#language").click();
  check("and English on demand", (await page.locator("#glass-title").textContent()) === "Glass panel");
  check("nothing is stored", (await page.evaluate(() => document.cookie.length + localStorage.length + sessionStorage.length)) === 0);
  check("Korean: no error, no violation, nothing elsewhere", page.wrong.length === 0, page.wrong.join("; "));
  await page.context().close();
}

async function keys() {
  const page = await open();
  await page.locator("#key-text").fill("not-a-key-of-this-server");
  await page.locator("#key-text").press("Enter");
  check("a wrong key is told", await until(() => page.locator("#key-wrong").isVisible()));
  await page.locator("#key-text").fill(option("--key"));
  await page.locator("#key-use").click();
  await askAndStop(page, "Hello");
  check("with the key there is an answer", (await page.locator(".message.assistant .text").last().textContent()) !== "", await page.locator("#notice-text").textContent());
  const field = page.locator('.field[data-path="header:authorization"]').first();
  check("the key is shown as sent", (await field.getAttribute("data-type")) === "account.token");
  const wrong = page.wrong.filter((what) => !what.includes("401"));
  check("keys: no violation, nothing elsewhere", wrong.length === 0, wrong.join("; "));
  await page.context().close();
}

// In front of an engine elsewhere: what the page says must not be what is said of a model here.
async function gateway() {
  const upstream = option("--upstream");
  const page = await open({ colorScheme: "light" });
  check("gateway: the greeting says where it goes", (await until(async () => (await page.locator("#hello h2").textContent()) === "Ask. You see where it goes.")) && (await page.locator("#hello p").textContent()).includes(upstream));
  check("gateway: the engine's model is named", await until(async () => (await page.locator("#model").textContent()) === "test-model"));
  const note = () => page.locator("#upstream-note").textContent();
  const open1 = `connections to ${upstream}, the engine that answers; open now: 1.`;
  let asked = 0;
  const seen = await until(async () => {
    if ((await page.locator(".writing").count()) === 0) {  // an answer may be shorter than the time between two looks
      ++asked;
      await page.locator("#prompt").fill("Tell a long story about a lighthouse keeper and the sea.");
      await page.locator("#prompt").press("Enter");
    }
    return (await note()) === open1;
  });
  check("gateway: while it answers, one connection to the engine is open", seen, await note());
  const answer = page.locator(".message.assistant .text").last();
  check("gateway: an answer came", await until(async () => (await answer.count()) === 1 && (await answer.textContent()) !== ""));
  await picture(page, "page-gateway");
  await page.keyboard.press("Escape");
  check("gateway: stopped, it is closed", await until(async () => (await note()).endsWith("open now: 0.")), await note());
  const opened = Number(await page.locator("#upstream-count").textContent());
  check("gateway: each request is one connection", opened === asked + 1, `${opened} for ${asked} questions and the list of models`);
  check("gateway: none is elsewhere", (await page.locator("#elsewhere").textContent()) === "0");
  const sentence = await page.locator("#sentence").textContent();
  check("gateway: the sentence", sentence.endsWith(`This server passes requests on to ${upstream}, and to nowhere else.`) && !sentence.includes("Nothing was sent"), sentence);
  const how = await page.locator("#elsewhere-how").textContent();
  check("gateway: the lock is told as what it is", how.includes("connects to") && how.includes(`Connections to ${upstream}`) && !how.includes("none can be missed"), how);
  check("gateway: what the engine keeps is not known", (await page.locator("#stores-upstream").textContent()).includes(upstream));
  await page.locator("#language").click();
  check("gateway: in Korean", (await page.locator("#sentence").textContent()).includes(`${upstream}에만`) && (await page.locator("#hello p").textContent()).includes(upstream));
  check("gateway: no error, no violation, nothing elsewhere", page.wrong.length === 0, page.wrong.join("; "));
  await page.context().close();
}

// Under TLS the handshake is part of what the page has sent.
async function encrypted() {
  const page = await open({ ignoreHTTPSErrors: true });
  check("https: an answer comes and ends", await ask(page, "Name one colour."), await page.locator("#notice").textContent());
  const connection = page.locator(".exchange.line").first();
  await connection.evaluate((one) => (one.open = true));
  const value = (path) => connection.locator(`.field[data-path="${path}"] .value`).textContent();
  check("https: the fingerprints of the handshake are listed", /^[0-9a-f]{32}$/.test(await value("tls:ja3")) && /^t13/.test(await value("tls:ja4")), await value("tls:ja4"));
  check("https: the protocols that were offered", (await value("tls:alpn-offered")).includes("http/1.1"), await value("tls:alpn-offered"));
  check("https: they are explained", (await connection.locator(".field .tells").evaluateAll((all) => all.every((one) => one.textContent))) && (await connection.locator('.field[data-path="tls:ja3"] .tells').textContent()).startsWith("A digest of how your browser"));
  check("https: and what is not listed of it", (await page.locator("#unseen-tls").textContent()).startsWith("The encryption handshake byte by byte."));
  check("https: no error, no violation, nothing elsewhere", page.wrong.length === 0, page.wrong.join("; "));
  await page.context().close();
}

// What the log leaves out is said; the panel, which is not the log, shows it all the same.
async function log() {
  const mode = option("--log");
  const page = await open();
  check(`${mode}: an answer comes and ends`, await ask(page, "Name one colour of the rainbow."), await page.locator("#notice").textContent());
  const text = await page.locator("#stores-log").textContent();
  const left = mode === "hash" ? "each text and number of what is written and answered" : "what is written and answered, whole";
  check(`${mode}: what the log leaves out is told`, text.includes(`--tap-content ${mode}`) && text.includes(`Left out: ${left}`), text);
  const prompt = page.locator('.field[data-path="body|json/messages/0/content"] .value').first();
  check(`${mode}: the panel shows what was sent`, (await prompt.textContent()) === "Name one colour of the rainbow.");
  check(`${mode}: no error, no violation, nothing elsewhere`, page.wrong.length === 0, page.wrong.join("; "));
  await page.context().close();
}

const steps = { "--key": [keys], "--upstream": [gateway], "--https": [encrypted], "--log": [log] };
const chosen = Object.keys(steps).find((name) => rest.includes(name));
try {
  for (const step of steps[chosen] ?? [conversation, hostileAnswers, phone, dark, korean]) {
    try {
      await step();
    } catch (error) {
      check(`${step.name} comes to its end`, false, error.stack);
    }
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify({ checks, ...result }));
