#include "capture/tap/tap.h"

#include <algorithm>
#include <set>
#include <vector>

#include "capture/input/exchange_log.h"
#include "capture/tap/content_filter.h"
#include "capture/tap/log_sink.h"

namespace vitrine {
namespace {

// One subscriber, and what it has been told of: exchanges reach it whole or not at all.
struct Subscription {
  ExchangeSink* sink = nullptr;
  std::set<ConnectionId> connections;
  std::set<ExchangeId> exchanges;
};

}  // namespace

struct Tap::State : ExchangeSink {
  TapOptions options;
  std::unique_ptr<LogFile> file;          // null: no log
  std::unique_ptr<LogSink> log;           // with it
  std::unique_ptr<ContentFilter> filter;  // before it, unless all content is kept
  ExchangeSink* to_log = nullptr;         // the first of the two
  std::vector<Subscription> subscriptions;
  std::set<TapConnection::State*> open;
  uint64_t connections = 0, exchanges = 0, bytes = 0;
  uint64_t generation = 1;  // of the file, as far as on_trouble was told
  bool told_failing = false;
  bool closed_down = false;

  void connection(const ConnectionInfo& info, ConnectionEvent event) override {
    if (to_log) to_log->connection(info, event);
    if (event != ConnectionEvent::closed) return;  // others: before its first exchange
    for (Subscription& to : subscriptions) {
      if (to.connections.erase(info.id) != 0) to.sink->connection(info, event);
    }
  }
  void opened(const Exchange& exchange) override {
    ++exchanges;
    if (to_log) to_log->opened(exchange);
    for (Subscription& to : subscriptions) {
      if (to.connections.insert(exchange.id.connection).second) {
        to.sink->connection(*exchange.connection, ConnectionEvent::opened);
        to.sink->connection(*exchange.connection, ConnectionEvent::hello);
      }
      to.exchanges.insert(exchange.id);
      to.sink->opened(exchange);
    }
  }
  void part(const Exchange& exchange, const Part& part) override {
    if (to_log) to_log->part(exchange, part);
    for (Subscription& to : subscriptions) {
      if (to.exchanges.contains(exchange.id)) to.sink->part(exchange, part);
    }
  }
  void closed(const Exchange& exchange, CloseReason reason) override {
    if (to_log) to_log->closed(exchange, reason);
    for (Subscription& to : subscriptions) {
      if (to.exchanges.erase(exchange.id) != 0) to.sink->closed(exchange, reason);
    }
  }
  void issue(Issue issue) override {
    for (Subscription& to : subscriptions) to.sink->issue(issue);
    if (to_log) to_log->issue(std::move(issue));
  }

  // The end of one call from outside.
  void hand_over() {
    if (!log) return;
    log->hand_over();
    const bool failing = file->failing();
    const uint64_t now = file->generation();
    if (failing == told_failing && now == generation) return;
    if (options.on_trouble) {
      if (failing || !told_failing) options.on_trouble(file->counts().error);
      if (!failing) options.on_trouble({});
    }
    told_failing = failing;
    generation = now;
  }
};

struct TapConnection::State {
  State(Tap::State& owner, ConnectionInfo described)
      : tap(owner), info(std::move(described)), http(info, owner, owner.options.http) {}

  Tap::State& tap;
  ConnectionInfo info;
  HttpConnection http;
  uint64_t offsets[2] = {0, 0};
  bool ended[2] = {false, false};
  bool over = false;
  Timestamp last;
  uint64_t calls = 0;  // stands for the packet number

  void chunk(StreamChunk::Kind kind, Direction direction, Bytes data, Timestamp time) {
    const auto d = static_cast<size_t>(direction);
    StreamChunk chunk;
    chunk.kind = kind;
    chunk.direction = direction;
    chunk.offset = offsets[d];
    chunk.bytes = data;
    chunk.time = last = time;
    chunk.packet = ++calls;
    offsets[d] += data.size();
    http.on_chunk(chunk);
  }

