#include "capture/input/exchange_log.h"

#include <algorithm>
#include <charconv>
#include <deque>
#include <map>

#include "base/digest.h"
#include "base/text.h"
#include "capture/input/json_tree.h"
#include "capture/input/request_line.h"
#include "capture/media_type.h"
#include "capture/origin.h"

namespace vitrine {
namespace {

using Node = JsonTree::Node;
using Kind = JsonToken::Kind;

constexpr size_t kOpenBound = 100'000;  // connections or exchanges followed at a time
constexpr uint64_t kLineBound = 512ull << 20;
constexpr uint64_t kCountBound = 1ull << 53;  // largest integer every JSON reader keeps
constexpr Direction kDirections[] = {Direction::client_to_server, Direction::server_to_client};

bool parse_endpoint(std::string_view text, Endpoint& out) {
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return false;
  std::string_view host = text.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  Endpoint end;
  end.ip = IpAddress::parse(host);
  const std::string_view port = text.substr(colon + 1);
  const auto result = std::from_chars(port.data(), port.data() + port.size(), end.port);
  if (end.ip.family == 0 || result.ec != std::errc{} || result.ptr != port.data() + port.size()) return false;
  out = end;
  return true;
}

template <class Enum>
bool parse_name(std::string_view text, std::initializer_list<Enum> values, Enum& out) {
  for (const Enum value : values) {
    if (to_string(value) == text) {
      out = value;
      return true;
    }
  }
  return false;
}

constexpr std::initializer_list<Cause> kAllCauses = {Cause::decoded, Cause::no_key,    Cause::unsupported,
                                                     Cause::gap,     Cause::truncated, Cause::malformed,
                                                     Cause::opaque,  Cause::refused,   Cause::withheld};

// Lines → exchanges.
class LogLines {
 public:
  explicit LogLines(ExchangeSink& sink) : sink_(sink) {}

  // `begin`: of the line in the log; `number`: from 1.
  Status line(std::string_view text, uint64_t begin, uint64_t number) {
    line_ = number;
    begin_ = begin;
    decoded_.clear();
    JsonTokenizer json(text);
    if (!tree_.read(json) || tree_.root().kind != Kind::begin_object) {
      if (!headed_) return fail(ErrorCode::malformed, "the first line is no exchange-log head");
      const bool cut = tree_.last_token().kind == Kind::cut;
      bad(cut ? "line ends inside its object" : "line is not a JSON object", cut ? Cause::truncated : Cause::malformed);
      return {};
    }
    JsonToken rest;
    if (json.next(rest) || rest.offset < text.size()) bad("something stands behind the object of a line");
    if (tree_.overflowed()) bad("line with more values than are read", Cause::truncated);
    const Node* root = &tree_.root();
    const std::string_view type = tree_.string(root, "type");
    if (type == kExchangeLogMagic) return head(root);
    if (!headed_) return fail(ErrorCode::malformed, "the first line is no exchange-log head");
    if (type == "connection") connection(root);
    else if (type == "open") open(root);
    else if (type == "part") part(root);
    else if (type == "close") close(root);
    else if (type == "connection-closed") connection_closed(root);
    else if (type == "dns") dns(root);
    else if (type == "resolved") resolved(root);
    else if (type == "issue") issue(root);
    else if (type == "end") ended_ = true;
    else bad("unknown line type");
    return {};
  }

  void too_long(uint64_t number) {
    line_ = number;
    bad("line longer than is read", Cause::truncated);
  }

  bool ended() const { return ended_; }

  // The log ended, or another one begins: whatever is open ends here.
  void finish() {
    if (must_end_ && !ended_)
      bad("the writer's last line is missing: it was stopped, or is still writing", Cause::truncated);
    must_end_ = false;
    while (!exchanges_.empty()) end_exchange(exchanges_.begin(), CloseReason::end_of_capture);
    for (auto& [id, connection] : connections_)
      sink_.connection(connection->info, ExchangeSink::ConnectionEvent::closed);
    connections_.clear();
  }

