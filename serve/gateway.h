// In front of an engine elsewhere (vLLM, SGLang, TensorRT-LLM, llama.cpp): requests
// go there and answers come back, as they are; tap, keys, Host and Origin checks and
// the page stay here.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "serve/connector.h"
#include "serve/router.h"

namespace vitrine::serve {

struct Upstream {
  bool tls = false;
  std::string host;  // for Host, SNI and the certificate
  uint16_t port = 80;
  std::string prefix;  // of paths: "http://gpu:8000/base" has "/base"
  std::string key;     // sent as Authorization: Bearer; empty: the client's own header goes on,
                       // unless this server asks for keys itself
};

// "http://host:port/prefix", "https://…". usage: anything else.
Result<Upstream> parse_upstream(const std::string& url);

// Its addresses, asked for once: later there is no way to ask.
Result<std::vector<boost::asio::ip::tcp::endpoint>> resolve(const Upstream& upstream);

class Gateway {
 public:
  // Borrows all; `certificates` ("" : the system's) is a PEM file that https is checked against.
  static Result<std::unique_ptr<Gateway>> create(boost::asio::io_context& io, Connector& connector, Upstream upstream,
                                                 const std::string& certificates);
  ~Gateway();

  // /v1/* and /api/*, any method.
  void add_routes(Router& router, bool asks_keys);
  uint64_t forwarded() const;
  uint64_t connected() const;  // connections opened to it
  uint64_t failed() const;

 private:
  struct State;
  explicit Gateway(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace vitrine::serve
