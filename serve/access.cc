#include "serve/access.h"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include <algorithm>

#include "base/text.h"

namespace vitrine::serve {
namespace {

constexpr size_t kShortestKey = 16, kLongestKey = 512;

// "host:port", "[v6]:port" -> host, without brackets.
std::string_view without_port(std::string_view authority) {
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    return end == authority.npos ? authority : authority.substr(1, end - 1);
  }
  return authority.substr(0, authority.find(':'));
}

bool visible(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

Bytes bytes_of(std::string_view text) { return Bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size()); }

}  // namespace

Result<std::vector<ApiKey>> parse_keys(std::string_view text, const std::string& where) {
  std::vector<ApiKey> keys;
  size_t number = 0;
  while (!text.empty()) {
    const size_t newline = std::min(text.find('\n'), text.size());
    std::string_view line = trim(text.substr(0, newline));
    text.remove_prefix(std::min(newline + 1, text.size()));
    ++number;
    if (line.empty() || line.front() == '#') continue;
    const auto place = [&] { return fmt::format("{}:{}", where, number); };
    const size_t space = line.find_first_of(" \t");
    std::string name;
    if (space == line.npos) {
      name = fmt::format("key-{}", keys.size() + 1);
    } else {
      name = line.substr(0, space);
      line = trim(line.substr(space));
    }
    if (line.size() < kShortestKey || line.size() > kLongestKey || !visible(line)) {
      return fail(ErrorCode::usage, "a key must be 16 to 512 visible ASCII characters (openssl rand -hex 32 makes one)",
                  place());
    }
    if (std::any_of(keys.begin(), keys.end(), [&](const ApiKey& key) { return key.name == name; })) {
      return fail(ErrorCode::usage, "the name " + printable(name) + " is there twice", place());
    }
    keys.push_back({std::move(name), sha256(bytes_of(line))});
  }
  return keys;
}

// localhost, the address the client connected to, and the names it was told.
bool Access::own_host(std::string_view authority, const Peer& peer) const {
  const std::string_view host = without_port(authority);
  if (equals_ignoring_case(host, "localhost") || host == "127.0.0.1" || host == "::1") return true;
  if (host == without_port(peer.server)) return true;
  return std::any_of(options_.hosts.begin(), options_.hosts.end(), [&](const std::string& name) {
    return equals_ignoring_case(name, host) || equals_ignoring_case(name, authority);
  });
}

std::optional<Access::Refusal> Access::check_place(const HttpRequest& request) const {
  const std::string_view host = find_header(request.headers, "host");
  if (!own_host(host, request.peer)) {
    return Refusal{403, "host_not_allowed",
                   "this server does not go by the name " + printable(host) + "; --allow-host NAME adds one"};
  }
  const std::string_view origin = find_header(request.headers, "origin");
  if (origin.empty() || !foreign_origin(request).empty()) return std::nullopt;
  // The page this server itself serves: same scheme, same authority as Host.
  const std::string own = (request.peer.tls ? "https://" : "http://") + std::string(host);
  if (equals_ignoring_case(origin, own)) return std::nullopt;
  return Refusal{403, "origin_not_allowed",
                 "pages of " + printable(origin) + " may not call this server; --allow-origin adds one"};
}

std::string Access::foreign_origin(const HttpRequest& request) const {
  const std::string_view origin = find_header(request.headers, "origin");
  for (const std::string& allowed : options_.origins) {
    if (equals_ignoring_case(allowed, origin)) return std::string(origin);
  }
  return {};
}

std::optional<Access::Refusal> Access::check_key(const HttpRequest& request, std::string& owner) const {
  owner.clear();
  if (options_.keys.empty()) return std::nullopt;
  std::string_view key = find_header(request.headers, "authorization");
  if (starts_with_ignoring_case(key, "bearer ")) {
    key = trim(key.substr(7));
  } else {
    key = find_header(request.headers, "x-api-key");
  }
  const Sha256 digest = sha256(bytes_of(key));
  bool found = false;
  for (const ApiKey& known : options_.keys) {
    if (CRYPTO_memcmp(known.digest.data(), digest.data(), digest.size()) != 0) continue;
    found = true;
    owner = known.name;
  }
  if (found && !key.empty()) return std::nullopt;
  return Refusal{401, "invalid_api_key",
                 key.empty() ? "this server asks for a key: Authorization: Bearer KEY" : "not a key of this server"};
}

}  // namespace vitrine::serve