 private:
  struct Connection {
    ConnectionInfo info;
    uint32_t exchanges = 0;  // opened so far
  };
  struct Open {
    Exchange exchange;
    Sha256Stream messages[2];  // of WebSocket messages and events
    bool streamed[2] = {false, false};
  };
  using OpenMap =
      std::map<std::pair<uint64_t, uint64_t>, std::unique_ptr<Open>>;  // (connection, ordinal) as the log numbers them

  void bad(std::string_view what, Cause cause = Cause::malformed) {
    sink_.issue({cause, "exchange log: " + std::string(what), line_, 0});
  }

  // A non-negative integer up to 2^53; 0 for everything else.
  static uint64_t integer_of(const Node* node) {
    uint64_t value = 0;
    if (node == nullptr || node->kind != Kind::number) return 0;
    const char* end = node->text.data() + node->text.size();
    const auto result = std::from_chars(node->text.data(), end, value);
    return result.ec == std::errc{} && result.ptr == end && value <= kCountBound ? value : 0;
  }
  uint64_t integer(const Node* object, std::string_view key) const { return integer_of(tree_.find(object, key)); }

  bool has(const Node* object, const std::string& key) const {
    return tree_.find(object, key) != nullptr || tree_.find(object, key + "_base64") != nullptr;
  }

  // A string member, or its "_base64" twin decoded; valid until the next line.
  std::string_view text(const Node* object, std::string_view key) {
    if (const Node* node = tree_.find(object, key)) return node->kind == Kind::string ? node->text : std::string_view();
    const Node* node = tree_.find(object, std::string(key) + "_base64");
    if (node == nullptr || node->kind != Kind::string) return {};
    if (!decode_base64_lenient(node->text, decoded_.emplace_back())) bad("a _base64 member is not base64");
    return decoded_.back();
  }

  Timestamp time(const Node* object) const { return parse_rfc3339(tree_.string(object, "time")).value_or(Timestamp{}); }

  Status head(const Node* root) {
    if (integer(root, "version") != 1) {
      const Node* version = tree_.find(root, "version");
      return fail(ErrorCode::unsupported, "exchange log of version " +
                                              std::string(version == nullptr ? "?" : version->text.substr(0, 32)) +
                                              "; version 1 is read");
    }
    if (headed_) finish();
    headed_ = true;
    ended_ = false;
    must_end_ = tree_.boolean(root, "ends", false);
    content_ = RecordedContent::full;
    if (const std::string_view content = tree_.string(root, "content");
        !content.empty() &&
        !parse_name(content, {RecordedContent::full, RecordedContent::hash, RecordedContent::none}, content_)) {
      bad("unknown content in the head; values are read as if something was left out", Cause::unsupported);
      content_ = RecordedContent::none;
    }
    return {};
  }

  void read_tls(const Node* tls, ConnectionInfo& info) {
    if (tls == nullptr || tls->kind != Kind::begin_object) return;
    info.tls = true;
    TlsInfo& out = info.tls_info;
    out.version = static_cast<uint16_t>(integer(tls, "version"));
    out.sni = text(tls, "sni");
    out.alpn = text(tls, "alpn");
    out.cipher_name = text(tls, "cipher");
    out.ja3 = text(tls, "ja3");
    out.ja3_text = text(tls, "ja3_text");
    out.ja4 = text(tls, "ja4");
    strings(tree_.find(tls, "alpn_offered"), out.alpn_offered);
    strings(tree_.find(tls, "certificate_names"), out.certificate_names);
    out.ech_offered = tree_.boolean(tls, "ech_offered", false);
    out.early_data = tree_.boolean(tls, "early_data", false);
    out.resumed = tree_.boolean(tls, "resumed", false);
    out.retry = tree_.boolean(tls, "retry", false);
    out.client_hello_seen = tree_.boolean(tls, "client_hello_seen", true);
    out.server_hello_seen = tree_.boolean(tls, "server_hello_seen", true);
    out.decrypted = tree_.boolean(tls, "decrypted", true);
  }

  void strings(const Node* list, std::vector<std::string>& out) const {
    out.clear();
    for (const Node* item = tree_.first(list); item != nullptr; item = tree_.next(item)) {
      if (item->kind == Kind::string) out.emplace_back(item->text);
    }
  }

