// Headless Chromium (through playwright-core) on the page of `vitrine serve`: what its tests share.
//
//   const { browser, open } = await launch(PLAYWRIGHT, CHROMIUM, URL);
import { createRequire } from "node:module";

export const PATIENCE = 240_000; // the machine may be busy

export async function until(condition, ms = PATIENCE) {
  for (const end = Date.now() + ms; Date.now() < end; ) {
    if (await condition()) return true;
    await new Promise((done) => setTimeout(done, 100));
  }
  return false;
}

export async function launch(playwright, executablePath, url, args = []) {
  const { chromium } = createRequire(import.meta.url)(playwright);
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage", ...args] });
  const origin = new URL(url).origin;
  // A page and what it did that it must not: errors, violations of its policy, requests to others. `before` gets the
  // page while it is still empty.
  const open = async (options = {}, before = () => {}) => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB", ...options });
    context.setDefaultTimeout(PATIENCE);
    const page = await context.newPage();
    page.wrong = [];
    page.on("console", (message) => message.type() === "error" && page.wrong.push(`console: ${message.text()}`));
    page.on("pageerror", (error) => page.wrong.push(`error: ${error.message}`));
    context.on("request", (request) => {
      if (!request.url().startsWith("data:") && new URL(request.url()).origin !== origin) page.wrong.push(`elsewhere: ${request.url()}`);
    });
    await page.addInitScript(() => addEventListener("securitypolicyviolation", (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`)));
    before(page);
    await page.goto(url);
    return page;
  };
  return { browser, open, origin };
}

export const answers = (page) => page.locator(".message.assistant:not(.writing) .foot");

// True when an answer came to its end.
export async function ask(page, text, ms = PATIENCE) {
  const before = await answers(page).count();
  await page.locator("#prompt").fill(text);
  await page.locator("#prompt").press("Enter");
  return until(async () => (await answers(page).count()) > before, ms);
}

// A small model does not always find an end.
export async function askAndStop(page, text, ms = 20_000) {
  if (await ask(page, text, ms)) return;
  await page.keyboard.press("Escape");
  await until(async () => (await page.locator(".writing").count()) === 0);
}
