#include "capture/input/exchange_log.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "base/digest.h"
#include "capture/input/json_tree.h"
#include "capture/input/request_line.h"
#include "capture/origin.h"

namespace vitrine {
namespace {

using Node = JsonTree::Node;

constexpr std::string_view kMagic = "\"vitrine-exchange-log\"";
constexpr size_t kOpenBound = 100'000;  // connections or exchanges followed at a time
constexpr uint64_t kLineBound = 512ull << 20;

bool parse_endpoint(std::string_view text, Endpoint& out) {
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return false;
  std::string_view host = text.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  out.ip = IpAddress::parse(host);
  const std::string_view port = text.substr(colon + 1);
  return out.ip.family != 0 && std::from_chars(port.data(), port.data() + port.size(), out.port).ptr == port.data() + port.size();
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

constexpr std::initializer_list<Cause> kAllCauses = {Cause::decoded,   Cause::no_key,    Cause::unsupported, Cause::gap,
                                                     Cause::truncated, Cause::malformed, Cause::opaque,      Cause::refused};

class LogReader {
 public:
  explicit LogReader(ExchangeSink& sink) : sink_(sink) {}

  void line(Bytes file, uint64_t begin, uint64_t end, uint64_t number) {
    line_ = number;
    begin_ = begin;
    if (end - begin > kLineBound) return bad("line longer than is read");
    const std::string_view text = as_text(file.subspan(begin, end - begin));
    JsonTokenizer json(text);
    if (!tree_.read(json) || tree_.root().kind != JsonToken::Kind::begin_object) {
      return bad(tree_.last_token().kind == JsonToken::Kind::cut ? "line ends inside its object" : "line is not a JSON object");
    }
    const Node* root = &tree_.root();
    const std::string_view type = tree_.string(root, "type");
    if (type == "vitrine-exchange-log") {
      if (tree_.number(root, "version", 0) != 1) sink_.issue({Cause::unsupported, "exchange log: version other than 1", line_, 0});
    } else if (type == "connection") {
      connection(root);
    } else if (type == "open") {
      open(root);
    } else if (type == "part") {
      part(root);
    } else if (type == "close") {
      close(root);
    } else if (type == "connection-closed") {
      connection_closed(root);
    } else if (type == "issue") {
      Cause cause = Cause::malformed;
      parse_name(tree_.string(root, "cause"), kAllCauses, cause);
      sink_.issue({cause, std::string(tree_.string(root, "what")), line_, 0});
    } else {
      bad("unknown line type");
    }
  }

  void finish() {
    while (!exchanges_.empty()) end_exchange(exchanges_.begin(), CloseReason::end_of_capture);
    for (auto& [id, info] : connections_) sink_.connection(*info, ExchangeSink::ConnectionEvent::closed);
    connections_.clear();
  }

 private:
  struct Open {
    Exchange exchange;
  };
  using OpenMap = std::map<std::pair<uint64_t, uint32_t>, std::unique_ptr<Open>>;

  void bad(std::string_view what) {
    sink_.issue({Cause::malformed, "exchange log: " + std::string(what), line_, 0});
  }

  uint64_t integer(const Node* object, std::string_view key) const {
    const Node* node = tree_.find(object, key);
    uint64_t value = 0;
    if (node != nullptr && node->kind == JsonToken::Kind::number) {
      std::from_chars(node->text.data(), node->text.data() + node->text.size(), value);
    }
    return value;
  }

  Timestamp time(const Node* object) const { return parse_rfc3339(tree_.string(object, "time")).value_or(Timestamp{}); }

  void connection(const Node* root) {
    const uint64_t id = integer(root, "connection");
    if (id == 0 || connections_.contains(id)) return bad("connection without a number of its own");
    if (connections_.size() >= kOpenBound) return bad("more open connections than are followed");
    auto info = std::make_unique<ConnectionInfo>();
    info->id = id;
    info->first_packet = line_;
    info->transport = Transport::exchange_log;
    info->opened = time(root);
    parse_endpoint(tree_.string(root, "client"), info->client);
    parse_endpoint(tree_.string(root, "server"), info->server);
    info->process = tree_.string(root, "process");
    info->protocol = tree_.string(root, "protocol");
    if (const Node* tls = tree_.find(root, "tls"); tls != nullptr && tls->kind == JsonToken::Kind::begin_object) {
      info->tls = true;
      TlsInfo& out = info->tls_info;
      out.client_hello_seen = true;
      out.sni = tree_.string(tls, "sni");
      out.alpn = tree_.string(tls, "alpn");
      out.cipher_name = tree_.string(tls, "cipher");
      out.version = static_cast<uint16_t>(integer(tls, "version"));
      out.ja3 = tree_.string(tls, "ja3");
      out.ja4 = tree_.string(tls, "ja4");
      out.ech_offered = tree_.boolean(tls, "ech_offered", false);
      out.decrypted = true;
    }
    ConnectionInfo& kept = *(connections_[id] = std::move(info));
    sink_.connection(kept, ExchangeSink::ConnectionEvent::opened);
    sink_.connection(kept, ExchangeSink::ConnectionEvent::hello);
  }

  void open(const Node* root) {
    const auto connection = connections_.find(integer(root, "connection"));
    const auto ordinal = static_cast<uint32_t>(integer(root, "ordinal"));
    if (connection == connections_.end()) return bad("exchange on a connection that is not open");
    const std::pair key{connection->first, ordinal};
    if (ordinal == 0 || exchanges_.contains(key)) return bad("exchange without an ordinal of its own");
    if (exchanges_.size() >= kOpenBound) return bad("more open exchanges than are followed");
    auto open = std::make_unique<Open>();
    Exchange& exchange = open->exchange;
    exchange.id = {key.first, key.second};
    exchange.connection = connection->second.get();
    exchange.process = connection->second->process;
    exchange.first_packet = exchange.last_packet = line_;
    exchange.opened = time(root);
    exchange.protocol = protocol_named(tree_.string(root, "protocol"));
    exchange.method = tree_.string(root, "method");
    if (!split_url(tree_.string(root, "url"), exchange)) return bad("exchange without a URL");
    sink_.opened(exchange);
    exchanges_[key] = std::move(open);
  }

  OpenMap::iterator find(const Node* root) {
    const auto found = exchanges_.find({integer(root, "connection"), static_cast<uint32_t>(integer(root, "ordinal"))});
    if (found == exchanges_.end()) bad("line for an exchange that is not open");
    return found;
  }

  void part(const Node* root) {
    const auto found = find(root);
    if (found == exchanges_.end()) return;
    Exchange& exchange = found->second->exchange;
    Part part;
    const std::string_view kind = tree_.string(root, "kind");
    if (kind == "headers") part.kind = Part::Kind::headers;
    else if (kind == "body") part.kind = Part::Kind::body;
    else if (kind == "message") part.kind = Part::Kind::message;
    else if (kind == "trailers") part.kind = Part::Kind::trailers;
    else return bad("unknown part kind");
    if (!parse_name(tree_.string(root, "direction"), {Direction::client_to_server, Direction::server_to_client}, part.direction)) {
      return bad("part without a direction");
    }
    part.time = time(root);
    part.first_packet = part.last_packet = line_;
    exchange.last_packet = line_;
    part.text = tree_.boolean(root, "text", false);
    part.complete = tree_.boolean(root, "complete", true);
    parse_name(tree_.string(root, "cause"), kAllCauses, part.cause);
    Message& message = exchange.message(part.direction);
    message.seen = true;
    if (part.kind == Part::Kind::headers || part.kind == Part::Kind::trailers) return headers(root, exchange, part);

    static constexpr Decoder kText[] = {Decoder::exchange_log};
    static constexpr Decoder kBase64[] = {Decoder::exchange_log, Decoder::base64};
    std::string decoded;
    const Node* content = tree_.find(root, "content");
    part.decoders = kText;
    if (content == nullptr) {
      content = tree_.find(root, "content_base64");
      part.decoders = kBase64;
      if (content != nullptr && !decode_base64(content->text, decoded)) return bad("content_base64 is not base64");
    }
    if (content == nullptr || content->kind != JsonToken::Kind::string) return bad("part without content");
    const StreamSpan piece{begin_ + content->offset + 1, content->length >= 2 ? content->length - 2 : 0};
    part.pieces = std::span(&piece, 1);
    part.content = part.decoders.size() == 2 ? as_bytes(decoded) : as_bytes(content->text);
    part.wire_bytes = integer(root, "wire_bytes");
    if (part.wire_bytes == 0) part.wire_bytes = part.content.size();
    message.content_bytes += part.content.size();
    message.wire_bytes += part.wire_bytes;
    if (part.kind == Part::Kind::body) message.sha256 = to_hex(sha256(part.content));
    sink_.part(exchange, part);
  }

  void headers(const Node* root, Exchange& exchange, Part& part) {
    const Node* list = tree_.find(root, "headers");
    if (list == nullptr) return bad("head without headers");
    headers_.clear();
    for (const Node* pair = tree_.first(list); pair != nullptr; pair = tree_.next(pair)) {
      const Node* name = tree_.first(pair);
      const Node* value = name == nullptr ? nullptr : tree_.next(name);
      if (value == nullptr || name->kind != JsonToken::Kind::string || value->kind != JsonToken::Kind::string) continue;
      headers_.push_back({name->text, value->text, static_cast<uint32_t>(value->offset + 1 - list->offset),
                          static_cast<uint32_t>(value->length - 2)});
      note_header(exchange, part.direction, name->text, value->text);
    }
    if (part.direction == Direction::server_to_client) exchange.status = static_cast<int>(integer(root, "status"));
    const StreamSpan piece{begin_ + list->offset, list->length};
    part.pieces = std::span(&piece, 1);
    part.wire_bytes = integer(root, "wire_bytes");
    part.headers = headers_;
    sink_.part(exchange, part);
  }

  void counts(const Node* list, ByteCounts& out) const {
    for (const Node* row = tree_.first(list); row != nullptr; row = tree_.next(row)) {
      Cause cause;
      if (!parse_name(row->key, kAllCauses, cause)) continue;
      uint64_t value = 0;
      std::from_chars(row->text.data(), row->text.data() + row->text.size(), value);
      out.add(cause, value);
    }
  }

  void close(const Node* root) {
    const auto found = find(root);
    if (found == exchanges_.end()) return;
    Exchange& exchange = found->second->exchange;
    exchange.closed = time(root);
    for (const Direction d : {Direction::client_to_server, Direction::server_to_client}) {
      const Node* side = tree_.find(root, to_string(d));
      counts(tree_.find(side, "bytes"), exchange.message(d).bytes);
      exchange.message(d).complete = tree_.boolean(side, "complete", false);
    }
    CloseReason reason = CloseReason::end_of_capture;
    parse_name(tree_.string(root, "reason"),
               {CloseReason::complete, CloseReason::reset, CloseReason::connection_closed, CloseReason::gap,
                CloseReason::malformed, CloseReason::end_of_capture},
               reason);
    end_exchange(found, reason);
  }

  void end_exchange(OpenMap::iterator found, CloseReason reason) {
    sink_.closed(found->second->exchange, reason);
    exchanges_.erase(found);
  }

  void connection_closed(const Node* root) {
    const auto found = connections_.find(integer(root, "connection"));
    if (found == connections_.end()) return bad("end of a connection that is not open");
    ConnectionInfo& info = *found->second;
    for (const Direction d : {Direction::client_to_server, Direction::server_to_client}) {
      counts(tree_.find(root, to_string(d)), info.overhead[static_cast<size_t>(d)]);
    }
    for (auto exchange = exchanges_.lower_bound({info.id, 0}); exchange != exchanges_.end() && exchange->first.first == info.id;) {
      end_exchange(exchange++, CloseReason::connection_closed);
    }
    sink_.connection(info, ExchangeSink::ConnectionEvent::closed);
    connections_.erase(found);
  }

  ExchangeSink& sink_;
  JsonTree tree_;
  uint64_t line_ = 0, begin_ = 0;
  std::vector<HeaderField> headers_;
  std::map<uint64_t, std::unique_ptr<ConnectionInfo>> connections_;
  OpenMap exchanges_;
};

}  // namespace

bool looks_like_exchange_log(Bytes file) {
  const std::string_view head = as_text(file.first(std::min<size_t>(file.size(), 512)));
  const size_t line = std::min(head.find('\n'), head.size());
  return head.starts_with("{") && head.substr(0, line).find(kMagic) != head.npos;
}

Status read_exchange_log(Bytes file, ExchangeSink& sink) {
  LogReader reader(sink);
  uint64_t number = 0;
  for (uint64_t begin = 0; begin < file.size();) {
    const void* found = std::memchr(file.data() + begin, '\n', file.size() - begin);
    const uint64_t end = found == nullptr ? file.size() : static_cast<uint64_t>(static_cast<const uint8_t*>(found) - file.data());
    ++number;
    if (end > begin) reader.line(file, begin, end, number);
    begin = end + 1;
  }
  reader.finish();
  return {};
}

}  // namespace vitrine