  void connection(const Node* root) {
    const uint64_t key = integer(root, "connection");
    if (key == 0 || connections_.contains(key)) return bad("connection without a number of its own");
    if (connections_.size() >= kOpenBound) return bad("more open connections than are followed", Cause::truncated);
    auto connection = std::make_unique<Connection>();
    ConnectionInfo& info = connection->info;
    info.id = info.first_packet = line_;
    info.transport = Transport::exchange_log;
    info.opened = time(root);
    info.content = content_;
    for (const auto& [name, end] : {std::pair{"client", &info.client}, std::pair{"server", &info.server}}) {
      const std::string_view given = tree_.string(root, name);
      if (!given.empty() && !parse_endpoint(given, *end)) bad("client or server is no address with a port");
    }
    if (info.server.ip.family == 0)
      info.server.port = static_cast<uint16_t>(std::min<uint64_t>(integer(root, "server_port"), 65535));
    info.process = text(root, "process");
    info.protocol = text(root, "protocol");
    info.mid_stream = tree_.boolean(root, "mid_stream", false);
    read_tls(tree_.find(root, "tls"), info);
    connections_[key] = std::move(connection);
    sink_.connection(info, ExchangeSink::ConnectionEvent::opened);
    sink_.connection(info, ExchangeSink::ConnectionEvent::hello);
  }

  // scheme, authority, path (and host when it is no part of the authority), or
  // a url. False when there is neither.
  bool read_request(const Node* root, Exchange& exchange) {
    exchange.method = text(root, "method");
    if (!has(root, "scheme")) {
      const bool split = split_url(text(root, "url"), exchange);
      if (const std::string_view host = text(root, "host"); !host.empty()) exchange.host = host;
      return split;
    }
    exchange.scheme = text(root, "scheme");
    exchange.authority = text(root, "authority");
    exchange.path = text(root, "path");
    exchange.host = text(root, "host");
    if (exchange.host.empty()) exchange.host = host_of_authority(exchange.authority);
    return true;
  }

  void open(const Node* root) {
    const auto connection = connections_.find(integer(root, "connection"));
    const uint64_t ordinal = integer(root, "ordinal");
    if (connection == connections_.end()) return bad("exchange on a connection that is not open");
    const std::pair key{connection->first, ordinal};
    if (ordinal == 0 || exchanges_.contains(key)) return bad("exchange without an ordinal of its own");
    if (exchanges_.size() >= kOpenBound) return bad("more open exchanges than are followed", Cause::truncated);
    auto open = std::make_unique<Open>();
    Exchange& exchange = open->exchange;
    if (!read_request(root, exchange)) return bad("exchange without a URL");
    exchange.id = {connection->second->info.id, ++connection->second->exchanges};
    exchange.connection = &connection->second->info;
    exchange.process = connection->second->info.process;
    exchange.first_packet = exchange.last_packet = line_;
    exchange.opened = exchange.closed = time(root);
    exchange.protocol = protocol_named(tree_.string(root, "protocol"));
    exchange.stream = integer(root, "stream");
    exchange.initiator = text(root, "initiator");
    sink_.opened(exchange);
    exchanges_[key] = std::move(open);
  }

  OpenMap::iterator find(const Node* root) {
    const auto found = exchanges_.find({integer(root, "connection"), integer(root, "ordinal")});
    if (found == exchanges_.end()) bad("line for an exchange that is not open");
    return found;
  }

