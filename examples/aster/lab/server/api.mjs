// api.aster.test: the developer API that aster-cli (curl) calls.
import zlib from 'node:zlib';
import { bodyOf, jsonOf, listenTls, pathOf, pause, sendJson } from './host.mjs';

export function startApi(credentials) {
  return listenTls('api.aster.test', credentials, route);
}

async function route(req, res) {
  switch (`${req.method} ${pathOf(req)}`) {
    case 'GET /v1/models':
      return sendJson(req, res, 200, { object: 'list', data: [{ id: 'aster-1' }, { id: 'aster-1-thinking' }] }, { encoding: 'gzip' });
    case 'POST /v1/chat/completions': {
      const request = await jsonOf(req);
      return request.stream ? streamGzip(req, res) : sendJson(req, res, 200, { choices: [{ message: { role: 'assistant', content: 'Simulated.' } }] }, { encoding: 'br' });
    }
    case 'POST /v1/usage/batch':
      await bodyOf(req);
      return sendJson(req, res, 202, { accepted: true });
    case 'PUT /v1/devices/self':
      await bodyOf(req);
      res.writeHead(204);
      return res.end();
    default:
      return sendJson(req, res, 404, { error: { message: 'no such path in the simulation' } });
  }
}

// Server-sent events inside one gzip stream flushed per event: readers must decode it part by part.
async function streamGzip(req, res) {
  const packed = (req.headers['accept-encoding'] || '').includes('gzip');
  res.writeHead(200, { 'content-type': 'text/event-stream', ...(packed ? { 'content-encoding': 'gzip' } : {}) });
  const out = packed ? zlib.createGzip() : res;
  if (packed) out.pipe(res);
  for (const word of ['Simulated ', 'words ', 'in ', 'a ', 'stream.']) {
    out.write(`data: ${JSON.stringify({ choices: [{ delta: { content: word } }] })}\n\n`);
    if (packed) await new Promise((done) => out.flush(zlib.constants.Z_SYNC_FLUSH, done));
    await pause(30);
  }
  out.end('data: [DONE]\n\n');
}
