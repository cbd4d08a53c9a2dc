// Rules about what was sent: how, when, to whom, to where.
#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "audit/context.h"
#include "audit/rule_tester.h"

namespace vitrine {
namespace {

// Is the endpoint in an allow list of host globs, addresses and prefixes?
bool prefix_holds(std::string_view prefix, const IpAddress& address) {
  const size_t slash = prefix.find('/');
  const IpAddress base = IpAddress::parse(prefix.substr(0, slash));
  if (base.family == 0 || base.family != address.family) return false;
  unsigned bits = base.family == 4 ? 32 : 128;
  if (slash != std::string_view::npos) {
    const std::string_view digits = prefix.substr(slash + 1);
    unsigned given = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), given);
    if (error != std::errc{} || end != digits.data() + digits.size() || given > bits) return false;
    bits = given;
  }
  for (unsigned bit = 0; bit < bits; ++bit) {
    const unsigned mask = 0x80u >> (bit % 8);
    if ((base.bytes[bit / 8] & mask) != (address.bytes[bit / 8] & mask)) return false;
  }
  return true;
}

bool allowed(const std::vector<std::string>& allow, const EndpointKey& endpoint) {
  return std::any_of(allow.begin(), allow.end(), [&](const std::string& each) {
    const std::string_view text = each;
    if (IpAddress::parse(text.substr(0, text.find('/'))).family != 0) return prefix_holds(text, endpoint.server.ip);
    return !endpoint.name.empty() && host_matches(text, endpoint.name);
  });
}

}  // namespace

void RuleTester::minimisation() {
  std::map<std::string, std::set<std::string>> recipients;  // of each type
  each_flow([&](const Flow& flow, TypeId type) {
    if (in(test_.types, type) && flow.observation != Observation::unconfirmed) {
      recipients[flow.type].insert(flow.recipient);
    }
  });
  each_flow([&](const Flow& flow, TypeId type) {
    if (!in(test_.types, type)) return;
    if (in_categories(flow.recipient) || recipients[flow.type].size() > test_.max_recipients) add(hit_of(flow));
  });
}

// One hit for each way that is told: the values that went that way, not others
// of the same flow.
void RuleTester::transport() {
  each_flow([&](const Flow& flow, TypeId type) {
    if (!in(test_.types, type)) return;
    const Sensitivity sensitivity = e_.taxonomy().node(type).sensitivity;
    const bool credential = sensitivity == Sensitivity::id || sensitivity == Sensitivity::secret;
    auto tell = [&](bool seen, const TransportUse& use, const char* note) {
      if (!seen) return;
      RuleHit hit = hit_of(flow);
      hit.note = note;
      hit.count = use.count;
      hit.observation = use.observation;
      hit.evidence = use.evidence;
      if (!use.evidence.empty()) hit.host = use.evidence.front().host;
      add(std::move(hit));
    };
    const TransportView& on = flow.transport;
    tell(test_.cleartext && on.cleartext, on.cleartext_use, "cleartext");
    tell(test_.min_tls != 0 && on.lowest_tls != 0 && on.lowest_tls < test_.min_tls, on.lowest_tls_use, "tls-version");
    tell(test_.credentials_in_url && credential && on.in_url, on.in_url_use, "in-url");
  });
}

void RuleTester::type_beside() {
  each_flow([&](const Flow& flow, TypeId type) {
    if (!e_.taxonomy().covers(test_.type, type)) return;
    const Flow* surest = nullptr;
    for (const Flow& other : e_.result.flows) {
      if (other.recipient != flow.recipient || other.id == flow.id || !in(test_.beside, type_of(other))) continue;
      if (surest == nullptr || other.observation > surest->observation) surest = &other;
    }
    if (surest == nullptr) return;
    RuleHit hit = hit_of(flow);
    hit.note = surest->type;
    hit.observation = std::min(flow.observation, surest->observation);
    add_evidence(hit.evidence, surest->evidence);
    add(std::move(hit));
  });
}

namespace {

// Evidence on the wanted side of a marker; empty = nothing lies there.
std::vector<Evidence> on_side(const std::vector<Evidence>& first, const std::optional<Evidence>& last, Timestamp marker,
                              bool before) {
  std::vector<Evidence> all = first, kept;
  if (last) add_evidence(all, {*last}, all.size() + 1);
  for (const Evidence& item : all) {
    if (before ? item.time < marker : marker < item.time) kept.push_back(item);
  }
  return kept;
}

}  // namespace

// The surest values on that side: what was certain only on the other side of the
// marker makes nothing certain here.
std::optional<RuleHit> RuleTester::hit_on_side(const Flow& flow, Timestamp at, bool before) const {
  auto there = [&](Timestamp first, Timestamp last) { return before ? first < at : at < last; };
  RuleHit hit = hit_of(flow);
  if (there(flow.surest_first, flow.surest_last)) {
    hit.evidence = on_side(flow.evidence, flow.last_evidence, at, before);
  } else {
    const auto values = std::find_if(flow.weaker.begin(), flow.weaker.end(),
                                     [&](const WeakerValues& each) { return there(each.first, each.last); });
    if (values == flow.weaker.end()) return std::nullopt;
    hit.observation = values->observation;
    hit.evidence = on_side(values->evidence, values->last_evidence, at, before);
  }
  if (!hit.evidence.empty()) hit.host = hit.evidence.front().host;
  return hit;
}

