#include "peer.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <map>

namespace vitrine::test {
namespace {

int slot() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

EVP_PKEY* make_key(const std::string& kind) {
  // Keys are made once per kind: they are slow, and no test depends on them.
  // Never destroyed, so that the order against OpenSSL's own clean-up does not matter.
  static auto& made = *new std::map<std::string, EVP_PKEY*>;
  EVP_PKEY*& key = made[kind];
  if (key == nullptr) key = kind == "ec" ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048);
  return key;
}

X509* make_certificate(EVP_PKEY* key, const std::string& name, size_t extra_names) {
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 7);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
  X509_set_pubkey(certificate, key);
  X509_NAME* subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1,
                             0);
  X509_set_issuer_name(certificate, subject);
  std::string names = "DNS:" + name + ",DNS:*.aster.test,IP:203.0.113.7";
  for (size_t i = 0; i < extra_names; ++i)
    names += ",DNS:a-rather-long-name-number-" + std::to_string(i) + ".aster.test";
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str());
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
  X509_sign(certificate, key, EVP_sha256());
  return certificate;
}

void use_certificate(SSL_CTX* context, const std::string& kind, const std::string& name, size_t extra_names) {
  EVP_PKEY* key = make_key(kind);
  X509* certificate = make_certificate(key, name, extra_names);
  SSL_CTX_use_certificate(context, certificate);
  SSL_CTX_use_PrivateKey(context, key);
  X509_free(certificate);
}

unsigned client_psk(SSL*, const char*, char* identity, unsigned identity_size, unsigned char* psk, unsigned) {
  std::snprintf(identity, identity_size, "aster");
  for (int i = 0; i < 32; ++i) psk[i] = static_cast<unsigned char>(i);
  return 32;
}
unsigned server_psk(SSL*, const char*, unsigned char* psk, unsigned) {
  for (int i = 0; i < 32; ++i) psk[i] = static_cast<unsigned char>(i);
  return 32;
}

int choose_alpn(SSL*, const unsigned char** out, unsigned char* length, const unsigned char* in, unsigned, void*) {
  *out = in + 1;  // the client's first
  *length = in[0];
  return SSL_TLSEXT_ERR_OK;
}

void fail(Transcript& transcript, const char* where) {
  char text[256];
  ERR_error_string_n(ERR_peek_last_error(), text, sizeof text);
  if (transcript.error.empty()) transcript.error = std::string(where) + ": " + text;
}

}  // namespace

uint64_t Transcript::raw_bytes(Direction direction) const {
  uint64_t sum = 0;
  for (const Wire& piece : wire)
    if (piece.direction == direction) sum += piece.bytes.size();
  return sum;
}

void Peers::log_key(const SSL* ssl, const char* line) {
  auto* log = static_cast<std::string*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), slot()));
  *log += line;
  *log += '\n';
}

