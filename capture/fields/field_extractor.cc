#include "capture/fields/field_extractor.h"

#include <unordered_map>

#include "capture/fields/extraction.h"

namespace vitrine {
namespace {

struct ExchangeIdHash {
  size_t operator()(const ExchangeId& id) const {
    return static_cast<size_t>((id.connection * 0x9e3779b97f4a7c15ull) ^ (uint64_t{id.ordinal} << 32 | id.ordinal));
  }
};

}  // namespace

struct FieldExtractor::State {
  // The connection itself, exchange ordinal 0.
  struct Connection {
    Exchange exchange;
    ExchangeFields fields;
    bool addresses_told = false, client_hello_told = false, server_hello_told = false;
  };

  State(FieldSink& sink, ExtractLimits limits_given)
      : limits(limits_given), patterns(limits_given.patterns), extraction(sink, limits, patterns) {}

  ExchangeFields& fields_of(const ExchangeId& id) {
    if (last != nullptr && last->id == id) return *last;
    auto& slot = exchanges[id];
    if (slot == nullptr) {
      if (spare.empty()) {
        slot = std::make_unique<ExchangeFields>();
      } else {
        slot = std::move(spare.back());
        spare.pop_back();
        *slot = ExchangeFields{};
      }
      slot->id = id;
    }
    last = slot.get();
    return *last;
  }

  const ExchangeFields* find(const ExchangeId& id) const {
    if (last != nullptr && last->id == id) return last;
    if (const auto it = exchanges.find(id); it != exchanges.end()) return it->second.get();
    if (id.ordinal == 0) {
      if (const auto it = connections.find(id.connection); it != connections.end()) return &it->second->fields;
    }
    return nullptr;
  }

  void forget_closed() {
    if (!has_closed) return;
    has_closed = false;
    const auto it = exchanges.find(closed);
    if (it == exchanges.end()) return;
    if (last == it->second.get()) last = nullptr;
    if (spare.size() < 64 && it->second->origins.size() < 4096) {
      it->second->origins.clear();
      spare.push_back(std::move(it->second));
    }
    exchanges.erase(it);
  }

  Connection& connection_of(const ConnectionInfo& info) {
    auto& slot = connections[info.id];
    if (slot == nullptr) {
      slot = std::make_unique<Connection>();
      slot->exchange.id = slot->fields.id = {info.id, 0};
      slot->exchange.opened = info.opened;
      slot->exchange.first_packet = slot->exchange.last_packet = info.first_packet;
      slot->exchange.process = info.process;
    }
    slot->exchange.connection = &info;
    return *slot;
  }

  template <class Emit>
  void tell(Connection& connection, Timestamp time, uint64_t packet, Emit emit) {
    Part part;
    part.time = time;
    part.first_packet = part.last_packet = packet;
    extraction.begin(connection.exchange, part, connection.fields);
    emit();
    extraction.end();
  }

  void tell_addresses(const ConnectionInfo& info, std::string_view host) {
    Connection& connection = connection_of(info);
    if (connection.addresses_told) return;
    connection.addresses_told = true;
    connection.exchange.host = !host.empty() ? std::string(host) : info.server.ip.to_string();
    tell(connection, info.opened, info.first_packet, [&] {
      const auto endpoint = [&](const Endpoint& end, std::string_view ip, std::string_view port, Direction direction) {
        if (end.ip.family != 0)
          extraction.plain(Location::connection, ip, end.ip.to_string(), Decoder::connection, {}, direction);
        if (end.port != 0) {
          extraction.plain(Location::connection, port, std::to_string(end.port), Decoder::connection, {}, direction,
                           ValueType::number);
        }
      };
      endpoint(info.client, "client-ip", "client-port", Direction::client_to_server);
      endpoint(info.server, "server-ip", "server-port", Direction::server_to_client);
    });
  }

  void tell_client_hello(const ConnectionInfo& info) {
    const TlsInfo& tls = info.tls_info;
    Connection& connection = connection_of(info);
    connection.client_hello_told = true;
    connection.exchange.host = !tls.sni.empty() ? tls.sni : connection.exchange.host;
    tell(connection, info.opened, info.first_packet, [&] {
      const auto field = [&](std::string_view name, std::string_view value, ValueType type = ValueType::string) {
        if (!value.empty()) {
          extraction.plain(Location::tls, name, value, Decoder::tls_hello, tls.client_hello,
                           Direction::client_to_server, type);
        }
      };
      field("sni", tls.sni);
      std::string offered;
      for (const std::string& protocol : tls.alpn_offered) offered += (offered.empty() ? "" : ",") + protocol;
      field("alpn-offered", offered);
      field("ech", tls.ech_offered ? "true" : "", ValueType::boolean);
      field("ja3", tls.ja3);
      field("ja3-text", tls.ja3_text);
      field("ja4", tls.ja4);
    });
  }

