// The person in front of the SIMULATED client. Usage: node main.mjs SCENARIO FILES_DIR AUDIT_YAML
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import zlib from 'node:zlib';
import { chromium } from 'playwright-core';
import { asterCli, fileSet, machineUpdater } from './cli.mjs';
import { Steps } from './steps.mjs';
import { seededRandom, type } from './typist.mjs';

const PROMPTS = {
  'aster-baseline': 'Plan a calm weekend in Lyon with two children',
  'aster-keystroke': 'Plan a calm weekend in Lyon with two children',
  'aster-clean': 'Suggest a short walk in Ghent',
};

const [scenario, filesDir, auditFile] = process.argv.slice(2);
const files = fileSet(filesDir);
const small = scenario === 'aster-clean';
const random = seededRandom(20261101);
const steps = new Steps(scenario);

fs.writeFileSync(files.upload, 'Trip notes (simulated)\nTwo children, one of them likes trams.\nNo museums on Sunday.\n');
fs.writeFileSync(files.usage, zlib.gzipSync(JSON.stringify({
  client: 'aster-cli', install_id: '6f1c2d3e-0000-4000-8000-000000000042', tz: 'Europe/Berlin', cpu_cores: 8, memory_mb: 16384,
  commands: [{ name: 'models', ms: 31 }, { name: 'chat', ms: 412 }],
})));

// Chromium's own services stay silent: their names do not exist in the lab, but the questions would be in
// the recording. The switch replaces Playwright's list, whose entries that matter here are repeated.
const QUIET = ['AutofillServerCommunication', 'MediaRouter', 'DialMediaRouteProvider', 'OptimizationHints', 'Translate',
  'HttpsUpgrades', 'HttpsFirstBalancedModeAutoEnable', 'AccountConsistency', 'SafeBrowsing', 'InterestFeedContentSuggestions'];
const SILENCED = ['*.google.com', '*.googleapis.com', '*.gvt1.com'].map((name) => `MAP ${name} ~NOTFOUND`).join(',');

const spki = fs.readFileSync(path.join(filesDir, 'leaf.spki'), 'utf8').trim();
// A profile of its own with third-party cookies allowed, as most people's browsers have them; in a private
// window, and by Debian's defaults, Chromium would not send Metrica's cookie back.
const profile = path.join(process.env.HOME, `profile-${scenario}`);
fs.mkdirSync(path.join(profile, 'Default'), { recursive: true });
fs.writeFileSync(path.join(profile, 'Default', 'Preferences'), JSON.stringify({ profile: { cookie_controls_mode: 0, block_third_party_cookies: false } }));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  locale: 'de-DE', timezoneId: 'Europe/Berlin', viewport: { width: 1440, height: 900 }, screen: { width: 1440, height: 900 },
  args: ['--no-sandbox', '--disable-gpu', `--ignore-certificate-errors-spki-list=${spki}`,
    `--disable-features=${QUIET.join(',')}`, `--host-resolver-rules=${SILENCED}`,
    '--disable-component-update', '--disable-domain-reliability', '--disable-sync',
    '--gaia-url=https://updates.browser.test/', '--no-pings'],
});
try {
  await context.addInitScript(() => {       // the simulated notebook's hardware, not the recording machine's
    Object.defineProperty(Navigator.prototype, 'hardwareConcurrency', { get: () => 8 });
    Object.defineProperty(Navigator.prototype, 'deviceMemory', { get: () => 8 });
  });
  if (!small) {
    await machineUpdater(files);
    const paper = await context.newPage();
    await paper.goto('https://news.tidings.test/');
    await paper.waitForSelector('body[data-ready]');
    await paper.close();
  }

  const page = await context.newPage();
  const finished = (name) => page.waitForSelector(`body[data-${name}]`, { timeout: 15000 });
  steps.mark('launch');
  await page.goto('http://chat.aster.test/');
  await finished('started');
  steps.mark('consent-shown');
  await sleep(400);
  await page.mouse.move(700, 40);
  await page.mouse.move(120, 95, { steps: 12 });
  steps.mark('consent-accepted');
  await page.click('#accept');
  await finished('consented');

  await page.fill('#email', 'mika.sample@example.test');
  await page.fill('#password', 'correct-horse-simulated');
  steps.mark('login');
  await page.click('#enter');
  await finished('loggedin');

  await page.click('#prompt');
  await sleep(300);
  steps.mark('typing-start');
  await type(page, PROMPTS[scenario], random);
  await sleep(350);
  if (!small) {
    steps.mark('upload');
    await page.setInputFiles('#file', files.upload);
    await finished('uploaded');
  }
  for (const id of ['#thumb', '#support', '#send', '#logout', '#send']) {
    await page.hover(id);
    await sleep(350 + 300 * random());
  }
  steps.mark('submit');
  await page.click('#send');
  await finished('answered');

  if (!small) {
    await page.click('#thumb');
    await finished('rated');
    await page.click('#support');
    await finished('supported');
    await asterCli(files);
  }
  steps.mark('logout');
  await page.click('#logout');
  await finished('loggedout');
  await sleep(300);
  await page.close();
} finally {
  await context.close();
}
steps.write(auditFile);