  void part(const Node* root) {
    const auto found = find(root);
    if (found == exchanges_.end()) return;
    Open& open = *found->second;
    Exchange& exchange = open.exchange;
    Part part;
    const std::string_view kind = tree_.string(root, "kind");
    if (kind == "headers") part.kind = Part::Kind::headers;
    else if (kind == "body") part.kind = Part::Kind::body;
    else if (kind == "message") part.kind = Part::Kind::message;
    else if (kind == "trailers") part.kind = Part::Kind::trailers;
    else return bad("unknown part kind");
    if (!parse_name(tree_.string(root, "direction"), {Direction::client_to_server, Direction::server_to_client},
                    part.direction)) {
      return bad("part without a direction");
    }
    part.time = time(root);
    part.first_packet = part.last_packet = line_;
    exchange.last_packet = line_;
    exchange.closed = std::max(exchange.closed, part.time);
    part.text = tree_.boolean(root, "text", false);
    part.complete = tree_.boolean(root, "complete", true);
    if (const std::string_view cause = tree_.string(root, "cause");
        !cause.empty() && !parse_name(cause, kAllCauses, part.cause)) {
      return bad("unknown cause");
    }
    if (const Protocol protocol = protocol_named(tree_.string(root, "protocol")); protocol != Protocol::unknown)
      exchange.protocol = protocol;
    exchange.message(part.direction).seen = true;
    if (part.kind == Part::Kind::headers || part.kind == Part::Kind::trailers) return headers(root, exchange, part);
    content(root, open, part);
  }

  void content(const Node* root, Open& open, Part& part) {
    static constexpr Decoder kText[] = {Decoder::exchange_log};
    static constexpr Decoder kBase64[] = {Decoder::exchange_log, Decoder::base64};
    const Node* node = tree_.find(root, "content");
    part.decoders = kText;
    if (node == nullptr) {
      node = tree_.find(root, "content_base64");
      part.decoders = kBase64;
    }
    if (node == nullptr || node->kind != Kind::string) return bad("part without content");
    part.content = as_bytes(node->text);
    if (part.decoders.size() == 2) {
      if (!decode_base64_lenient(node->text, decoded_.emplace_back())) return bad("content_base64 is not base64");
      part.content = as_bytes(decoded_.back());
    }
    const StreamSpan piece{begin_ + node->offset, node->length};
    part.pieces = std::span(&piece, 1);
    const bool counted = tree_.find(root, "wire_bytes") != nullptr;
    part.wire_bytes = counted ? integer(root, "wire_bytes") : part.content.size();
    Message& message = open.exchange.message(part.direction);
    if (const std::string_view type = text(root, "content_type"); !type.empty())
      assign_media_type(message.content_type, type);
    message.content_bytes += part.content.size();
    message.wire_bytes += part.wire_bytes;
    if (content_ != RecordedContent::full) {
      // The digest of what stands for it would be none of what was sent.
    } else if (part.kind == Part::Kind::body) {
      message.sha256 = to_hex(sha256(part.content));
    } else {
      open.messages[static_cast<size_t>(part.direction)].update(part.content);
      open.streamed[static_cast<size_t>(part.direction)] = true;
    }
    sink_.part(open.exchange, part);
  }

  void headers(const Node* root, Exchange& exchange, Part& part) {
    const Node* list = tree_.find(root, "headers");
    if (list == nullptr || list->kind != Kind::begin_array) return bad("head without headers");
    if (part.direction == Direction::client_to_server && has(root, "method") && !read_request(root, exchange)) {
      return bad("request head without a URL");
    }
    headers_.clear();
    for (const Node* pair = tree_.first(list); pair != nullptr; pair = tree_.next(pair)) {
      const Node* name = tree_.first(pair);
      const Node* value = name == nullptr ? nullptr : tree_.next(name);
      if (value == nullptr || name->kind != Kind::string || value->kind != Kind::string) {
        bad("header that is no pair of strings");
        continue;
      }
      HeaderField field{name->text, value->text, static_cast<uint32_t>(value->offset - list->offset),
                        static_cast<uint32_t>(value->length)};
      if (const Node* form = tree_.next(value); form != nullptr && form->text == "base64") {
        std::string& raw_name = decoded_.emplace_back();
        std::string& raw_value = decoded_.emplace_back();
        if (!decode_base64_lenient(name->text, raw_name) || !decode_base64_lenient(value->text, raw_value)) {
          bad("header marked base64 that is not");
          continue;
        }
        field.name = raw_name;
        field.value = raw_value;
      }
      headers_.push_back(field);
      note_header(exchange, part.direction, field.name, field.value);
    }
    if (part.direction == Direction::server_to_client && part.kind == Part::Kind::headers) {
      exchange.status = static_cast<int>(std::min<uint64_t>(integer(root, "status"), 999));
    }
    const StreamSpan piece{begin_ + list->offset, list->length};
    static constexpr Decoder kSteps[] = {Decoder::exchange_log};
    part.pieces = std::span(&piece, 1);
    part.decoders = kSteps;
    part.wire_bytes = integer(root, "wire_bytes");
    part.headers = headers_;
    sink_.part(exchange, part);
  }

