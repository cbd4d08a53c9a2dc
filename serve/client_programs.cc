#include "serve/client_programs.h"

#include <boost/asio/post.hpp>
#include <utility>

namespace vitrine::serve {

ClientPrograms::ClientPrograms(boost::asio::io_context& io) : io_(io), thread_([this] { run(); }) {}

ClientPrograms::~ClientPrograms() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void ClientPrograms::find(LocalConnection connection, Found found) {
  {
    const std::lock_guard lock(mutex_);
    asked_.push_back(std::move(connection));
    waiting_.push_back(std::move(found));
  }
  changed_.notify_one();
}

void ClientPrograms::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !asked_.empty(); });
    if (stopping_) return;
    const auto asked = std::exchange(asked_, {});
    auto waiting = std::exchange(waiting_, {});
    lock.unlock();
    std::vector<std::string> programs = programs_.clients(asked);
    for (size_t i = 0; i < asked.size(); ++i) {
      boost::asio::post(io_, [found = std::move(waiting[i]), program = std::move(programs[i])]() mutable {
        found(std::move(program));
      });
    }
    lock.lock();
  }
}

}  // namespace vitrine::serve
