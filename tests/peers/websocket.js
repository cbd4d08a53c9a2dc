// Both ends of a WebSocket for the peer tests, in one process: prints its port,
// waits for a line, sends what is below both ways, then prints the lengths of
// the messages sent as JSON.  node websocket.js OPTIONS-AS-JSON
//   deflate    offer and accept permessage-deflate
//   takeover   false: the context is reset after every message
'use strict';
const {WebSocket, WebSocketServer} = require('ws');
const options = JSON.parse(process.argv[2]);
const perMessageDeflate = options.deflate && {
  threshold: 0,
  ...(options.takeover === false && {serverNoContextTakeover: true, clientNoContextTakeover: true}),
};
const binary = Buffer.from(Array.from({length: 70000}, (_, i) => i * i * 31 >> 3 & 255));
const texts = ['short', '{"keys":[' + Array.from({length: 300}, (_, i) => i * 7).join() + ']}', 'again and again '.repeat(500), '\u00e4\u{1f5dd} ' + 'x'.repeat(200)];
const sent = {client: [], server: []};

async function talk(socket, name) {
  const say = (data, more) => new Promise(done => socket.send(data, more || {}, done));
  for (const text of texts) {
    await say(text);
    sent[name].push(Buffer.byteLength(text));
  }
  await say(binary);
  sent[name].push(binary.length);
  await say(binary.subarray(0, 1000), {fin: false});
  socket.ping('between');
  await say(binary.subarray(1000, 1400), {fin: false});
  await say(binary.subarray(1400, 2000), {fin: true});
  sent[name].push(2000);
  await say(texts[1], {compress: false});
  sent[name].push(Buffer.byteLength(texts[1]));
}

const server = new WebSocketServer({port: 0, host: '127.0.0.1', perMessageDeflate}, () => console.log(server.address().port));
process.stdin.once('data', () => {
  const client = new WebSocket(`ws://127.0.0.1:${server.address().port}/socket?x=1`, {perMessageDeflate});
  const opened = new Promise(done => client.once('open', done));
  server.once('connection', async socket => {
    await opened;
    await Promise.all([talk(socket, 'server'), talk(client, 'client')]);
    client.close();
    socket.once('close', () => console.log(JSON.stringify(sent)));
  });
});
process.on('SIGTERM', () => process.exit(0));
