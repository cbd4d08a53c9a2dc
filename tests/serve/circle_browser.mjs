// The page of `vitrine serve` in headless Chromium: called by circle_test.py. Prints one JSON object:
// {answered, wrong, page, elsewhere, requests: [{method, path, headers, body}]}: what the browser says it sent.
//
//   node circle_browser.mjs PLAYWRIGHT CHROMIUM URL PROMPT
import { askAndStop, launch, until } from "./browser.mjs";

const [playwright, executablePath, url, prompt] = process.argv.slice(2);
const { browser, open } = await launch(playwright, executablePath, url);
const sent = [];
const page = await open({}, (empty) => empty.on("request", (request) => sent.push(request)));
await until(async () => (await page.locator("#model").textContent()) !== "");
await askAndStop(page, prompt, 5_000);
// The panel itself has what it lists from the tap: it must have heard of the question.
const shown = await until(() => page.locator('.field[data-path="body|json/messages/0/content"]').first().isVisible());
const requests = [];
for (const request of sent) {
  const target = new URL(request.url());
  if (target.protocol === "data:") continue;
  requests.push({ method: request.method(), path: target.pathname + target.search, headers: await request.headersArray(), body: request.postData() });
}
console.log(JSON.stringify({
  answered: (await page.locator(".message.assistant .text").textContent()) !== "",
  shown,
  wrong: page.wrong,
  page: await page.evaluate(() => document.documentElement.dataset.page),
  elsewhere: await page.locator("#elsewhere").textContent(),
  requests,
}));
await browser.close();