  void counts(const Node* list, ByteCounts& out) {
    for (const Node* row = tree_.first(list); row != nullptr; row = tree_.next(row)) {
      Cause cause;
      if (parse_name(row->key, kAllCauses, cause)) out.add(cause, integer_of(row));
      else bad("unknown cause");
    }
  }

  void close(const Node* root) {
    const auto found = find(root);
    if (found == exchanges_.end()) return;
    Exchange& exchange = found->second->exchange;
    if (const Timestamp at = time(root); at.ns != 0) exchange.closed = at;
    exchange.last_packet = line_;
    for (const Direction d : kDirections) {
      const Node* side = tree_.find(root, to_string(d));
      Message& message = exchange.message(d);
      const auto index = static_cast<size_t>(d);
      if (found->second->streamed[index]) message.sha256 = to_hex(found->second->messages[index].digest());
      if (side == nullptr) continue;
      message.seen = tree_.boolean(side, "seen", message.seen);
      message.complete = tree_.boolean(side, "complete", false);
      if (const std::string_view media = text(side, "content_type"); !media.empty())
        assign_media_type(message.content_type, media);
      counts(tree_.find(side, "bytes"), message.bytes);
      if (tree_.find(side, "content_bytes") != nullptr) message.content_bytes = integer(side, "content_bytes");
      if (tree_.find(side, "wire_bytes") != nullptr) message.wire_bytes = integer(side, "wire_bytes");
      if (const std::string_view digest = tree_.string(side, "sha256"); digest.size() == 64) message.sha256 = digest;
      strings(tree_.find(side, "content_codings"), message.content_codings);
      // A writer that does not count: what it logged was there to be logged.
      if (tree_.find(side, "bytes") == nullptr) message.bytes.add(Cause::decoded, message.wire_bytes);
    }
    CloseReason reason = CloseReason::end_of_capture;
    if (!parse_name(tree_.string(root, "reason"),
                    {CloseReason::complete, CloseReason::reset, CloseReason::connection_closed, CloseReason::gap,
                     CloseReason::malformed, CloseReason::end_of_capture},
                    reason)) {
      bad("unknown reason of a close");
    }
    end_exchange(found, reason);
  }

  void end_exchange(OpenMap::iterator found, CloseReason reason) {
    sink_.closed(found->second->exchange, reason);
    exchanges_.erase(found);
  }

  Connection* connection_of(const Node* root) {
    const auto found = connections_.find(integer(root, "connection"));
    if (found != connections_.end()) return found->second.get();
    bad("line for a connection that is not open");
    return nullptr;
  }

  void connection_closed(const Node* root) {
    Connection* connection = connection_of(root);
    if (connection == nullptr) return;
    ConnectionInfo& info = connection->info;
    const uint64_t key = integer(root, "connection");
    if (const std::string_view protocol = text(root, "protocol"); !protocol.empty()) info.protocol = protocol;
    info.mid_stream = tree_.boolean(root, "mid_stream", info.mid_stream);
    read_tls(tree_.find(root, "tls"), info);
    for (const Direction d : kDirections) counts(tree_.find(root, to_string(d)), info.overhead[static_cast<size_t>(d)]);
    for (auto exchange = exchanges_.lower_bound({key, 0});
         exchange != exchanges_.end() && exchange->first.first == key;) {
      end_exchange(exchange++, CloseReason::connection_closed);
    }
    sink_.connection(info, ExchangeSink::ConnectionEvent::closed);
    connections_.erase(key);
  }

