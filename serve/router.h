// Method and path -> route, behind the checks that every request passes.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "serve/access.h"
#include "serve/generation.h"
#include "serve/http/responder.h"

namespace vitrine::serve {

struct RouteCall {
  HttpRequest request;
  std::string owner;  // name of the key; "" when none is asked for
  std::shared_ptr<Responder> responder;
  Headers headers;   // to go with every response (CORS)
  std::string rest;  // of the path, for routes that end in '*'
};

class Router {
 public:
  enum class Door : uint8_t { open, key };  // whether a key is needed, when the server asks for keys
  using Route = std::function<void(RouteCall call)>;

  // Borrows `access`.
  explicit Router(const Access& access) : access_(access) {}

  // Asked for every request: a reason not to answer any now (503), or "". What reports how the server is, open or not,
  // is added with `always`.
  void refuse_when(std::function<std::string()> reason) { reason_ = std::move(reason); }
  // A path that ends in '*' takes everything that begins so; the longest wins. HEAD is GET.
  void add(std::string method, std::string path, Door door, Route route, bool always = false);
  void handle(HttpRequest request, std::shared_ptr<Responder> responder) const;

  struct Counts {
    uint64_t requests = 0, refused = 0;  // by the checks
  };
  Counts counts() const { return counts_; }

 private:
  struct Entry {
    Door door;
    Route route;
    bool always;
  };
  const Entry* find(const std::string& method, const std::string& path, std::string& rest, bool& known_path) const;

  const Access& access_;
  std::function<std::string()> reason_;
  std::map<std::string, std::map<std::string, Entry>> routes_;  // path -> method
  mutable Counts counts_;
};

// Which errors a path's clients read.
Api api_of(std::string_view path);

}  // namespace vitrine::serve
