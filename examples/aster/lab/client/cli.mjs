// curl as "aster-cli", and curl as the machine's own updater. SSLKEYLOGFILE is inherited.
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const CLI = ['-sS', '--fail', '-A', 'aster-cli/0.9.1 (linux; x86_64)', '-H', 'x-client-platform: cli', '-H', 'x-client-version: 0.9.1'];
const KEY = ['-H', 'authorization: Bearer ak-sim-00000000000000000000000000000001'];

const curl = (...args) => run('curl', ['-q', '-o', '/dev/null', ...args]);

export async function asterCli(files) {
  const ca = ['--cacert', files.ca];
  const json = ['-H', 'content-type: application/json'];
  // HTTP/1.1 in TLS 1.2 with ECDHE and ChaCha20-Poly1305
  await curl(...CLI, ...KEY, ...ca, '--http1.1', '--tlsv1.2', '--tls-max', '1.2', '--ciphers', 'ECDHE-ECDSA-CHACHA20-POLY1305',
    '--compressed', '-H', 'x-device-name: lab-notebook', 'https://api.aster.test/v1/models');
  // HTTP/2 in TLS 1.3, an event stream inside gzip
  await curl(...CLI, ...KEY, ...ca, ...json, '--http2', '--compressed', '-N', 'https://api.aster.test/v1/chat/completions',
    '-d', JSON.stringify({ model: 'aster-1', stream: true, messages: [{ role: 'user', content: 'Name three rivers in Europe.' }] }));
  // HTTP/1.1 in TLS 1.3: a gzip body sent in chunks after "100 Continue", then a second request on the same connection
  await curl(...CLI, ...KEY, ...ca, ...json, '--http1.1', '--tlsv1.3', '-H', 'content-encoding: gzip', '-H', 'transfer-encoding: chunked',
    '-H', 'expect: 100-continue', '--data-binary', `@${files.usage}`, 'https://api.aster.test/v1/usage/batch',
    '--next', '-q', '-o', '/dev/null', ...CLI, ...KEY, ...ca, ...json, '--http1.1', '--tlsv1.3', '-X', 'PUT', 'https://api.aster.test/v1/devices/self',
    '-d', JSON.stringify({ hostname: 'lab-notebook', os: 'linux', arch: 'x86_64', mac: '00:00:5e:00:53:10', locale: 'de_DE.UTF-8', shell: 'bash' }));
}

export async function machineUpdater(files) {
  await curl('-sS', '-A', 'UpdateAgent/2.1', 'http://updates.browser.test/generate_204');
  await curl('-sS', '-A', 'UpdateAgent/2.1', '--cacert', files.ca, '--http1.1', '-H', 'content-type: application/json',
    'https://updates.browser.test/service/update2/json', '-d', JSON.stringify({
      request: { protocol: '3.1', '@os': 'linux', os: { platform: 'Linux', arch: 'x86_64' }, hw: { physmemory: 16 }, app: [{ appid: 'browser', version: '156.0', cohort: 'sim' }] },
    }));
}

export function fileSet(dir) {
  return { ca: path.join(dir, 'ca.pem'), usage: path.join(dir, 'usage.json.gz'), upload: path.join(dir, 'trip-notes.txt') };
}
