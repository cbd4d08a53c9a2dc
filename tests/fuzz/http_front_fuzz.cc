// Bytes from a stranger to the serving front, over a connection in memory: cut in
// two anywhere they give the same requests and the same answers.
#include <algorithm>
#include <boost/asio/post.hpp>
#include <cstdlib>

#include "serve/http/connection.h"

namespace {

using namespace vitrine::serve;
namespace asio = boost::asio;

class MemoryStream : public ByteStream {
 public:
  MemoryStream(asio::io_context& io, std::string_view input, size_t cut, std::string& output)
      : socket_(io), input_(input), cut_(cut), output_(output) {}
  void handshake(std::function<void(boost::system::error_code)> done) override {
    asio::post(socket_.get_executor(), [done = std::move(done)] { done({}); });
  }
  void read_some(asio::mutable_buffer into, Done done) override {
    const size_t end = at_ < cut_ ? cut_ : input_.size();
    const size_t count = std::min(into.size(), end - at_);
    std::copy_n(input_.data() + at_, count, static_cast<char*>(into.data()));
    at_ += count;
    asio::post(socket_.get_executor(), [done = std::move(done), count] {
      done(count == 0 ? boost::system::error_code(asio::error::eof) : boost::system::error_code(), count);
    });
  }
  void write(asio::const_buffer bytes, Done done) override {
    output_.append(static_cast<const char*>(bytes.data()), bytes.size());
    asio::post(socket_.get_executor(), [done = std::move(done), size = bytes.size()] { done({}, size); });
  }
  void close() override {}
  asio::ip::tcp::socket& socket() override { return socket_; }

 private:
  asio::ip::tcp::socket socket_;
  std::string_view input_;
  size_t cut_, at_ = 0;
  std::string& output_;
};

struct Ran {
  std::string requests, output;
};

Ran run(std::string_view input, size_t cut) {
  Ran ran;
  asio::io_context io(1);
  ConnectionContext context;
  context.bounds.header_bytes = 2048;
  context.bounds.body_bytes = 4096;
  context.handler = [&](HttpRequest request, const std::shared_ptr<Responder>& responder) {
    if (request.body.size() > 4096 || request.path.find('?') != std::string::npos) std::abort();
    ran.requests += request.method + " " + request.target + "\n" + request.body + "\n";
    if (request.path == "/s") {
      responder->start(200, {});
      responder->write(request.body);
      return responder->finish();
    }
    responder->send(200, {}, request.body);
  };
  auto connection = std::make_shared<Connection>(std::make_unique<MemoryStream>(io, input, cut, ran.output), Peer{},
                                                 context, [](uint64_t) {});
  connection->begin("");
  connection.reset();
  io.run_for(std::chrono::seconds(5));
  if (context.bodies_bytes != 0) std::abort();  // what was claimed is given back
  return ran;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, std::min<size_t>(size - 1, 16384));
  const Ran whole = run(input, input.size());
  const Ran cut = run(input, std::min<size_t>(data[0], input.size()));
  // Where the stranger left in the middle of an answer's writing, what was written may differ; requests may not.
  if (whole.requests != cut.requests) std::abort();
  return 0;
}
