// Which program on this machine is at the other end of a connection, found out
// while the server's thread goes on: a thread of its own looks through /proc, once
// for all who wait, so that a thousand connections at once cost what one does.
#pragma once

#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "capture/record/local_programs.h"

namespace vitrine::serve {

class ClientPrograms {
 public:
  // Called on the thread of `io`; empty when there is none, or it is another user's.
  using Found = std::function<void(std::string program)>;

  // Before lock_down(): it makes a (netlink) socket.
  explicit ClientPrograms(boost::asio::io_context& io);
  ~ClientPrograms();  // who still waits is not called
  ClientPrograms(const ClientPrograms&) = delete;
  ClientPrograms& operator=(const ClientPrograms&) = delete;

  void find(LocalConnection connection, Found found);

 private:
  void run();

  boost::asio::io_context& io_;
  const LocalPrograms programs_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<LocalConnection> asked_;
  std::vector<Found> waiting_;  // for the same places of asked_
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace vitrine::serve
