// Generates the capture of the speed table: real TLS 1.3 (OpenSSL on both
// sides, in process) carrying valid HTTP/2, as pcapng with its secrets.
//
//   make_capture OUT.pcapng MEGABYTES [SEED]
//
// By bytes: 30 % telemetry JSON (requests, fields of at most 25 bytes), 20 %
// gzip and br responses, 50 % other bodies (downloads, images, uploads). The
// random part is seeded: equal arguments give equal plaintext (TLS keys differ).
#include <brotli/encode.h>
#include <fmt/format.h>
#include <nghttp2/nghttp2.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <zlib.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "capture/record/pcapng_writer.h"

namespace {

using vitrine::append_interface;
using vitrine::append_packet;
using vitrine::append_section_header;
using vitrine::append_tls_secrets;
using vitrine::Bytes;
using vitrine::Timestamp;
using Random = std::mt19937_64;

std::string g_key_log;

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "make_capture: %s\n", what);
  std::exit(4);
}

// ---- content ----------------------------------------------------------------

uint64_t pick(Random& random, uint64_t bound) { return random() % bound; }

std::string telemetry(Random& random, size_t bytes) {
  static constexpr const char* kEvents[] = {"page_view", "click", "scroll", "visible", "load"};
  static constexpr const char* kZones[] = {"Asia/Seoul", "Europe/Rome", "Asia/Tokyo"};
  std::string out = "{\"events\":[";
  uint64_t time = 1'732'390'000'000 + pick(random, 1'000'000'000);
  while (out.size() < bytes) {
    time += pick(random, 3000);
    fmt::format_to(std::back_inserter(out),
                   "{{\"ts\":{},\"event_name\":\"{}\",\"screen_width\":{},\"pixel_ratio\":{}.{},"
                   "\"session\":\"{:08x}\",\"timezone\":\"{}\",\"visible\":{},\"cores\":{},\"battery_pct\":{},"
                   "\"route\":\"/c/{:x}\",\"latency_us\":{}}},",
                   time, kEvents[pick(random, 5)], 1024 + pick(random, 2048), 1 + pick(random, 3), pick(random, 9),
                   static_cast<uint32_t>(random()), kZones[pick(random, 3)], pick(random, 2) ? "true" : "false",
                   1 + pick(random, 32), pick(random, 100), static_cast<uint16_t>(random()), pick(random, 1'000'000));
  }
  out.back() = ']';
  return out + "}";
}

std::string text_page(Random& random, size_t bytes) {
  static constexpr const char* kWords[] = {"<div class=\"card\">",
                                           "</div>",
                                           "function",
                                           "return",
                                           "model",
                                           "answer",
                                           "=>",
                                           "const",
                                           "{",
                                           "}",
                                           "policy",
                                           "<span>",
                                           "</span>",
                                           "window",
                                           "value"};
  std::string out;
  while (out.size() < bytes) {
    out += kWords[pick(random, 15)];
    if (pick(random, 3) == 0) fmt::format_to(std::back_inserter(out), "{:x}", random());
    out += ' ';
  }
  return out;
}

std::string gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string brotli(const std::string& text) {
  size_t size = BrotliEncoderMaxCompressedSize(text.size());
  std::string out(size, '\0');
  BrotliEncoderCompress(5, BROTLI_DEFAULT_WINDOW, BROTLI_MODE_TEXT, text.size(),
                        reinterpret_cast<const uint8_t*>(text.data()), &size, reinterpret_cast<uint8_t*>(out.data()));
  out.resize(size);
  return out;
}

std::string noise(Random& random, size_t bytes, std::string_view magic) {
  std::string out(magic);
  while (out.size() < bytes) {
    const uint64_t word = random();
    out.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  return out;
}

// ---- TLS --------------------------------------------------------------------

struct Contexts {
  SSL_CTX* client = SSL_CTX_new(TLS_client_method());
  SSL_CTX* server = SSL_CTX_new(TLS_server_method());

  Contexts() {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("bench.example"), -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    X509_sign(certificate, key, EVP_sha256());
    SSL_CTX_use_certificate(server, certificate);
    SSL_CTX_use_PrivateKey(server, key);
    for (SSL_CTX* context : {client, server}) {
      SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
      SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
    }
    SSL_CTX_set_num_tickets(server, 1);
    SSL_CTX_set_keylog_callback(client, [](const SSL*, const char* line) { g_key_log += std::string(line) + "\n"; });
    static constexpr unsigned char kProtocols[] = {2, 'h', '2'};
    SSL_CTX_set_alpn_protos(client, kProtocols, sizeof kProtocols);
    SSL_CTX_set_alpn_select_cb(
        server,
        [](SSL*, const unsigned char** out, unsigned char* length, const unsigned char*, unsigned, void*) {
          *out = kProtocols + 1;
          *length = 2;
          return SSL_TLSEXT_ERR_OK;
        },
        nullptr);
  }
};

class PacketFile {
 public:
  explicit PacketFile(const char* path) : file_(std::fopen(path, "wb")) {
    if (file_ == nullptr) die("cannot create the output");
    std::setvbuf(file_, nullptr, _IOFBF, 1 << 20);
  }
  ~PacketFile() { std::fclose(file_); }
  void write(const std::string& bytes) {
    if (holding_) {
      held_ += bytes;
      return;
    }
    if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) die("cannot write the output");
    written_ += bytes.size();
  }
  uint64_t written() const { return written_; }
  // Handshakes are held back until their secrets are known: readers that make
  // one pass need the secrets first.
  void hold() { holding_ = true; }
  void release_into(std::string& out) {
    holding_ = false;
    out = std::exchange(held_, {});
  }

 private:
  bool holding_ = false;
  std::string held_;
  std::FILE* file_;
  uint64_t written_ = 0;
};

// One client, one server, the wire between them.
class Connection {
 public:
  Connection(Contexts& contexts, PacketFile& file, unsigned index, uint64_t& clock)
      : file_(file), clock_(clock), index_(index) {
    side_[0].ssl = SSL_new(contexts.client);
    side_[1].ssl = SSL_new(contexts.server);
    for (Side& side : side_) {
      side.in = BIO_new(BIO_s_mem());
      side.out = BIO_new(BIO_s_mem());
      SSL_set_bio(side.ssl, side.in, side.out);
      nghttp2_hd_deflate_new(&side.deflater, 4096);
    }
    SSL_set_tlsext_host_name(side_[0].ssl, host().c_str());
    SSL_set_connect_state(side_[0].ssl);
    SSL_set_accept_state(side_[1].ssl);
    segment(0, {}, 0x02);
    ++side_[0].sequence;
    segment(1, {}, 0x12);
    ++side_[1].sequence;
    while (!SSL_is_init_finished(side_[0].ssl) || !SSL_is_init_finished(side_[1].ssl)) {
      for (int who : {0, 1}) {
        SSL_do_handshake(side_[who].ssl);
        flush(who);
      }
    }
    std::string settings = frame(4, 0, 0, std::string("\0\4\x7f\xff\xff\xff", 6));  // INITIAL_WINDOW_SIZE
    settings += frame(8, 0, 0, std::string("\x7f\xfe\xff\xff", 4));                 // WINDOW_UPDATE of the connection
    send(0, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings);
    send(1, settings + frame(4, 1, 0, ""));
    send(0, frame(4, 1, 0, ""));
  }
  ~Connection() {
    for (Side& side : side_) {
      SSL_free(side.ssl);
      nghttp2_hd_deflate_del(side.deflater);
    }
  }

  std::string host() const { return fmt::format("h{}.bench.example", index_ % 16); }

  struct Exchange {
    std::string method, path, request_type, request_body, response_type, response_coding, response_body;
  };

  // Runs exchanges together: their DATA frames interleave.
  void run(const std::vector<Exchange>& exchanges) {
    std::vector<uint32_t> streams;
    for (const Exchange& exchange : exchanges) {
      streams.push_back(next_stream_);
      next_stream_ += 2;
      std::vector<std::pair<std::string, std::string>> head = {
          {":method", exchange.method},
          {":scheme", "https"},
          {":authority", host()},
          {":path", exchange.path},
          {"user-agent",
           "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"},
          {"accept-language", "ko-KR,ko;q=0.9"},
          {"cookie", fmt::format("sid={:032x}; theme=dark", index_ * 7919u)}};
      if (!exchange.request_body.empty()) head.emplace_back("content-type", exchange.request_type);
      headers(0, streams.back(), head, exchange.request_body.empty());
    }
    body(0, streams, exchanges, &Exchange::request_body);
    for (size_t i = 0; i < exchanges.size(); ++i) {
      std::vector<std::pair<std::string, std::string>> head = {{":status", "200"},
                                                               {"content-type", exchanges[i].response_type}};
      if (!exchanges[i].response_coding.empty()) head.emplace_back("content-encoding", exchanges[i].response_coding);
      headers(1, streams[i], head, exchanges[i].response_body.empty());
    }
    body(1, streams, exchanges, &Exchange::response_body);
  }

 private:
  struct Side {
    SSL* ssl = nullptr;
    BIO *in = nullptr, *out = nullptr;
    nghttp2_hd_deflater* deflater = nullptr;
    uint32_t sequence = 1000;
    unsigned unacknowledged = 0;
  };

  static std::string frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
    std::string out;
    const auto length = static_cast<uint32_t>(payload.size());
    for (int shift : {16, 8, 0}) out.push_back(static_cast<char>(length >> shift));
    out.push_back(static_cast<char>(type));
    out.push_back(static_cast<char>(flags));
    for (int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(stream >> shift));
    out += payload;
    return out;
  }

  void headers(int who, uint32_t stream, const std::vector<std::pair<std::string, std::string>>& head, bool end) {
    std::vector<nghttp2_nv> fields;
    for (const auto& [name, value] : head) {
      fields.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                        reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(), 0});
    }
    std::string block(nghttp2_hd_deflate_bound(side_[who].deflater, fields.data(), fields.size()), '\0');
    const ssize_t n = nghttp2_hd_deflate_hd(side_[who].deflater, reinterpret_cast<uint8_t*>(block.data()), block.size(),
                                            fields.data(), fields.size());
    if (n < 0) die("HPACK");
    block.resize(static_cast<size_t>(n));
    send(who, frame(1, end ? 5 : 4, stream, block));
  }

  void body(int who, const std::vector<uint32_t>& streams, const std::vector<Exchange>& exchanges,
            std::string Exchange::*member) {
    constexpr size_t kFrame = 16384 - 9;  // with its header: one TLS record
    std::vector<size_t> sent(streams.size(), 0);
    for (bool more = true; more;) {
      more = false;
      for (size_t i = 0; i < streams.size(); ++i) {
        const std::string& all = exchanges[i].*member;
        if (sent[i] >= all.size()) continue;
        const size_t n = std::min(kFrame, all.size() - sent[i]);
        const bool last = sent[i] + n == all.size();
        send(who, frame(0, last ? 1 : 0, streams[i], std::string_view(all).substr(sent[i], n)));
        sent[i] += n;
        more = more || !last;
      }
    }
  }

  void send(int who, const std::string& plaintext) {
    if (SSL_write(side_[who].ssl, plaintext.data(), static_cast<int>(plaintext.size())) <= 0) die("SSL_write");
    flush(who);
    char buffer[1 << 15];
    while (SSL_read(side_[1 - who].ssl, buffer, sizeof buffer) > 0) {
    }
  }

  // Ciphertext of `who` → segments on the wire and bytes for the peer.
  void flush(int who) {
    char buffer[1448];
    for (;;) {
      const int n = BIO_read(side_[who].out, buffer, sizeof buffer);
      if (n <= 0) break;
      BIO_write(side_[1 - who].in, buffer, n);
      segment(who, {reinterpret_cast<const uint8_t*>(buffer), static_cast<size_t>(n)}, 0x18);
      if (++side_[1 - who].unacknowledged >= 8) {
        side_[1 - who].unacknowledged = 0;
        segment(1 - who, {}, 0x10);
      }
    }
  }

  void segment(int who, Bytes payload, uint8_t flags) {
    packet_.clear();
    const auto put = [this](uint64_t value, int bytes) {
      for (int i = bytes - 1; i >= 0; --i) packet_.push_back(static_cast<char>(value >> (8 * i)));
    };
    packet_.append("\x02\0\0\0\0\1\x02\0\0\0\0\2", 12);
    put(0x0800, 2);
    put(0x4500, 2);
    put(40 + payload.size(), 2);
    put(0, 2);
    put(0x4000, 2);
    put(0x4006, 2);
    put(0, 2);  // checksums are left to the network card, as in most captures
    const uint32_t client = 0xcb007100 + 1 + index_ % 200, server = 0xc6336400 + 1 + index_ % 16;
    put(who == 0 ? client : server, 4);
    put(who == 0 ? server : client, 4);
    const uint16_t port = static_cast<uint16_t>(20000 + index_);
    put(who == 0 ? port : 443, 2);
    put(who == 0 ? 443 : port, 2);
    put(side_[who].sequence, 4);
    put(flags == 0x02 ? 0 : side_[1 - who].sequence, 4);
    put(0x50, 1);
    put(flags, 1);
    put(0xffff, 2);
    put(0, 4);
    packet_.append(vitrine::as_text(payload));
    block_.clear();
    clock_ += 20'000;
    append_packet(block_, 0, Timestamp{static_cast<int64_t>(clock_)}, vitrine::as_bytes(packet_),
                  static_cast<uint32_t>(packet_.size()));
    file_.write(block_);
    side_[who].sequence += static_cast<uint32_t>(payload.size());
  }

  Side side_[2];
  PacketFile& file_;
  uint64_t& clock_;
  unsigned index_;
  uint32_t next_stream_ = 1;
  std::string packet_, block_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: make_capture OUT.pcapng MEGABYTES [SEED]\n");
    return 2;
  }
  const uint64_t target = std::strtoull(argv[2], nullptr, 10) * 1'000'000;
  Random random(argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1);
  uint64_t clock = 1'763'900'000'000'000'000;

  std::vector<std::string> pages[2];
  for (int i = 0; i < 24; ++i) {
    const std::string page = text_page(random, 100'000 + pick(random, 300'000));
    pages[i % 2].push_back(i % 2 ? brotli(page) : gzip(page));
  }
  const std::string image = noise(random, 400'000, "\x89PNG\r\n\x1a\n");
  const std::string binary = noise(random, 1'000'000, "");

  PacketFile file(argv[1]);
  std::string head;
  append_section_header(head, "make_capture", std::vector<std::string>{"SIMULATED: generated for measuring speed"});
  append_interface(head, 1, 65535, "bench");
  file.write(head);

  file.hold();
  Contexts contexts;
  std::vector<std::unique_ptr<Connection>> connections;
  for (unsigned i = 0; i < 48; ++i) connections.push_back(std::make_unique<Connection>(contexts, file, i, clock));
  // Secrets stand before the data, as editcap and `vitrine record` put them.
  std::string handshakes;
  file.release_into(handshakes);
  std::string secrets;
  append_tls_secrets(secrets, g_key_log);
  file.write(secrets + handshakes);

  uint64_t by_kind[3] = {};  // telemetry, compressed, bodies
  uint64_t requests = 0;
  while (file.written() < target) {
    std::vector<Connection::Exchange> together;
    for (uint64_t i = 0, n = 1 + pick(random, 4); i < n; ++i) {
      Connection::Exchange exchange;
      const uint64_t total = by_kind[0] + by_kind[1] + by_kind[2] + 1;
      const double want = static_cast<double>(total);
      if (static_cast<double>(by_kind[0]) < 0.30 * want) {
        exchange = {"POST",
                    "/v1/events",
                    "application/json",
                    telemetry(random, 20'000 + pick(random, 40'000)),
                    "application/json",
                    "",
                    "{\"ok\":true}"};
        by_kind[0] += exchange.request_body.size();
      } else if (static_cast<double>(by_kind[1]) < 0.20 * want) {
        const bool br = pick(random, 2) == 1;
        exchange = {"GET",
                    fmt::format("/assets/app.{:x}.js", random() & 0xffff),
                    "",
                    "",
                    "text/javascript",
                    br ? "br" : "gzip",
                    pages[br][pick(random, pages[br].size())]};
        by_kind[1] += exchange.response_body.size();
      } else if (pick(random, 4) == 0) {
        exchange = {"POST",
                    "/upload?kind=image",
                    "image/png",
                    image.substr(0, 50'000 + pick(random, 300'000)),
                    "application/json",
                    "",
                    "{\"id\":\"f1\"}"};
        by_kind[2] += exchange.request_body.size();
      } else {
        exchange = {
            "GET", fmt::format("/files/{}?download=1", pick(random, 100000)), "", "", "application/octet-stream",
            "",    binary.substr(0, 50'000 + pick(random, 900'000))};
        by_kind[2] += exchange.response_body.size();
      }
      ++requests;
      together.push_back(std::move(exchange));
    }
    connections[pick(random, connections.size())]->run(together);
  }
  std::fprintf(stderr, "%s: %lu bytes, %lu requests, telemetry %.0f MB, compressed %.0f MB, bodies %.0f MB\n", argv[1],
               file.written(), requests, static_cast<double>(by_kind[0]) / 1e6, static_cast<double>(by_kind[1]) / 1e6,
               static_cast<double>(by_kind[2]) / 1e6);
}