Peers::Peers(PeerOptions options) : options_(std::move(options)) {
  client_.reset(SSL_CTX_new(TLS_client_method()));
  server_.reset(SSL_CTX_new(TLS_server_method()));
  for (SSL_CTX* context : {client_.get(), server_.get()}) {
    SSL_CTX_set_min_proto_version(context, options_.version);
    SSL_CTX_set_max_proto_version(context, options_.version);
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
    SSL_CTX_set_options(context, options_.context_options);
    SSL_CTX_clear_options(context, options_.cleared_options);
    if (options_.version == TLS1_3_VERSION) {
      if (!options_.ciphers.empty()) SSL_CTX_set_ciphersuites(context, options_.ciphers.c_str());
    } else if (!options_.ciphers.empty()) {
      SSL_CTX_set_cipher_list(context, options_.ciphers.c_str());
    }
    if (options_.padding != 0) SSL_CTX_set_block_padding(context, static_cast<size_t>(options_.padding));
    if (options_.max_fragment != 0) SSL_CTX_set_max_send_fragment(context, options_.max_fragment);
  }
  if (!options_.client_groups.empty()) SSL_CTX_set1_groups_list(client_.get(), options_.client_groups.c_str());
  if (!options_.server_groups.empty()) SSL_CTX_set1_groups_list(server_.get(), options_.server_groups.c_str());
  if (options_.key != "none") use_certificate(server_.get(), options_.key, "chat.aster.test", options_.extra_names);
  SSL_CTX_set_dh_auto(server_.get(), 1);
  if (options_.client_certificate) {
    use_certificate(client_.get(), "ec", "person.aster.test", 0);
    SSL_CTX_set_verify(server_.get(), SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
    SSL_CTX_set_post_handshake_auth(client_.get(), 1);
  }
  if (options_.psk) {
    SSL_CTX_set_psk_client_callback(client_.get(), client_psk);
    SSL_CTX_set_psk_server_callback(server_.get(), server_psk);
  }
  if (options_.alpn) {
    static const unsigned char kProtocols[] = "\x02h2\x08http/1.1";
    SSL_CTX_set_alpn_protos(client_.get(), kProtocols, 12);
    SSL_CTX_set_alpn_select_cb(server_.get(), choose_alpn, nullptr);
  }
  if (options_.ech) {
    const auto add = [](SSL*, unsigned, unsigned, const unsigned char** out, size_t* length, X509*, size_t, int*,
                        void*) {
      static const unsigned char kOuter[40] = {0, 0, 1, 0, 1, 7};
      *out = kOuter;
      *length = sizeof kOuter;
      return 1;
    };
    SSL_CTX_add_custom_ext(client_.get(), 0xfe0d, SSL_EXT_CLIENT_HELLO, add, nullptr, nullptr, nullptr, nullptr);
  }
  if (options_.early_data) SSL_CTX_set_max_early_data(server_.get(), 16384);
  SSL_CTX_set_session_id_context(server_.get(), reinterpret_cast<const unsigned char*>("aster"), 5);
  SSL_CTX_set_session_cache_mode(client_.get(), SSL_SESS_CACHE_CLIENT);
}

Transcript Peers::run(const std::function<void(Connection&)>& script, const std::string& early) {
  Transcript transcript;
  // Only the client's callback writes, so that no line stands twice.
  SSL_CTX_set_ex_data(client_.get(), slot(), &transcript.key_log);
  SSL_CTX_set_keylog_callback(client_.get(), log_key);

  Connection connection;
  connection.transcript = &transcript;
  connection.client = SSL_new(client_.get());
  connection.server = SSL_new(server_.get());
  SSL_set_connect_state(connection.client);
  SSL_set_accept_state(connection.server);
  SSL_set_bio(connection.client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_bio(connection.server, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  for (SSL* ssl : {connection.client, connection.server}) {
    BIO_set_mem_eof_return(SSL_get_rbio(ssl), -1);
  }
  if (!options_.sni.empty()) SSL_set_tlsext_host_name(connection.client, options_.sni.c_str());
  if (session_ != nullptr) SSL_set_session(connection.client, session_.get());
  if (options_.reject_early_data && session_ != nullptr) SSL_set_max_early_data(connection.server, 0);

  if (!early.empty()) {
    size_t written = 0;
    if (SSL_write_early_data(connection.client, early.data(), early.size(), &written) != 1)
      fail(transcript, "early write");
    if (!options_.reject_early_data) transcript.plaintext[0] += early;
    connection.pump();
    char data[17000];
    size_t got = 0;
    while (SSL_read_early_data(connection.server, data, sizeof data, &got) == SSL_READ_EARLY_DATA_SUCCESS) {
    }
    connection.pump();
  }
  for (int round = 0; round < 20; ++round) {
    const int client = SSL_do_handshake(connection.client);
    connection.pump();
    const int server = SSL_do_handshake(connection.server);
    connection.pump();
    if (client == 1 && server == 1) break;
    if (round == 19) fail(transcript, "handshake");
  }
  if (transcript.error.empty() && script) script(connection);
  // TLS 1.3 tickets come after the handshake; reading takes them in.
  connection.received(Direction::client_to_server);
  connection.received(Direction::server_to_client);
  session_.reset(SSL_get1_session(connection.client));
  SSL_shutdown(connection.client);
  connection.pump();
  SSL_shutdown(connection.server);
  connection.pump();
  SSL_free(connection.client);
  SSL_free(connection.server);
  ERR_clear_error();
  all_keys_ += transcript.key_log;
  return transcript;
}

void Peers::Connection::pump() {
  const auto move = [&](SSL* from, SSL* to, Direction direction) {
    const size_t waiting = BIO_ctrl_pending(SSL_get_wbio(from));
    if (waiting == 0) return;
    std::vector<uint8_t> bytes(waiting);
    BIO_read(SSL_get_wbio(from), bytes.data(), static_cast<int>(bytes.size()));
    BIO_write(SSL_get_rbio(to), bytes.data(), static_cast<int>(bytes.size()));
    transcript->wire.push_back({direction, std::move(bytes)});
  };
  move(client, server, Direction::client_to_server);
  move(server, client, Direction::server_to_client);
}

std::string Peers::Connection::received(Direction direction) {
  SSL* reader = direction == Direction::client_to_server ? server : client;
  std::string out;
  char data[17000];
  int got = 0;
  while ((got = SSL_read(reader, data, sizeof data)) > 0) out.append(data, static_cast<size_t>(got));
  pump();
  return out;
}

void Peers::Connection::send(Direction direction, const std::string& data) {
  SSL* writer = direction == Direction::client_to_server ? client : server;
  if (SSL_write(writer, data.data(), static_cast<int>(data.size())) <= 0) fail(*transcript, "write");
  transcript->plaintext[static_cast<size_t>(direction)] += data;
  pump();
  if (received(direction) != data) fail(*transcript, "read");
}

void Peers::Connection::update_keys(Direction direction, bool ask) {
  SSL* side = direction == Direction::client_to_server ? client : server;
  if (SSL_key_update(side, ask ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) != 1)
    fail(*transcript, "key update");
  SSL_do_handshake(side);
  pump();
}

void Peers::Connection::renegotiate() {
  if (SSL_renegotiate(client) != 1) fail(*transcript, "renegotiate");
  for (int round = 0; round < 10; ++round) {
    SSL_do_handshake(client);
    pump();
    received(Direction::client_to_server);
    received(Direction::server_to_client);
  }
  if (SSL_renegotiate_pending(client)) fail(*transcript, "renegotiation did not end");
}

void Peers::Connection::verify_client_again() {
  if (SSL_verify_client_post_handshake(server) != 1) fail(*transcript, "post-handshake authentication");
  SSL_do_handshake(server);
  pump();
  received(Direction::server_to_client);
  received(Direction::client_to_server);
}

}  // namespace vitrine::test