void RuleTester::marker() {
  const bool before = test_.kind == TestKind::before_marker;
  const Timestamp at = *e_.marker(test_.marker);
  auto on = [&](Timestamp first, Timestamp last) { return before ? first < at : at < last; };
  each_flow([&](const Flow& flow, TypeId type) {
    if (!in(test_.types, type)) return;
    if (auto hit = hit_on_side(flow, at, before)) add(std::move(*hit));
  });
  if (test_.third_party_requests) third_party_requests(at, before);
  if (test_.cookies == RuleTest::Cookies::none) return;
  for (const CookieRow& row : e_.result.cookies) {
    if (!row.attributed || !on(row.first, row.last)) continue;
    // Only the vendor's own table makes a cookie non-essential.
    if (test_.cookies == RuleTest::Cookies::non_essential && (!row.table_policy || row.table_category == "necessary")) {
      continue;
    }
    RuleHit hit;
    hit.type = "identifier.cookie";
    hit.recipient = row.recipient;
    hit.host = row.hosts.empty() ? row.domain : row.hosts.front();
    hit.quote = row.quote;
    hit.note = row.name;
    hit.count = 1;
    hit.observation = Observation::certain;
    hit.evidence = on_side(row.evidence, std::nullopt, at, before);
    add(std::move(hit));
  }
}

void RuleTester::third_party_requests(Timestamp at, bool before) {
  std::map<std::string, RuleHit> by_recipient;
  for (const auto& [key, context] : e_.flows.contexts()) {
    if (context.requests == 0 || e_.attributor->of(key) == Attribution::unattributed) continue;
    const std::string recipient = e_.recipients->find(key.host);
    if (recipient.empty() || first_party(recipient) || info(recipient).role == RecipientRole::local) continue;
    const std::vector<Evidence> seen = on_side(context.evidence, context.last_request, at, before);
    if (seen.empty()) continue;
    RuleHit& hit = by_recipient[recipient];
    hit.recipient = recipient;
    if (hit.host.empty() || key.host < hit.host) hit.host = key.host;
    hit.note = "request";
    hit.count += seen.size();  // at least: only the first and the last requests are kept
    hit.observation = Observation::certain;
    add_evidence(hit.evidence, seen);
  }
  for (auto& [key, hit] : by_recipient) add(std::move(hit));
}

void RuleTester::draft() {
  const Timestamp submit = *e_.marker("submit");
  const TypeId type = e_.taxonomy().find("content.draft");
  each_flow([&](const Flow& flow, TypeId each) {
    if (!e_.taxonomy().covers(type, each)) return;
    if (auto hit = hit_on_side(flow, submit, true)) add(std::move(*hit));
  });
}

void RuleTester::gpc() {
  std::vector<Evidence> signals;
  for (const auto& [key, context] : e_.flows.contexts()) {
    if (e_.attributor->of(key) != Attribution::unattributed) add_evidence(signals, context.gpc_evidence);
  }
  if (signals.empty()) {
    refuse(RuleStatus::not_testable, {"reason.no-signal", {}});
    return;
  }
  each_flow([&](const Flow& flow, TypeId type) {
    if (!in(test_.types, type) || !in_categories(flow.recipient)) return;
    RuleHit hit = hit_of(flow);
    add_evidence(hit.evidence, {signals.front()}, 6);
    add(std::move(hit));
  });
}

void RuleTester::egress() {
  for (const auto& [key, sight] : e_.flows.endpoints()) {
    if (allowed(test_.allow, key)) continue;
    RuleHit hit;
    hit.recipient = e_.recipients->resolve(key.name, key.server.ip);
    hit.host = key.name.empty() ? key.server.ip.to_string() : key.name;
    hit.note = std::string(to_string(key.transport)) + " " + key.server.to_string() +
               (key.protocol.empty() ? "" : " " + key.protocol);
    hit.count = sight.connections;
    hit.observation = Observation::certain;
    Evidence item;
    item.origin = {{sight.first_connection, 0}, 0};
    item.packet = sight.first_packet;
    item.time = sight.first;
    item.host = hit.host;
    hit.evidence.push_back(std::move(item));
    add(std::move(hit));
  }
}

void RuleTester::secret() {
  for (const auto& [key, sight] : e_.flows.canaries()) {
    RuleHit hit;
    hit.host = key.host;
    hit.recipient = e_.recipients->find(key.host);
    hit.note = key.canary + " (" + key.encoding + ")";
    hit.count = sight.count;
    hit.observation = Observation::certain;
    hit.evidence = sight.evidence;
    add(std::move(hit));
  }
}

}  // namespace vitrine