  void dns(const Node* root) {
    const Connection* connection = connection_of(root);
    if (connection == nullptr) return;
    DnsName name;
    if (!parse_name(tree_.string(root, "direction"), {Direction::client_to_server, Direction::server_to_client},
                    name.direction)) {
      return bad("dns without a direction");
    }
    name.name = text(root, "name");
    name.type = text(root, "query_type");
    name.time = time(root);
    name.packet = line_;
    name.bytes = integer(root, "bytes");
    if (const Node* node = tree_.find(root, "name")) name.span = {begin_ + node->offset, node->length};
    sink_.dns(connection->info, name);
  }

  void resolved(const Node* root) {
    const IpAddress ip = IpAddress::parse(tree_.string(root, "ip"));
    const std::string_view name = text(root, "name");
    if (ip.family == 0 || name.empty()) return bad("resolved without an address or a name");
    sink_.resolved(ip, name);
  }

  void issue(const Node* root) {
    Cause cause = Cause::malformed;
    if (!parse_name(tree_.string(root, "cause"), kAllCauses, cause)) bad("unknown cause");
    sink_.issue({cause, std::string(tree_.string(root, "what").substr(0, 512)), line_, 0});
  }

  ExchangeSink& sink_;
  JsonTree tree_;
  uint64_t line_ = 0, begin_ = 0;
  bool headed_ = false;
  RecordedContent content_ = RecordedContent::full;
  bool must_end_ = false, ended_ = false;  // the head promises an end line; it was read
  std::deque<std::string> decoded_;        // of the current line
  std::vector<HeaderField> headers_;
  std::map<uint64_t, std::unique_ptr<Connection>> connections_;  // by the log's number
  OpenMap exchanges_;
};

}  // namespace

struct ExchangeLogReader::State {
  explicit State(ExchangeSink& to) : sink(to), lines(to) {}

  ExchangeSink& sink;
  LogLines lines;
  std::string held;      // the beginning of a line whose end has not come
  uint64_t length = 0;   // of that beginning; more than `held` when the line is too long
  uint64_t begin = 0;    // of that line in the log
  uint64_t number = 0;   // of the last whole line
  bool refused = false;  // another version: nothing more is read
  bool finished = false;

  void hold(std::string_view piece) {
    length += piece.size();
    if (length <= kLineBound) held += piece;
    else std::string().swap(held);
  }

  // A line without its newline: `text`, or, behind what is held, the rest of it.
  Status line(std::string_view text) {
    if (length > 0) {
      hold(text);
      text = held;
    } else {
      length = text.size();
    }
    const Status status = read(text);
    begin += length + 1;
    length = 0;
    held.clear();
    if (held.capacity() > (1 << 20)) std::string().swap(held);
    return status;
  }

  Status read(std::string_view text) {
    ++number;
    if (length > kLineBound) {
      lines.too_long(number);
      return {};
    }
    if (text.find_first_not_of(" \t\r") == text.npos) return {};
    Status status = lines.line(text, begin, number);
    if (status) return {};
    refused = true;
    if (number == 1) return status;
    // Another version further down: what was read so far stands.
    sink.issue({Cause::unsupported, "exchange log: " + status.error().message + "; the rest is not read", number, 0});
    return {};
  }
};

ExchangeLogReader::ExchangeLogReader(ExchangeSink& sink) : state_(std::make_unique<State>(sink)) {}
ExchangeLogReader::~ExchangeLogReader() = default;

Status ExchangeLogReader::feed(Bytes bytes) {
  State& state = *state_;
  std::string_view text = as_text(bytes);
  while (!text.empty() && !state.refused) {
    const size_t end = text.find('\n');
    if (end == text.npos) {
      state.hold(text);
      break;
    }
    if (const Status read = state.line(text.substr(0, end)); !read) return read;
    text.remove_prefix(end + 1);
  }
  return {};
}

Status ExchangeLogReader::finish() {
  State& state = *state_;
  if (std::exchange(state.finished, true)) return {};
  if (state.length > 0 && !state.refused) {
    if (const Status read = state.line({}); !read) return read;
  }
  state.lines.finish();
  return {};
}

bool ExchangeLogReader::ended() const { return state_->lines.ended(); }

}  // namespace vitrine
