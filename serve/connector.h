// The one way out of a locked gateway: a small process of its own that connects to
// one address and hands the socket over. The process that talks to clients cannot
// connect by itself (lockdown.h), so it reaches that address and no other.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"

namespace vitrine::serve {

class Connector {
 public:
  using Done = std::function<void(Result<boost::asio::ip::tcp::socket>)>;

  // Forks: REQUIRES that no other thread runs yet. Tries the addresses in turn for each
  // connection. Borrows `io`. The process ends with this object, or with its parent.
  static Result<std::unique_ptr<Connector>> start(boost::asio::io_context& io,
                                                  std::vector<boost::asio::ip::tcp::endpoint> addresses);
  ~Connector();

  void connect(Done done);  // on the thread of `io`; unreadable: nobody answers there

 private:
  Connector(boost::asio::io_context& io, int channel, int child);
  void receive();

  boost::asio::local::stream_protocol::socket channel_;
  int child_;
  std::deque<Done> waiting_;  // in the order asked for
};

}  // namespace vitrine::serve
