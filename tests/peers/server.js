// A server for the peer tests: HTTP/1.1 and HTTP/2 on one loopback port, bodies
// in every coding Node has. Prints its port; SIGTERM ends it. Options are those
// of http2.createSecureServer, and
//   host     the address to listen on
//   clear    "h2" or "h1": without TLS
//   node server.js CERT KEY OPTIONS-AS-JSON
'use strict';
const fs = require('fs'), http = require('http'), http2 = require('http2'), zlib = require('zlib'), crypto = require('crypto');
const [cert, key, given] = process.argv.slice(2);
const {host, clear, ...options} = JSON.parse(given || '{}');
const words = JSON.stringify({answer: 'a glass case '.repeat(400), list: Array.from({length: 300}, (_, i) => i * 7)});
const noise = crypto.createHash('sha512').update('fixed').digest();
const binary = Buffer.concat(Array.from({length: 900}, (_, i) => crypto.createHash('sha256').update(noise).update(String(i)).digest()));
const answer = (request, response) => {
  const body = [];
  request.on('data', chunk => body.push(chunk));
  request.on('end', () => {
    const path = request.url.split('?')[0];
    const send = (coding, encode) => {
      response.setHeader('content-encoding', coding);
      response.setHeader('content-type', 'application/json');
      response.end(encode(words));
    };
    if (path === '/br') return send('br', zlib.brotliCompressSync);
    if (path === '/gzip') return send('gzip', zlib.gzipSync);
    if (path === '/deflate') return send('deflate', zlib.deflateSync);
    if (path === '/binary') return response.end(binary);
    if (path === '/chunks') { for (let i = 0; i < 20; ++i) response.write('piece ' + i + '\n'); return response.end(); }
    if (path === '/echo') { response.setHeader('content-type', request.headers['content-type'] || 'text/plain'); return response.end(Buffer.concat(body)); }
    if (path === '/empty') { response.statusCode = 204; return response.end(); }
    response.setHeader('content-type', 'text/plain');
    response.end('path ' + path + '\n');
  });
};
const server = clear === 'h1' ? http.createServer(answer)
  : clear === 'h2' ? http2.createServer(options, answer)
  : http2.createSecureServer({cert: fs.readFileSync(cert), key: fs.readFileSync(key), allowHTTP1: true, ...options}, answer);
server.listen(0, host || '127.0.0.1', () => console.log(server.address().port));
process.on('SIGTERM', () => process.exit(0));
