// A small world for audit tests: the shipped taxonomy, invented companies and
// texts, and requests written down as data instead of packets.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "audit/evaluate.h"
#include "audit/flow.h"
#include "base/file.h"

namespace vitrine::testing {

inline const Taxonomy& taxonomy() {
  static const Taxonomy loaded = [] {
    auto result = Taxonomy::load(std::string(VITRINE_SOURCE_DIR) + "/policies/taxonomy.yaml");
    if (!result) throw std::runtime_error(result.error().to_string());
    return std::move(*result);
  }();
  return loaded;
}

inline constexpr const char* kRecipients = R"(recipients: 1
entities:
  - {id: chatco, name: "ChatCo", country: CN, domains: [chat.test], service: chat, categories: [first-party], kind: first-party, source: "test", date: 2026-01}
  - {id: meter, name: "Meter", country: SG, domains: [meter.test], categories: [analytics], kind: processor, source: "test", date: 2026-01}
  - {id: guard, name: "Guard", country: CN, domains: [guard.test], categories: [anti-fraud], kind: processor, source: "test", date: 2026-01}
  - {id: adhouse, name: "Ad House", country: US, domains: [ads.test], categories: [advertising], kind: vendor, source: "test", date: 2026-01, parent: adgroup}
  - {id: adgroup, name: "Ad Group", country: US, domains: [], categories: [advertising], kind: vendor, source: "test", date: 2026-01}
  - {id: edge, name: "Edge CDN", country: US, domains: [], cnames: [edge-cdn.test], categories: [cdn], kind: infrastructure, source: "test", date: 2026-01}
  - {id: paper, name: "Paper", country: DE, domains: [paper.test], categories: [business-partner], kind: vendor, source: "test", date: 2026-01}
categories:
  - {id: first-party, broader: null, definition: "x"}
  - {id: service-provider, broader: null, definition: "x"}
  - {id: analytics, broader: service-provider, definition: "x"}
  - {id: anti-fraud, broader: service-provider, definition: "x", encrypted_profiles: true}
  - {id: cdn, broader: service-provider, definition: "x"}
  - {id: business-partner, broader: null, definition: "x"}
  - {id: advertising, broader: business-partner, definition: "x"}
)";

inline constexpr const char* kRegions = R"(regions: 1
lists:
  - {id: EEA, title: "EEA", members: [DE, FR], reference: "x", reference_date: 2020-02-01}
adequacy:
  - id: eu-adequacy
    title: "x"
    reference_date: 2025-12-31
    countries:
      - {country: KR, scope: "full", reference: "x", since: 2021-12-17, until: null}
      - {country: US, scope: "certified organisations", reference: "x", since: 2023-07-10, until: null}
      - {country: GB, scope: "full", reference: "x", since: 2021-06-28, until: 2025-01-01}
)";

// A policy file around statements and cookies given as YAML flow maps, one per line.
struct PolicyText {
  std::string file = "chat/2026-01-01.yaml", kind = "privacy", title = "Privacy Policy", language = "en";
  std::string services = "[web, app]", regions = "[world]", accounts = "[consumer]";
  std::string updated = "2026-01-01", effective = "null", first_seen = "2026-01-02", last_seen = "2026-12-31";
  std::vector<std::string> statements, cookies, missing;

  std::string yaml() const {
    auto list = [](const std::vector<std::string>& rows) {
      std::string out = rows.empty() ? " []\n" : "\n";
      for (const std::string& row : rows) out += "  - " + row + "\n";
      return out;
    };
    return "policy: 1\npublisher: {id: chat, name: ChatCo, entities: [{id: chatco, name: ChatCo, country: CN}, "
           "{id: chatco-two, name: ChatCo Two, country: CN}]}\n"
           "document: {kind: " +
           kind + ", title: \"" + title + "\", language: " + language +
           ", url: null}\n"
           "applies: {services: " +
           services + ", regions: " + regions + ", accounts: " + accounts +
           ", controller: {default: chatco}}\n"
           "dates: {updated: " +
           updated + ", effective: " + effective + ", first_seen: " + first_seen + ", last_seen: " + last_seen +
           "}\n"
           "record: {source: \"test\", recorded: 2026-01-02, file: chat.md, sha256: \"" +
           std::string(64, 'a') +
           "\"}\n"
           "complete: " +
           (missing.empty() ? "true" : "false") + "\nmissing:" + list(missing) + "statements:" + list(statements) +
           "cookies:" + list(cookies);
  }
  Policy parse() const {
    auto policy = parse_policy(yaml(), file, taxonomy());
    if (!policy) throw std::runtime_error(policy.error().to_string() + "\n" + yaml());
    return std::move(*policy);
  }
};

// A statement as one line; `more` adds optional keys.
inline std::string statement(const std::string& id, const std::string& action, const std::string& data,
                             const std::string& recipient, const std::string& more = {},
                             const std::string& channel = "automatic", const std::string& trigger = "always",
                             const std::string& countries = "[]") {
  return "{id: " + id + ", action: " + action + ", data: [" + data + "], recipient: " + recipient +
         ", channel: " + channel + ", trigger: " + trigger + ", countries: " + countries + ", quote: \"quote of " + id +
         "\"" + (more.empty() ? "" : ", " + more) + "}";
}

inline Timestamp at(double seconds) {  // after 2026-03-01T10:00:00Z
  return Timestamp{parse_rfc3339("2026-03-01T10:00:00Z")->ns + static_cast<int64_t>(seconds * 1e9)};
}

struct SentValue {
  std::string type, value = "value";
  Observation observation = Observation::probable;
  std::string path = "body|json/x";
  Location location = Location::body;
  std::string decided_by = "test-rule";
  ValueType value_type = ValueType::string;
};

