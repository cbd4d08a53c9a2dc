// Who may ask: API keys, and the Host and Origin headers that browsers are
// misused through (DNS rebinding, CVE-2024-28224; requests from foreign pages).
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "serve/http/message.h"

namespace vitrine::serve {

// A key as it is kept: its name (for fairness, metrics and logs) and a digest.
struct ApiKey {
  std::string name;
  Sha256 digest;
};

// The names and keys of a key file: one "NAME KEY" a line, or a KEY alone (then
// named key-1, key-2 …); '#' starts a comment. Keys are 16 to 512 visible ASCII characters.
// Errors name the line, never the key.
Result<std::vector<ApiKey>> parse_keys(std::string_view text, const std::string& where);

class Access {
 public:
  struct Options {
    std::vector<ApiKey> keys;          // none: nobody is asked
    std::vector<std::string> hosts;    // names this server goes by beside localhost and its own addresses
    std::vector<std::string> origins;  // of pages elsewhere that may call, "https://app.example"
  };
  explicit Access(Options options) : options_(std::move(options)) {}

  void set_keys(std::vector<ApiKey> keys) { options_.keys = std::move(keys); }  // reload
  bool asks_keys() const { return !options_.keys.empty(); }

  struct Refusal {
    int status = 403;
    std::string code;     // "invalid_api_key", "host_not_allowed", "origin_not_allowed"
    std::string message;  // what to do about it
  };
  // Host and Origin; for every request.
  std::optional<Refusal> check_place(const HttpRequest& request) const;
  // The key of `Authorization: Bearer` or `x-api-key`; its name in `owner` ("" when nobody is
  // asked). Takes as long for a wrong key as for a right one.
  std::optional<Refusal> check_key(const HttpRequest& request, std::string& owner) const;
  // An allowed Origin from elsewhere, to be answered in Access-Control-Allow-Origin; else empty.
  std::string foreign_origin(const HttpRequest& request) const;

 private:
  bool own_host(std::string_view authority, const Peer& peer) const;
  Options options_;
};

}  // namespace vitrine::serve
