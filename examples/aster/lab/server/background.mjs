// Traffic of the same machine and the same browser that is none of Aster's business.
import crypto from 'node:crypto';
import fs from 'node:fs';
import { bodyOf, listenPlain, listenTls, pathOf, send, sendJson } from './host.mjs';

const page = () => fs.readFileSync(new URL('./public/tidings.html', import.meta.url), 'utf8');

export async function startBackground(credentials) {
  await listenPlain('updates.browser.test', (req, res) => {
    res.writeHead(204);
    res.end();
  });
  await listenTls('updates.browser.test', credentials, async (req, res) => {
    await bodyOf(req);
    return sendJson(req, res, 200, { response: { app: [{ updatecheck: { status: 'noupdate' } }] } });
  });
  await listenTls('news.tidings.test', credentials, async (req, res) => {
    if (pathOf(req) === '/') {
      return send(req, res, 200, 'text/html; charset=utf-8', page(), {
        encoding: 'gzip',
        headers: { 'set-cookie': `tidings_reader=${crypto.randomBytes(8).toString('hex')}; Max-Age=7776000; Path=/; Secure` },
      });
    }
    await bodyOf(req);
    return sendJson(req, res, 200, { articles: [] });
  });
}
