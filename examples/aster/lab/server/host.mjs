// What every host of the lab shares: listeners, body reading, content codings, CORS, cookies.
import { execFileSync } from 'node:child_process';
import http from 'node:http';
import http2 from 'node:http2';
import zlib from 'node:zlib';
import { addressesOf } from './names.mjs';

export function listenPlain(name, handler) {
  return Promise.all(addressesOf(name).map((address) =>
    new Promise((done) => http.createServer(guard(handler)).listen(80, address, done))));
}

// HTTP/2 where the client offers it, HTTP/1.1 otherwise; `tls` narrows versions or suites.
export function listenTls(name, credentials, handler, tls = {}, onUpgrade = null) {
  return Promise.all(addressesOf(name).map((address) => {
    const server = http2.createSecureServer({ allowHTTP1: true, ...credentials, ...tls }, guard(handler));
    if (onUpgrade) server.on('upgrade', onUpgrade);
    server.on('sessionError', () => {});
    return new Promise((done) => server.listen(443, address, done));
  }));
}

function guard(handler) {
  return (req, res) => {
    Promise.resolve(handler(req, res)).catch((error) => {
      console.error(`${req.method} ${req.url}: ${error.stack}`);
      if (!res.headersSent) res.writeHead(500);
      res.end();
    });
  };
}

export function pathOf(req) {
  return new URL(req.url, 'https://lab.test').pathname;
}

export function queryOf(req) {
  return new URL(req.url, 'https://lab.test').searchParams;
}

export async function bodyOf(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const raw = Buffer.concat(chunks);
  return req.headers['content-encoding'] === 'gzip' ? zlib.gunzipSync(raw) : raw;
}

export async function jsonOf(req) {
  return JSON.parse((await bodyOf(req)).toString('utf8') || '{}');
}

const ENCODERS = {
  gzip: (bytes) => zlib.gzipSync(bytes),
  br: (bytes) => zlib.brotliCompressSync(bytes),
  zstd: (bytes) => execFileSync('zstd', ['-19', '-q', '-c'], { input: bytes }),
};

// Sends a whole body in the coding asked for if the client accepts it, else as it is.
export function send(req, res, status, type, body, { encoding = null, headers = {} } = {}) {
  let bytes = Buffer.isBuffer(body) ? body : Buffer.from(body);
  const out = { 'content-type': type, ...headers };
  const accepted = (req.headers['accept-encoding'] || '').split(',').map((token) => token.split(';')[0].trim());
  if (encoding && accepted.includes(encoding)) {
    bytes = ENCODERS[encoding](bytes);
    out['content-encoding'] = encoding;
  }
  out['content-length'] = bytes.length;
  res.writeHead(status, out);
  res.end(req.method === 'HEAD' ? undefined : bytes);
}

export function sendJson(req, res, status, value, options = {}) {
  send(req, res, status, 'application/json', JSON.stringify(value), options);
}

// Returns the CORS headers, or null when it has answered a preflight itself.
export function cors(req, res) {
  const headers = req.headers.origin
    ? { 'access-control-allow-origin': req.headers.origin, 'access-control-allow-credentials': 'true', vary: 'Origin' }
    : {};
  if (req.method !== 'OPTIONS') return headers;
  res.writeHead(204, {
    ...headers,
    'access-control-allow-methods': 'GET, POST, OPTIONS',
    'access-control-allow-headers': req.headers['access-control-request-headers'] || '*',
    'access-control-max-age': '600',
  });
  res.end();
  return null;
}

export function cookiesOf(req) {
  const jar = {};
  for (const pair of (req.headers.cookie || '').split(';')) {
    const cut = pair.indexOf('=');
    if (cut > 0) jar[pair.slice(0, cut).trim()] = pair.slice(cut + 1).trim();
  }
  return jar;
}

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));
