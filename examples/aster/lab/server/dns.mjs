// A resolver that knows ZONE and nothing else, so no name can leave the lab. RFC 1035 section 4.
import dgram from 'node:dgram';
import { RESOLVER, ZONE } from './names.mjs';

const TYPE_A = 1, TYPE_AAAA = 28;

function v4Bytes(text) {
  return Buffer.from(text.split('.').map(Number));
}

function v6Bytes(text) {
  const [head, tail = ''] = text.split('::').map((part) => part.split(':').filter(Boolean));
  const zeros = Array(8 - head.length - tail.length).fill('0');
  const out = Buffer.alloc(16);
  [...head, ...zeros, ...tail].forEach((group, i) => out.writeUInt16BE(parseInt(group, 16), 2 * i));
  return out;
}

function answer(query) {
  if (query.length < 17 || query.readUInt16BE(4) !== 1) return null;
  const labels = [];
  let at = 12;
  while (at < query.length && query[at] !== 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + query[at]));
    at += 1 + query[at];
  }
  const type = query.readUInt16BE(at + 1);
  const host = ZONE[labels.join('.').toLowerCase()];
  const data = host && type === TYPE_A ? v4Bytes(host.a)
    : host && host.aaaa && type === TYPE_AAAA ? v6Bytes(host.aaaa) : null;

  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(0x8580 | (host ? 0 : 3), 2);   // authoritative; NXDOMAIN outside the zone
  header.writeUInt16BE(data ? 1 : 0, 6);
  header.writeUInt32BE(0, 8);
  const parts = [header, query.subarray(12, at + 5)];
  if (data) {
    const record = Buffer.alloc(12);
    record.writeUInt16BE(0xc00c, 0);                  // pointer to the question's name
    record.writeUInt16BE(type, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt32BE(60, 6);
    record.writeUInt16BE(data.length, 10);
    parts.push(record, data);
  }
  return Buffer.concat(parts);
}

export function startDns() {
  const socket = dgram.createSocket('udp4');
  socket.on('message', (query, peer) => {
    const reply = answer(query);
    if (reply) socket.send(reply, peer.port, peer.address);
  });
  return new Promise((done) => socket.bind(53, RESOLVER, done));
}