  void tell_server_hello(const ConnectionInfo& info) {
    const TlsInfo& tls = info.tls_info;
    Connection& connection = connection_of(info);
    connection.server_hello_told = true;
    tell(connection, info.opened, info.first_packet, [&] {
      const auto field = [&](std::string_view name, std::string_view value) {
        if (!value.empty())
          extraction.plain(Location::tls, name, value, Decoder::connection, {}, Direction::server_to_client);
      };
      field("version", tls.version != 0 ? tls_version_text(tls.version) : std::string());
      field("cipher", tls.cipher_name);
      field("alpn", tls.alpn);
      for (const std::string& name : tls.certificate_names) field("certificate-name", name);
    });
  }

  const ExtractLimits limits;
  PatternTable patterns;
  Extraction extraction;
  std::unordered_map<ExchangeId, std::unique_ptr<ExchangeFields>, ExchangeIdHash> exchanges;
  std::vector<std::unique_ptr<ExchangeFields>> spare;
  std::unordered_map<ConnectionId, std::unique_ptr<Connection>> connections;
  ExchangeFields* last = nullptr;
  ExchangeId closed;
  bool has_closed = false;
};

FieldExtractor::FieldExtractor(FieldSink& fields, ExtractLimits limits)
    : state_(std::make_unique<State>(fields, limits)) {}
FieldExtractor::~FieldExtractor() = default;

void FieldExtractor::connection(const ConnectionInfo& info, ConnectionEvent event) {
  switch (event) {
    case ConnectionEvent::opened:
      // Addresses wait until a name for the server is known: a hello, a request, or the end.
      state_->connection_of(info);
      return;
    case ConnectionEvent::hello:
      state_->tell_addresses(info, info.tls_info.sni);
      if (info.tls_info.client_hello_seen && !state_->connection_of(info).client_hello_told)
        state_->tell_client_hello(info);
      return;
    case ConnectionEvent::closed: {
      state_->tell_addresses(info, info.tls_info.sni);
      const TlsInfo& tls = info.tls_info;
      const State::Connection& known = state_->connection_of(info);
      if (tls.client_hello_seen && !known.client_hello_told) state_->tell_client_hello(info);
      // What the server chose, and its certificate, may come later than the first hello event.
      if (tls.server_hello_seen && !known.server_hello_told) state_->tell_server_hello(info);
      state_->connections.erase(info.id);
      return;
    }
  }
}

void FieldExtractor::opened(const Exchange& exchange) {
  if (exchange.connection != nullptr) state_->tell_addresses(*exchange.connection, exchange.host);
}

void FieldExtractor::part(const Exchange& exchange, const Part& part) {
  state_->extraction.part(exchange, part, state_->fields_of(exchange.id));
}

void FieldExtractor::closed(const Exchange& exchange, CloseReason) {
  state_->forget_closed();
  state_->closed = exchange.id;
  state_->has_closed = true;
}

void FieldExtractor::dns(const ConnectionInfo& info, const DnsName& name) {
  state_->tell_addresses(info, {});
  State::Connection& connection = state_->connection_of(info);
  state_->tell(connection, name.time, name.packet, [&] {
    state_->extraction.plain(Location::dns, "name", name.name, Decoder::dns, name.span, name.direction);
    state_->extraction.plain(Location::dns, "type", name.type, Decoder::dns, name.span, name.direction);
  });
}

uint64_t FieldExtractor::opaque_bytes(const Exchange& exchange, Direction direction) const {
  const ExchangeFields* fields = state_->find(exchange.id);
  if (fields == nullptr) return 0;
  return std::min(fields->opaque[static_cast<size_t>(direction)], exchange.message(direction).bytes[Cause::decoded]);
}

const OriginTable* FieldExtractor::origins(const ExchangeId& id) const {
  const ExchangeFields* fields = state_->find(id);
  return fields == nullptr ? nullptr : &fields->origins;
}

const PatternTable& FieldExtractor::patterns() const { return state_->patterns; }

void FieldExtractor::set_issues(IssueSink* issues) { state_->extraction.set_issues(issues); }

}  // namespace vitrine
