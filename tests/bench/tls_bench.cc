// Speed of TlsSession alone: one TLS 1.3 stream, records of one size, one core.
// Prints GB/s of raw bytes per suite and record size.
#include <openssl/evp.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "base/digest.h"
#include "capture/tls/key_schedule.h"
#include "capture/tls/tls_session.h"

namespace {

using namespace vitrine;

struct Counting : TlsSink {
  void on_tls_info(const TlsInfo&) override {}
  void on_plaintext(const StreamChunk& chunk, StreamSpan) override { plaintext += chunk.bytes.size(); }
  void on_bytes(Direction, Cause cause, uint64_t bytes) override {
    if (cause != Cause::decoded) bad += bytes;
  }
  void issue(Issue issue) override { std::fprintf(stderr, "%s\n", issue.what.c_str()); }
  uint64_t plaintext = 0, bad = 0;
};

using Buffer = std::vector<uint8_t>;

void append_record(Buffer& out, uint8_t type, const Buffer& content) {
  out.insert(out.end(), {type, 3, 3, static_cast<uint8_t>(content.size() >> 8), static_cast<uint8_t>(content.size())});
  out.insert(out.end(), content.begin(), content.end());
}

Buffer hello(bool client, uint16_t suite) {
  Buffer body = {3, 3};
  body.insert(body.end(), 32, client ? 0x11 : 0x22);
  body.push_back(0);
  const auto high = static_cast<uint8_t>(suite >> 8), low = static_cast<uint8_t>(suite);
  if (client) body.insert(body.end(), {0, 2, high, low, 1, 0, 0, 7, 0, 43, 0, 3, 2, 3, 4});
  else body.insert(body.end(), {high, low, 0, 0, 6, 0, 43, 0, 2, 3, 4});
  Buffer message = {static_cast<uint8_t>(client ? 1 : 2), 0, 0, static_cast<uint8_t>(body.size())};
  message.insert(message.end(), body.begin(), body.end());
  return message;
}

// Seals with OpenSSL directly, as a peer would.
void append_sealed(Buffer& out, const tls::CipherSuite& suite, const tls::TrafficKey& key, uint64_t sequence,
                   Buffer inner) {
  Buffer nonce = key.iv;
  for (size_t i = 0; i < 8; ++i) nonce[4 + i] ^= static_cast<uint8_t>(sequence >> (56 - 8 * i));
  const size_t length = inner.size() + 16;
  const uint8_t header[5] = {23, 3, 3, static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length)};
  EVP_CIPHER* cipher = EVP_CIPHER_fetch(nullptr, tls::shape(suite.bulk).evp_name, nullptr);
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  int written = 0;
  Buffer sealed(length);
  EVP_EncryptInit_ex(context, cipher, nullptr, key.key.data(), nonce.data());
  EVP_EncryptUpdate(context, nullptr, &written, header, 5);
  EVP_EncryptUpdate(context, sealed.data(), &written, inner.data(), static_cast<int>(inner.size()));
  EVP_EncryptFinal_ex(context, sealed.data() + written, &written);
  EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, sealed.data() + inner.size());
  EVP_CIPHER_CTX_free(context);
  EVP_CIPHER_free(cipher);
  out.insert(out.end(), header, header + 5);
  out.insert(out.end(), sealed.begin(), sealed.end());
}

void measure(uint16_t code, size_t record_size, size_t chunk_size) {
  const tls::CipherSuite& suite = *tls::find_suite(code);
  const Buffer secret(tls::hash_size(suite.prf), 0x33);
  std::string key_log;
  for (const char* label : {"SERVER_TRAFFIC_SECRET_0", "CLIENT_TRAFFIC_SECRET_0"})
    key_log += std::string(label) + ' ' + to_hex(Buffer(32, 0x11)) + ' ' + to_hex(secret) + '\n';
  Counting sink;
  SecretStore store;
  store.load(key_log, sink);

  Buffer client, server;
  append_record(client, 22, hello(true, code));
  append_record(server, 22, hello(false, code));
  const tls::TrafficKey key = tls::tls13_traffic_key(suite, secret);
  constexpr size_t kTotal = 64 << 20;
  uint64_t sequence = 0;
  while (server.size() < kTotal) {
    Buffer inner(record_size, static_cast<uint8_t>(sequence));
    inner.push_back(23);
    append_sealed(server, suite, key, sequence++, std::move(inner));
  }

  double best = 0;
  for (int round = 0; round < 5; ++round) {
    sink.plaintext = sink.bad = 0;
    const auto start = std::chrono::steady_clock::now();
    TlsSession session(store, sink, 1);
    StreamChunk chunk;
    chunk.bytes = client;
    session.on_chunk(chunk);
    chunk.direction = Direction::server_to_client;
    for (size_t at = 0; at < server.size(); at += chunk_size) {
      chunk.offset = at;
      chunk.bytes = Bytes(server).subspan(at, std::min(chunk_size, server.size() - at));
      session.on_chunk(chunk);
    }
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(server.size()) / spent.count() / 1e9);
  }
  const bool whole = sink.plaintext == sequence * record_size && sink.bad == 0;
  std::printf("{\"bench\":\"tls\",\"suite\":\"%s\",\"record\":%zu,\"chunk\":%zu,\"gb_per_s\":%.2f,\"complete\":%s}\n",
              suite.name, record_size, chunk_size, best, whole ? "true" : "false");
}

}  // namespace

int main() {
  for (const uint16_t code : {uint16_t{0x1301}, uint16_t{0x1302}, uint16_t{0x1303}})
    for (const size_t record : {size_t{16384}, size_t{1200}})
      for (const size_t chunk : {size_t{1448}, size_t{65536}}) measure(code, record, chunk);
}
