// The three companies that Aster's page brings along: analytics, anti-fraud, customer support.
import crypto from 'node:crypto';
import fs from 'node:fs';
import { WebSocketServer } from 'ws';
import { bodyOf, cookiesOf, cors, jsonOf, listenPlain, listenTls, pathOf, send, sendJson } from './host.mjs';

const script = (name) => fs.readFileSync(new URL(`./public/${name}`, import.meta.url), 'utf8');
const GIF = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64');

export function startMetrica(credentials) {
  return listenTls('telemetry.metrica.test', credentials, async (req, res) => {
    const headers = cors(req, res);
    if (!headers) return undefined;
    // Renewed with every answer: two years from the last visit, whichever site that was.
    const id = cookiesOf(req).mtk_id || crypto.randomUUID();
    headers['set-cookie'] = `mtk_id=${id}; Max-Age=63072000; Path=/; Secure; SameSite=None`;
    switch (pathOf(req)) {
      case '/sdk/metrica.js':
        return send(req, res, 200, 'text/javascript', script('metrica.js'), { encoding: 'br', headers });
      case '/collect/v1/hit':
        return send(req, res, 200, 'image/gif', GIF, { headers });
      case '/beacon':
        await bodyOf(req);
        res.writeHead(204, headers);
        return res.end();
      case '/service/2/app_log':
        return sendJson(req, res, 200, { e: 0, received: (await jsonOf(req)).events.length }, { headers });
      default:
        return sendJson(req, res, 404, {}, { headers });
    }
  }, { ciphers: 'TLS_AES_128_GCM_SHA256' });
}

export function startShieldprint() {
  return listenPlain('fp.shieldprint.test', async (req, res) => {
    const headers = cors(req, res);
    if (!headers) return undefined;
    if (pathOf(req) === '/sdk/v3.js') return send(req, res, 200, 'text/javascript', script('shieldprint.js'), { encoding: 'gzip', headers });
    await bodyOf(req);
    const stamp = new Date().toISOString().replace(/\D/g, '').slice(0, 14);
    return sendJson(req, res, 200, {
      code: 1100,
      detail: { deviceId: `${stamp}${crypto.randomBytes(16).toString('hex')}00`, token: crypto.randomBytes(240).toString('base64') },
    }, { headers });
  });
}

export function startHelpdesk(credentials) {
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: { threshold: 0 } });
  sockets.on('connection', (socket) => {
    socket.on('message', (text) => {
      const message = JSON.parse(text);
      if (message.type === 'boot') socket.send(JSON.stringify({ type: 'ready', agent: 'Robin (SIMULATED)', queue: 0 }));
      if (message.type === 'comment') {
        socket.send(JSON.stringify({ type: 'reply', text: 'Thanks, this is a simulated answer.' }));
        socket.ping('lab');
      }
    });
  });
  return listenTls('widget.helpdesk.test', credentials, (req, res) => {
    const headers = cors(req, res);
    if (!headers) return undefined;
    if (pathOf(req) === '/v2/widget.js') return send(req, res, 200, 'text/javascript', script('helpdesk.js'), { encoding: 'gzip', headers });
    return sendJson(req, res, 404, {}, { headers });
  }, { ciphers: 'TLS_CHACHA20_POLY1305_SHA256' }, (req, socket, head) => {
    sockets.handleUpgrade(req, socket, head, (open) => sockets.emit('connection', open));
  });
}