  void finish(Timestamp time, CloseReason reason) {
    if (over) return;
    over = true;
    http.finish(reason, time, calls);
    if (info.protocol.empty()) info.protocol = "unknown";
    tap.connection(info, ExchangeSink::ConnectionEvent::closed);
    tap.open.erase(this);
  }
};

TapConnection::TapConnection(std::unique_ptr<State> state) : state_(std::move(state)) {}

TapConnection::~TapConnection() { close(state_->last); }

ConnectionId TapConnection::id() const { return state_->info.id; }

void TapConnection::bytes(Direction direction, Bytes bytes, Timestamp time) {
  State& state = *state_;
  if (state.over || state.ended[static_cast<size_t>(direction)] || bytes.empty()) return;
  state.tap.bytes += bytes.size();
  state.chunk(StreamChunk::Kind::data, direction, bytes, time);
  state.tap.hand_over();
}

void TapConnection::close(Direction direction, Timestamp time) {
  State& state = *state_;
  if (state.over || std::exchange(state.ended[static_cast<size_t>(direction)], true)) return;
  state.chunk(StreamChunk::Kind::close, direction, {}, time);
  if (state.ended[0] && state.ended[1]) state.finish(time, CloseReason::connection_closed);
  state.tap.hand_over();
}

void TapConnection::close(Timestamp time, CloseReason reason) {
  if (state_->over) return;
  state_->finish(time, reason);
  state_->tap.hand_over();
}

Tap::Tap(std::unique_ptr<State> state) : state_(std::move(state)) {}

Tap::~Tap() { (void)close({}); }

Result<std::unique_ptr<Tap>> Tap::open(TapOptions options) {
  auto state = std::make_unique<State>();
  if (!options.path.empty()) {
    std::string missing;
    ExchangeLogWriter(missing).issue(
        {Cause::truncated, "tap: the log could not be written for a time; what was open or began then is missing", 0,
         0});
    const std::string head = exchange_log_head(
        {.simulated = options.simulated, .comment = options.comment, .content = options.content, .ends = true});
    Result<std::unique_ptr<LogFile>> file = LogFile::open(options.path, options.append, head, std::move(missing));
    if (!file) return tl::unexpected(file.error());
    state->file = std::move(*file);
    state->log = std::make_unique<LogSink>(*state->file);
    if (options.content != TapContent::full) {
      options.http.digests = false;
      Result<WithheldValues> values = WithheldValues::with_random_key();
      if (!values) return tl::unexpected(values.error());
      state->filter = std::make_unique<ContentFilter>(*state->log, options.content, *values);
    }
    state->to_log = state->filter ? static_cast<ExchangeSink*>(state->filter.get()) : state->log.get();
  }
  state->options = std::move(options);
  return std::unique_ptr<Tap>(new Tap(std::move(state)));
}

std::unique_ptr<TapConnection> Tap::connection(TapPeer peer, Timestamp time) {
  ConnectionInfo info;
  info.id = ++state_->connections;
  info.client = peer.client;
  info.server = peer.server;
  info.process = std::move(peer.process);
  info.opened = time;
  info.tls = peer.tls;
  info.tls_info = std::move(peer.tls_info);
  if (info.tls) info.tls_info.decrypted = true;
  auto state = std::make_unique<TapConnection::State>(*state_, std::move(info));
  TapConnection::State& connection = *state;
  connection.last = time;
  if (connection.info.tls) connection.http.set_alpn(connection.info.tls_info.alpn);
  if (!state_->closed_down) {
    state_->open.insert(&connection);
    state_->connection(connection.info, ExchangeSink::ConnectionEvent::opened);
    state_->connection(connection.info, ExchangeSink::ConnectionEvent::hello);
    state_->hand_over();
  } else {
    connection.over = true;
  }
  return std::unique_ptr<TapConnection>(new TapConnection(std::move(state)));
}

void Tap::subscribe(ExchangeSink& sink) { state_->subscriptions.push_back({&sink, {}, {}}); }

void Tap::unsubscribe(ExchangeSink& sink) {
  std::erase_if(state_->subscriptions, [&](const Subscription& one) { return one.sink == &sink; });
}

bool Tap::failing() const { return state_->file && state_->file->failing(); }

TapStatus Tap::status() const {
  TapStatus out;
  out.connections = state_->connections;
  out.exchanges = state_->exchanges;
  out.bytes = state_->bytes;
  if (!state_->file) return out;
  const LogFile::Counts counts = state_->file->counts();
  out.log_bytes = counts.written;
  out.dropped_lines = counts.dropped_lines + state_->log->skipped();
  out.write_failures = counts.failures;
  out.failing = state_->file->failing();
  out.error = counts.error;
  return out;
}

void Tap::flush() {
  if (state_->file) state_->file->flush();
}

Status Tap::close(Timestamp time) {
  State& state = *state_;
  if (state.closed_down) return state.file ? state.file->close() : Status{};
  while (!state.open.empty()) {
    TapConnection::State& connection = **state.open.begin();
    connection.finish(time.ns != 0 ? time : connection.last, CloseReason::end_of_capture);
  }
  state.closed_down = true;
  if (!state.log) return {};
  state.log->end(time);
  return state.file->close();
}

}  // namespace vitrine
