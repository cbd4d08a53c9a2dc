#include "capture/tls/secrets.h"

#include <algorithm>
#include <optional>

namespace vitrine {
namespace {

// Every pair costs about 200 bytes; a real key log holds a few thousand.
constexpr size_t kMaxSecrets = 1 << 20;
constexpr size_t kMaxPerRandom = 64;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool from_hex(std::string_view text, size_t most, std::vector<uint8_t>& out) {
  if (text.empty() || text.size() % 2 != 0 || text.size() > 2 * most) return false;
  out.clear();
  for (size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return false;
    out.push_back(static_cast<uint8_t>(high << 4 | low));
  }
  return true;
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::optional<SecretLabel> label_of(std::string_view name) {
  if (name == "CLIENT_RANDOM") return SecretLabel::client_random;
  if (name == "CLIENT_EARLY_TRAFFIC_SECRET") return SecretLabel::client_early_traffic;
  if (name == "CLIENT_HANDSHAKE_TRAFFIC_SECRET") return SecretLabel::client_handshake_traffic;
  if (name == "SERVER_HANDSHAKE_TRAFFIC_SECRET") return SecretLabel::server_handshake_traffic;
  if (name == "CLIENT_TRAFFIC_SECRET_0") return SecretLabel::client_traffic_0;
  if (name == "SERVER_TRAFFIC_SECRET_0") return SecretLabel::server_traffic_0;
  if (name == "EXPORTER_SECRET") return SecretLabel::exporter;
  if (name == "EARLY_EXPORTER_SECRET" || name == "EARLY_EXPORTER_MASTER_SECRET") return SecretLabel::early_exporter;
  constexpr std::string_view kClient = "CLIENT_TRAFFIC_SECRET_", kServer = "SERVER_TRAFFIC_SECRET_";
  if (name.starts_with(kClient) && all_digits(name.substr(kClient.size()))) return SecretLabel::client_traffic_n;
  if (name.starts_with(kServer) && all_digits(name.substr(kServer.size()))) return SecretLabel::server_traffic_n;
  return std::nullopt;
}

std::string_view next_word(std::string_view& line) {
  const size_t start = std::min(line.find_first_not_of(" \t"), line.size());
  line.remove_prefix(start);
  const size_t end = std::min(line.find_first_of(" \t"), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

}  // namespace

void SecretStore::load(std::string_view key_log, IssueSink& issues) {
  std::vector<uint8_t> random_bytes, secret;
  while (!key_log.empty()) {
    const size_t end = std::min(key_log.find_first_of("\r\n"), key_log.size());
    std::string_view line = key_log.substr(0, end);
    key_log.remove_prefix(std::min(end + 1, key_log.size()));
    const std::string_view name = next_word(line);
    if (name.empty() || name.front() == '#') continue;

    if (name == "RSA") {
      issues.issue({Cause::unsupported, "key log: line without a client random (RSA) skipped", 0, 0});
      continue;
    }
    // These are valid (RFC 9850, RFC 9849) but open nothing here.
    if (name == "ECH_SECRET" || name == "ECH_CONFIG" || name.starts_with("QUIC_")) continue;
    const auto label = label_of(name);
    if (!label) {
      issues.issue({Cause::unsupported, "key log: line with an unknown label skipped", 0, 0});
      continue;
    }
    const std::string_view random_text = next_word(line), secret_text = next_word(line);
    const bool clean = next_word(line).empty();
    if (!clean || !from_hex(random_text, 32, random_bytes) || random_bytes.size() != 32 ||
        !from_hex(secret_text, 64, secret) ||
        (*label == SecretLabel::client_random ? secret.size() != 48 : secret.size() != 32 && secret.size() != 48)) {
      issues.issue({Cause::malformed, "key log: malformed line skipped", 0, 0});
      continue;
    }
    if (count_ >= kMaxSecrets) {
      issues.issue({Cause::truncated, "key log: more than 1048576 secrets; the rest is not used", 0, 0});
      return;
    }
    ClientRandom random;
    std::copy(random_bytes.begin(), random_bytes.end(), random.begin());
    std::vector<Secret>& held = secrets_[random];
    const bool known = std::any_of(held.begin(), held.end(),
                                   [&](const Secret& other) { return other.label == *label && other.bytes == secret; });
    if (known) continue;
    if (held.size() >= kMaxPerRandom) {
      issues.issue(
          {Cause::truncated, "key log: more than 64 secrets for one client random; the rest is not used", 0, 0});
      continue;
    }
    held.push_back({*label, secret});
    ++count_;
  }
}

std::vector<const Secret*> SecretStore::find(const ClientRandom& random, SecretLabel label) const {
  std::vector<const Secret*> found;
  const auto entry = secrets_.find(random);
  if (entry == secrets_.end()) return found;
  for (const Secret& secret : entry->second)
    if (secret.label == label) found.push_back(&secret);
  return found;
}

bool SecretStore::knows(const ClientRandom& random) const { return secrets_.contains(random); }

void SecretStore::for_each(SecretLabel label,
                           const std::function<bool(const ClientRandom&, const Secret&)>& each) const {
  for (const auto& [random, held] : secrets_)
    for (const Secret& secret : held)
      if (secret.label == label && !each(random, secret)) return;
}

std::vector<const Secret*> SecretStore::all(SecretLabel label) const {
  std::vector<const Secret*> found;
  for (const auto& [random, held] : secrets_)
    for (const Secret& secret : held)
      if (secret.label == label) found.push_back(&secret);
  return found;
}

}  // namespace vitrine
