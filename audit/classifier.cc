#include "audit/classifier.h"

#include <algorithm>
#include <bit>

namespace vitrine {
namespace {

constexpr std::string_view kDecidedBy[kValueChecks] = {
    "check:uuid",        "check:ipv4_public",   "check:ipv4_private",
    "check:ipv6",        "check:mac",           "check:imei",
    "check:user_agent",  "check:timezone_iana", "check:timezone_offset",
    "check:screen_size", "check:locale",        "check:email",
    "check:phone_e164",  "check:jwt",           "check:high_entropy_token",
    "check:image_magic", "check:audio_magic",   "check:semver",
    "check:url",         "check:iso_datetime",  "check:epoch_ms"};

// What the report prints beside an observation; the order is what counts.
float confidence_of(Observation observation) {
  switch (observation) {
    case Observation::certain: return 1.0f;
    case Observation::probable: return 0.8f;
    case Observation::unconfirmed: return 0.4f;
    case Observation::none: break;
  }
  return 0;
}

bool is_address(CheckSet checks) {
  return checks.has(ValueCheck::ipv4_public) || checks.has(ValueCheck::ipv4_private) || checks.has(ValueCheck::ipv6);
}

std::string_view url_path(const Exchange& exchange) {
  const std::string_view path = exchange.path;
  return path.substr(0, path.find('?'));
}

}  // namespace

Classifier::Classifier(const Taxonomy& taxonomy, const ClientRules& rules, FieldSink& next)
    : taxonomy_(taxonomy), next_(next), matcher_(rules) {}

void Classifier::enter(const Exchange* exchange) {
  exchange_ = exchange;
  entered_ = true;
  if (exchange) {
    exchange_id_ = exchange->id;
    set_ = matcher_.rule_set(exchange->method, exchange->host, url_path(*exchange));
  } else {
    set_ = matcher_.rule_set({}, {}, {});
  }
}

void Classifier::begin_part(const Exchange& exchange, const Part& part) {
  enter(&exchange);
  next_.begin_part(exchange, part);
}

void Classifier::end_part(const Exchange& exchange, const Part& part) {
  next_.end_part(exchange, part);
  entered_ = false;
}

void Classifier::field(const Field& original) {
  if (!entered_ || original.exchange != exchange_) enter(original.exchange);
  Field field = original;
  if (field.value.empty() || field.value_type == ValueType::null || field.value_type == ValueType::container) {
    // A name without a value transmits nothing ("password": null).
  } else if (const FieldRule* rule = matcher_.decide(set_, field)) {
    field.type = rule->type;
    field.decided_by = rule->id;
    if (rule->type != 0) {
      field.observation = rule->observation;
      // A value that nobody can look at is not certain to be what its name says.
      if (field.withheld) field.observation = std::min(field.observation, Observation::probable);
      field.confidence = confidence_of(field.observation);
      if (field.observation != Observation::certain) confirm(field);
    }
  } else if (!field.cut && !field.withheld && field.value_type != ValueType::boolean &&
             field.location != Location::tls && field.location != Location::dns) {
    // What a handshake or a DNS question holds is fixed by its protocol: a JA3
    // digest has the form of a token and is none.
    by_form(field);
  }
  next_.field(field);
}

void Classifier::by_form(Field& field) const {
  const CheckSet checks = detect(field.value, field.value_type);
  if (checks.empty()) return;
  const CheckBinding* best = nullptr;
  size_t best_check = 0;
  for (uint32_t bits = checks.bits(); bits != 0; bits &= bits - 1) {
    const auto check = static_cast<size_t>(std::countr_zero(bits));
    const CheckBinding& bound = taxonomy_.binding(static_cast<ValueCheck>(check));
    if (bound.type == 0 || (best && bound.observation <= best->observation)) continue;
    best = &bound;
    best_check = check;
  }
  if (!best) return;
  field.type = best->type;
  field.observation = best->observation;
  field.decided_by = kDecidedBy[best_check];
  if (is_address(checks) && field.exchange && field.exchange->connection) {
    const ConnectionInfo& connection = *field.exchange->connection;
    const IpAddress ip = IpAddress::parse(field.value);
    if (ip.family != 0 && ip == connection.client.ip) {
      field.observation = Observation::certain;
    } else if (ip.family != 0 && ip == connection.server.ip) {
      // The server's own address says nothing about the client.
      field.type = 0;
      field.observation = Observation::none;
    }
  }
  field.confidence = confidence_of(field.observation);
}

void Classifier::confirm(Field& field) const {
  if (field.cut || field.withheld) return;
  const CheckSet checks = detect(field.value, field.value_type);
  for (uint32_t bits = checks.bits(); bits != 0; bits &= bits - 1) {
    const auto check = static_cast<ValueCheck>(std::countr_zero(bits));
    const CheckBinding& bound = taxonomy_.binding(check);
    if (bound.type != field.type) continue;
    bool sure = bound.observation == Observation::certain;
    if (!sure && is_address(checks) && field.exchange && field.exchange->connection) {
      const IpAddress ip = IpAddress::parse(field.value);
      sure = ip.family != 0 && ip == field.exchange->connection->client.ip;
    }
    if (!sure) continue;
    field.observation = Observation::certain;
    field.confidence = 1.0f;
    return;
  }
}

}  // namespace vitrine
