#include "capture/tap/tap.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
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

// One file, and what stands before it.
struct Log {
  std::unique_ptr<LogFile> file;
  std::unique_ptr<LogSink> sink;
  std::unique_ptr<ContentFilter> filter;  // unless all content is kept
  ExchangeSink* first = nullptr;          // of the two
  std::set<ExchangeId> open;              // began in it

  // Its last line; the error says that lines are missing.
  Status end(Timestamp time) {
    sink->end(time);
    return file->close();
  }
};

Result<Log> open_log(const TapOptions& options, bool append) {
  std::string missing;
  ExchangeLogWriter(missing).issue(
      {Cause::truncated, "tap: the log could not be written for a time; what was open or began then is missing", 0, 0});
  const std::string head = exchange_log_head(
      {.simulated = options.simulated, .comment = options.comment, .content = options.content, .ends = true});
  Log log;
  auto file = LogFile::open(options.path, append, head, std::move(missing));
  if (!file) return tl::unexpected(file.error());
  log.file = std::move(*file);
  log.sink = std::make_unique<LogSink>(*log.file);
  log.first = log.sink.get();
  if (options.content != TapContent::full) {
    auto values = WithheldValues::with_random_key();
    if (!values) return tl::unexpected(values.error());
    log.filter = std::make_unique<ContentFilter>(*log.sink, options.content, *values);
    log.first = log.filter.get();
  }
  return log;
}

}  // namespace

struct Tap::State : ExchangeSink {
  TapOptions options;
  std::optional<Log> log;       // nothing: no log
  std::optional<Log> previous;  // of before a rotation, while exchanges are open in it
  std::vector<Subscription> subscriptions;
  std::set<TapConnection::State*> open;
  uint64_t connections = 0, exchanges = 0, bytes = 0;
  uint64_t earlier_bytes = 0, earlier_dropped = 0, earlier_failures = 0;  // of logs that are closed
  uint64_t generation = 1;                                                // of the file, as far as on_trouble was told
  bool told_failing = false;
  bool closed_down = false;

  // The log an exchange has begun in; it is the present one for all that is not in the previous one.
  ExchangeSink* log_of(const Exchange& exchange) {
    if (previous && previous->open.contains(exchange.id)) return previous->first;
    return log ? log->first : nullptr;
  }

  void connection(const ConnectionInfo& info, ConnectionEvent event) override {
    if (log) log->first->connection(info, event);
    if (event != ConnectionEvent::closed) return;  // others: before its first exchange
    for (Subscription& to : subscriptions) {
      if (to.connections.erase(info.id) != 0) to.sink->connection(info, event);
    }
  }
  void opened(const Exchange& exchange) override {
    ++exchanges;
    if (log) {
      log->open.insert(exchange.id);
      log->first->opened(exchange);
    }
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
    if (ExchangeSink* const to_log = log_of(exchange)) to_log->part(exchange, part);
    for (Subscription& to : subscriptions) {
      if (to.exchanges.contains(exchange.id)) to.sink->part(exchange, part);
    }
  }
  void closed(const Exchange& exchange, CloseReason reason) override {
    if (ExchangeSink* const to_log = log_of(exchange)) to_log->closed(exchange, reason);
    for (Subscription& to : subscriptions) {
      if (to.exchanges.erase(exchange.id) != 0) to.sink->closed(exchange, reason);
    }
    if (log) log->open.erase(exchange.id);
    if (previous && previous->open.erase(exchange.id) != 0 && previous->open.empty()) end_previous(exchange.closed);
  }
  void issue(Issue issue) override {
    for (Subscription& to : subscriptions) to.sink->issue(issue);
    if (log) log->first->issue(std::move(issue));
  }

  void end_previous(Timestamp time) {
    if (!previous) return;
    if (!previous->open.empty()) {
      previous->sink->issue({Cause::truncated, "tap: the log was rotated again before these exchanges ended", 0, 0});
    }
    const Status ended = previous->end(time);
    if (!ended && options.on_trouble) options.on_trouble(ended.error().message);
    const LogFile::Counts counts = previous->file->counts();
    earlier_bytes += counts.written;
    earlier_dropped += counts.dropped_lines + previous->sink->skipped();
    earlier_failures += counts.failures;
    previous.reset();
  }

  // The end of one call from outside.
  void hand_over() {
    if (previous) previous->sink->hand_over();
    if (!log) return;
    log->sink->hand_over();
    const bool failing = log->file->failing();
    const uint64_t now = log->file->generation();
    if (failing == told_failing && now == generation) return;
    if (options.on_trouble) {
      if (failing || !told_failing) options.on_trouble(log->file->counts().error);
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
    auto log = open_log(options, options.append);
    if (!log) return tl::unexpected(log.error());
    state->log = std::move(*log);
    if (options.content != TapContent::full) options.http.digests = false;
  }
  state->options = std::move(options);
  return std::unique_ptr<Tap>(new Tap(std::move(state)));
}

Status Tap::reopen(Timestamp time) {
  State& state = *state_;
  if (!state.log || state.closed_down || !state.log->file->moved()) return {};
  auto log = open_log(state.options, true);
  if (!log) return tl::unexpected(log.error());
  state.end_previous(time);
  state.previous = std::exchange(state.log, std::move(*log));
  state.generation = state.log->file->generation();
  if (std::exchange(state.told_failing, false) && state.options.on_trouble) state.options.on_trouble({});
  if (state.previous->open.empty() || state.previous->file->failing()) state.end_previous(time);
  return {};
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

bool Tap::failing() const { return state_->log && state_->log->file->failing(); }

TapStatus Tap::status() const {
  TapStatus out;
  out.connections = state_->connections;
  out.exchanges = state_->exchanges;
  out.bytes = state_->bytes;
  out.log_bytes = state_->earlier_bytes;
  out.dropped_lines = state_->earlier_dropped;
  out.write_failures = state_->earlier_failures;
  for (const std::optional<Log>* log : {&state_->previous, &state_->log}) {
    if (!*log) continue;
    const LogFile::Counts counts = (*log)->file->counts();
    out.log_bytes += counts.written;
    out.dropped_lines += counts.dropped_lines + (*log)->sink->skipped();
    out.write_failures += counts.failures;
    if (!counts.error.empty()) out.error = counts.error;
  }
  out.failing = failing();
  return out;
}

void Tap::flush() {
  if (state_->previous) state_->previous->file->flush();
  if (state_->log) state_->log->file->flush();
}

Status Tap::close(Timestamp time) {
  State& state = *state_;
  if (state.closed_down) return state.log ? state.log->file->close() : Status{};
  while (!state.open.empty()) {
    TapConnection::State& connection = **state.open.begin();
    connection.finish(time.ns != 0 ? time : connection.last, CloseReason::end_of_capture);
  }
  state.closed_down = true;
  state.end_previous(time);
  return state.log ? state.log->end(time) : Status{};
}

}  // namespace vitrine
