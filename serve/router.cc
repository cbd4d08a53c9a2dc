#include "serve/router.h"

#include <fmt/format.h>

#include "base/text.h"

namespace vitrine::serve {

Api api_of(std::string_view path) { return path.starts_with("/api/") ? Api::ollama : Api::openai; }

void Router::add(std::string method, std::string path, Door door, Route route, bool always) {
  routes_[std::move(path)].insert_or_assign(std::move(method), Entry{door, std::move(route), always});
}

const Router::Entry* Router::find(const std::string& method, const std::string& path, std::string& rest,
                                  bool& known_path) const {
  const std::string& wanted = method == "HEAD" ? "GET" : method;
  const auto in = [&](const std::string& key) -> const Entry* {
    const auto found = routes_.find(key);
    if (found == routes_.end()) return nullptr;
    known_path = true;
    const auto entry = found->second.find(wanted);
    return entry == found->second.end() ? nullptr : &entry->second;
  };
  if (const Entry* entry = in(path)) return entry;
  for (size_t slash = path.rfind('/'); slash != path.npos;
       slash = slash == 0 ? path.npos : path.rfind('/', slash - 1)) {
    if (const Entry* entry = in(path.substr(0, slash + 1) + "*")) {
      rest = path.substr(slash + 1);
      return entry;
    }
  }
  return nullptr;
}

void Router::handle(HttpRequest request, std::shared_ptr<Responder> responder) const {
  ++counts_.requests;
  const Api api = api_of(request.path);
  const auto refuse = [&](int status, std::string_view code, std::string message, Headers headers = {}) {
    ++counts_.refused;
    send_error(*responder, api, {ErrorCode::usage, std::move(message), {}}, std::move(headers), status, code);
  };
  if (const auto refusal = access_.check_place(request))
    return refuse(refusal->status, refusal->code, refusal->message);
  Headers headers = {{"X-Content-Type-Options", "nosniff"}};
  if (const std::string origin = access_.foreign_origin(request); !origin.empty()) {
    headers.emplace_back("Access-Control-Allow-Origin", origin);
    headers.emplace_back("Vary", "Origin");
    if (request.method == "OPTIONS") {
      headers.emplace_back("Access-Control-Allow-Methods", "GET, POST");
      headers.emplace_back("Access-Control-Allow-Headers",
                           std::string(find_header(request.headers, "access-control-request-headers")));
      headers.emplace_back("Access-Control-Max-Age", "600");
      return responder->send(204, std::move(headers), {});
    }
  }
  RouteCall call;
  bool known_path = false;
  const Entry* entry = find(request.method, request.path, call.rest, known_path);
  if (const std::string reason = reason_ ? reason_() : ""; !reason.empty() && (entry == nullptr || !entry->always)) {
    return refuse(503, "not_recording", reason, headers);
  }
  if (entry == nullptr) {
    if (known_path) return refuse(405, "method_not_allowed", request.method + " is not for this path", headers);
    return refuse(404, "not_found", "nothing is at " + printable(request.path), headers);
  }
  if (entry->door == Door::key) {
    if (const auto refusal = access_.check_key(request, call.owner)) {
      return refuse(refusal->status, refusal->code, refusal->message, headers);
    }
  }
  call.request = std::move(request);
  call.responder = std::move(responder);
  call.headers = std::move(headers);
  entry->route(std::move(call));
}

}  // namespace vitrine::serve
