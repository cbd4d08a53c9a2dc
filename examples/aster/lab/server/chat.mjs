// chat.aster.test: the first party. Plain http serves only the opening page; the app is https.
import crypto from 'node:crypto';
import fs from 'node:fs';
import { bodyOf, cookiesOf, jsonOf, listenPlain, listenTls, pathOf, pause, queryOf, send, sendJson } from './host.mjs';
import { CLIENT_V4 } from './names.mjs';

const YEAR = 31536000;
const file = (name) => fs.readFileSync(new URL(`./public/${name}`, import.meta.url), 'utf8');
const jwtKey = crypto.randomBytes(32);

export function jwt(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const head = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${head}.${crypto.createHmac('sha256', jwtKey).update(head).digest('base64url')}`;
}

export async function startChat(credentials, features) {
  const opening = file(features.shield ? 'opening_shield.html' : 'opening.html');
  await listenPlain('chat.aster.test', (req, res) => send(req, res, 200, 'text/html; charset=utf-8', opening));
  await listenTls('chat.aster.test', credentials, (req, res) => route(req, res, features));
}

function firstVisitCookies(req) {
  const jar = cookiesOf(req);
  const set = [];
  if (!jar.aster_session) {
    set.push(`aster_session=${crypto.randomBytes(16).toString('hex')}; Path=/; Secure; HttpOnly; SameSite=Lax`);
  }
  if (!jar.aster_did) {
    set.push(`aster_did=${crypto.randomUUID()}; Max-Age=${YEAR}; Path=/; Secure; SameSite=Lax`);
  }
  if (!jar.bucket_ab) {   // deliberately absent from Aster's cookie table
    set.push(`bucket_ab=c-${crypto.randomBytes(6).toString('hex')}; Max-Age=${YEAR / 2}; Domain=aster.test; Path=/; Secure`);
  }
  return set;
}

async function route(req, res, features) {
  const path = pathOf(req);
  switch (`${req.method} ${path}`) {
    case 'GET /': {
      const page = file('app.html').replace('/*BOOT*/', `window.ASTER_BOOT=${JSON.stringify({ features, version: '1.4.2' })};`);
      return send(req, res, 200, 'text/html; charset=utf-8', page, {
        encoding: 'br',
        headers: {
          'set-cookie': firstVisitCookies(req),
          'accept-ch': 'Sec-CH-UA-Arch, Sec-CH-UA-Bitness, Sec-CH-UA-Platform-Version, Sec-CH-UA-Full-Version-List, Sec-CH-UA-Model',
        },
      });
    }
    case 'GET /static/app.js':
      return send(req, res, 200, 'text/javascript', file('app.js'), { encoding: 'gzip' });
    case 'GET /favicon.ico':
      res.writeHead(204);
      return res.end();
    case 'GET /api/v0/client/settings':
      return sendJson(req, res, 200, {
        scope: queryOf(req).get('scope'), device: queryOf(req).get('did'), draft_interval_ms: 120,
        models: ['aster-1', 'aster-1-thinking'], flags: { banner: 'SIMULATED', share_links: true, voice: false },
        notice: 'This service is SIMULATED. '.repeat(6),
      }, { encoding: 'zstd' });
    case 'GET /api/v0/ip_to_country_code':
      return sendJson(req, res, 200, { country: 'DE', ip: CLIENT_V4 });
    case 'POST /api/v0/consent': {
      const choice = await jsonOf(req);
      return sendJson(req, res, 200, { state: choice.state }, {
        headers: { 'set-cookie': `aster_consent=${choice.state}; Max-Age=${YEAR}; Path=/; Secure; SameSite=Lax` },
      });
    }
    case 'POST /api/v0/users/login': {
      const { email, device_id: device } = await jsonOf(req);
      const user = 'u-' + crypto.createHash('sha256').update(email).digest('hex').slice(0, 12);
      const now = Math.floor(Date.now() / 1000);
      return sendJson(req, res, 200, {
        user: { id: user, email },
        token: jwt({ iss: 'chat.aster.test', sub: user, email, device, iat: now, exp: now + 86400 }),
      }, { encoding: 'br' });
    }
    case 'POST /api/v0/chat_session/create':
      await bodyOf(req);
      return sendJson(req, res, 200, { chat_session_id: crypto.randomUUID() });
    case 'GET /api/v0/chat/create_pow_challenge':
      return sendJson(req, res, 200, {
        algorithm: 'sha256-prefix', challenge: crypto.randomBytes(8).toString('hex'), salt: crypto.randomBytes(6).toString('hex'),
        difficulty: 8, signature: crypto.randomBytes(16).toString('hex'), target_path: '/api/v0/chat/completion',
      });
    case 'POST /api/v0/chat/draft':
      await bodyOf(req);
      res.writeHead(204);
      return res.end();
    case 'POST /api/v0/file/upload': {
      const bytes = (await bodyOf(req)).length;
      return sendJson(req, res, 200, { file_id: `file-${crypto.randomBytes(5).toString('hex')}`, bytes });
    }
    case 'POST /api/v0/chat/completion':
      return streamAnswer(res, await jsonOf(req));
    case 'POST /api/v0/events':
      await bodyOf(req);
      return sendJson(req, res, 200, { code: 0 });
    case 'POST /api/v0/feedback':
      await bodyOf(req);
      return sendJson(req, res, 200, { thanks: true }, { encoding: 'gzip' });
    case 'POST /api/v0/users/logout':
      await bodyOf(req);
      return sendJson(req, res, 200, { ok: true }, {
        headers: { 'set-cookie': 'aster_session=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax' },
      });
    default:
      return sendJson(req, res, 404, { error: 'no such path in the simulation' });
  }
}

const ANSWER = ['This ', 'answer ', 'is ', 'simulated. ', 'Take ', 'the ', 'morning ', 'train, ', 'walk ', 'along ',
  'the ', 'river, ', 'and ', 'keep ', 'the ', 'afternoon ', 'free.'];

async function streamAnswer(res, { chat_session_id: session }) {
  res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  for (let i = 0; i < ANSWER.length; i++) {
    res.write(`id: ${i}\nevent: delta\ndata: ${JSON.stringify({ session, v: ANSWER[i] })}\n\n`);
    await pause(45);
  }
  res.write('event: done\ndata: {"finish_reason":"stop"}\n\n');
  res.end();
}
