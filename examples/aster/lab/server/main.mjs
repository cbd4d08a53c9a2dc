// The whole SIMULATED internet of the lab in one process. Usage: node main.mjs SCENARIO CERT_DIR
import fs from 'node:fs';
import path from 'node:path';
import { startApi } from './api.mjs';
import { startBackground } from './background.mjs';
import { startChat } from './chat.mjs';
import { startDns } from './dns.mjs';
import { startHelpdesk, startMetrica, startShieldprint } from './third_parties.mjs';

const FEATURES = {
  'aster-baseline': { shield: true, typingInsights: false },
  'aster-keystroke': { shield: true, typingInsights: true },
  'aster-clean': { shield: false, typingInsights: false },
};

const [scenario, certDir] = process.argv.slice(2);
const features = FEATURES[scenario];
if (!features || !certDir) {
  console.error(`usage: main.mjs ${Object.keys(FEATURES).join('|')} CERT_DIR`);
  process.exit(2);
}
const credentials = {
  key: fs.readFileSync(path.join(certDir, 'leaf.key')),
  cert: fs.readFileSync(path.join(certDir, 'chain.pem')),
};

await startDns();
await Promise.all([
  startChat(credentials, features),
  startApi(credentials),
  startMetrica(credentials),
  startShieldprint(),
  startHelpdesk(credentials),
  startBackground(credentials),
]);
console.log('ready');