struct Request {
  ConnectionId connection = 1;
  std::string host = "chat.test";
  double time = 10;
  std::vector<SentValue> values;
  std::string referer, origin, initiator, process, method = "POST", path = "/api";
  std::vector<std::pair<std::string, std::string>> headers, response_headers;
  uint16_t tls = 0x0304;  // 0 = without TLS
  std::string server = "203.0.113.10";
  uint64_t opaque = 0, no_key = 0;  // client → server bytes
  uint32_t ordinal = 1;
  bool keep_open = false;  // more requests on the same connection follow
};

inline void feed(FlowCollector& collector, const Request& request) {
  ConnectionInfo connection;
  connection.id = request.connection;
  connection.first_packet = request.connection;
  connection.opened = at(request.time);
  connection.client = {IpAddress::parse("198.51.100.7"), 50000};
  connection.server = {IpAddress::parse(request.server), 443};
  connection.tls = request.tls != 0;
  connection.tls_info.version = request.tls;
  if (request.tls) connection.tls_info.sni = request.host;
  connection.protocol = "http/1.1";
  connection.overhead[0].add(Cause::decoded, 500);
  connection.overhead[0].add(Cause::no_key, request.no_key);

  Exchange exchange;
  exchange.id = {request.connection, request.ordinal};
  exchange.connection = &connection;
  exchange.protocol = Protocol::http11;
  exchange.method = request.method;
  exchange.scheme = request.tls ? "https" : "http";
  exchange.authority = exchange.host = request.host;
  exchange.path = request.path;
  exchange.referer = request.referer;
  exchange.origin = request.origin;
  exchange.initiator = request.initiator;
  exchange.process = connection.process = request.process;

  if (request.no_key == 0) {
    auto part = [&](Part::Kind kind, Direction direction, const std::vector<std::pair<std::string, std::string>>& from,
                    const std::vector<SentValue>& values) {
      std::vector<HeaderField> headers;
      for (const auto& [name, value] : from) headers.push_back({name, value, 0, 0});
      Part p;
      p.kind = kind;
      p.direction = direction;
      p.time = at(request.time);
      p.first_packet = p.last_packet = request.connection + 1;
      p.headers = headers;
      collector.begin_part(exchange, p);
      OriginId node = 0;
      for (const SentValue& sent : values) {
        Field field;
        field.time = p.time;
        field.direction = direction;
        field.exchange = &exchange;
        field.location = sent.location;
        field.path = sent.path;
        field.value = sent.value;
        field.origin = ++node;
        field.packet = p.last_packet;
        field.type = taxonomy().find(sent.type);
        field.observation = field.type ? sent.observation : Observation::none;
        field.decided_by = sent.decided_by;
        field.value_type = sent.value_type;
        collector.field(field);
      }
      collector.end_part(exchange, p);
    };
    part(Part::Kind::headers, Direction::client_to_server, request.headers, {});
    part(Part::Kind::body, Direction::client_to_server, {}, request.values);
    part(Part::Kind::headers, Direction::server_to_client, request.response_headers, {});
    exchange.message(Direction::client_to_server).bytes.add(Cause::decoded, 1000 + request.opaque);
    collector.exchange_closed(exchange, CloseReason::complete, {request.opaque, 0});
  }
  if (!request.keep_open) collector.connection_closed(connection);
}

// Inputs with the companies above and, by default, a web user in DE who
// launched, consented, logged in, typed and submitted.
class World {
 public:
  World() {
    inputs.taxonomy = &taxonomy();
    check(inputs.recipients.add(kRecipients, "recipients.yaml"));
    check(inputs.recipients.check());
    inputs.regions = *Regions::parse(kRegions, "regions.yaml");
    inputs.case_key = std::string(32, 'k');
    inputs.clients = {{"chat-web", "chat", "web", {"chat.test", "*.chat.test", "t.meter.test"}}};
    inputs.files = {{"test.pcapng", std::string(64, '0'), "pcapng", 1, 1, false, at(0), at(100)}};
    Context& context = inputs.context;
    context.given = true;
    context.service = "chat";
    context.client = "chat-web";
    context.country = "DE";
    context.account = "consumer";
    context.steps = {{"launch", at(0), ""},
                     {"consent-accepted", at(20), ""},
                     {"login", at(30), ""},
                     {"typing-start", at(40), ""},
                     {"submit", at(50), ""}};
  }
  template <class T>
  static void check(const T& result) {
    if (!result) throw std::runtime_error(result.error().to_string());
  }
  void rule(const std::string& test, const std::string& more = {}) {
    auto file = parse_rules(
        "rules_file: 1\nid: law\ntitle: \"Law\"\ndisclaimer: \"Own reading\"\nrules:\n"
        "  - {id: rule, reference: \"1\", reference_date: 2020-01-01, applies_when: {user_countries: " +
            countries + ", services: [any]}, inference: indicator, evidence: \"x\", test: {" + test + "}, needs: [" +
            more + "], open_questions: [], message: {en: \"{type} to {recipient}\", ko: \"{recipient}: {type}\"}}\n",
        "law.yaml", taxonomy());
    check(file);
    inputs.rules = {*file};
  }
  AuditResult run(const std::vector<Request>& requests, size_t shards = 1) const {
    std::vector<FlowCollector> collectors;
    for (size_t i = 0; i < shards; ++i) collectors.emplace_back(inputs);
    for (const Request& request : requests) feed(collectors[request.connection % shards], request);
    for (size_t i = 1; i < shards; ++i) collectors[0].merge(std::move(collectors[i]));
    return evaluate(inputs, std::move(collectors[0]), {});
  }

  AuditInputs inputs;
  std::string countries = "[any]";
};

}  // namespace vitrine::testing
