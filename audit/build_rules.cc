// The tests of the rule files over the result. Flows that nothing ties to the
// subject enter only the organisation's tests (egress, planted secrets).
#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <tuple>

#include "audit/context.h"
#include "audit/evaluation.h"
#include "audit/sentences.h"

namespace vitrine {
namespace {

std::string join(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) out.append(out.empty() ? "" : ", ").append(part);
  return out;
}

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

class RuleTester {
 public:
  RuleTester(Evaluation& e, const RuleFile& file, const Rule& rule) : e_(e), rule_(rule), test_(rule.test) {
    out_.file = file.id;
    out_.file_title = file.title;
    out_.disclaimer = file.disclaimer;
    out_.id = rule.id;
    out_.reference = rule.reference;
    out_.reference_date = rule.reference_date;
    out_.evidence_sentence = rule.evidence;
    out_.inference = rule.inference;
    out_.open_questions = rule.open_questions;
    out_.message_en = rule.message_en;
    out_.message_ko = rule.message_ko;
  }

  RuleResult run() {
    if (!applies()) return std::move(out_);
    if (test_.kind == TestKind::document) {
      out_.why = {};
      out_.status = RuleStatus::document;
      out_.why = {"reason.document", {{"reason", test_.reason}}};
      return std::move(out_);
    }
    if (!testable()) return std::move(out_);
    out_.status = RuleStatus::nothing_seen;
    evaluate_test();
    if (!hits_.empty()) publish();
    else if (out_.status == RuleStatus::nothing_seen) look_again();
    return std::move(out_);
  }

 private:
  // ---- does it apply, can it be tested ----
  bool applies() {
    const auto& countries = rule_.user_countries;
    const std::string& country = e_.query.country;
    const bool anywhere = std::find(countries.begin(), countries.end(), "any") != countries.end();
    if (!anywhere && country.empty()) return refuse(RuleStatus::not_testable, {"reason.no-country", {}});
    if (!anywhere && std::none_of(countries.begin(), countries.end(),
                                  [&](const std::string& each) { return e_.inputs.regions.contains(each, country); })) {
      return refuse(RuleStatus::not_applicable,
                    {"reason.other-country", {{"countries", join(countries)}, {"country", country}}});
    }
    const auto& services = rule_.services;
    const bool any_service = std::find(services.begin(), services.end(), "any") != services.end();
    if (!any_service && !e_.platform.empty() &&
        std::find(services.begin(), services.end(), e_.platform) == services.end()) {
      return refuse(RuleStatus::not_applicable, {"reason.other-service", {{"services", join(services)}}});
    }
    return true;
  }

  bool testable() {
    std::set<std::string> needs(rule_.needs.begin(), rule_.needs.end());
    if (!test_.marker.empty()) needs.insert(test_.marker);
    if (test_.kind == TestKind::draft) needs.insert("submit");
    for (const std::string& step : needs) {
      if (!e_.marker(step)) return refuse(RuleStatus::not_testable, {"reason.no-marker", {{"marker", step}}});
    }
    const bool of_subject = test_.kind != TestKind::egress_allow_list && test_.kind != TestKind::planted_secret;
    if (of_subject && e_.service.empty() && e_.inputs.context.processes.empty() && e_.inputs.context.hosts.empty()) {
      return refuse(RuleStatus::not_testable, {"reason.no-service", {}});
    }
    switch (test_.kind) {
      case TestKind::declared_not_observed:
      case TestKind::recipient_undeclared:
      case TestKind::transfer_notice:
      case TestKind::transfer_recipient:
        if (e_.selected.empty()) return refuse(RuleStatus::not_testable, {"reason.no-text", {}});
        break;
      case TestKind::planted_secret:
        if (e_.inputs.context.secrets.empty()) return refuse(RuleStatus::not_testable, {"reason.no-canary", {}});
        break;
      default: break;
    }
    return true;
  }

  bool refuse(RuleStatus status, Sentence why) {
    out_.status = status;
    out_.why = std::move(why);
    return false;
  }

  // ---- helpers over flows ----
  TypeId type_of(const Flow& flow) const { return e_.taxonomy().find(flow.type); }
  bool in(const std::vector<TypeId>& types, TypeId type) const {
    return std::any_of(types.begin(), types.end(), [&](TypeId each) { return e_.taxonomy().covers(each, type); });
  }
  bool personal(TypeId type) const { return !test_.personal_only || (type != 0 && e_.taxonomy().node(type).personal); }
  const RecipientInfo& info(const std::string& key) const { return e_.recipients->at(key); }
  bool first_party(const std::string& key) const { return info(key).role == RecipientRole::first_party; }
  bool in_categories(const std::string& key) const {
    const Entity* entity = e_.view(key).entity;
    return entity != nullptr &&
           std::any_of(test_.categories.begin(), test_.categories.end(),
                       [&](const std::string& each) { return e_.directory().entity_in_category(*entity, each); });
  }
  RuleHit hit_of(const Flow& flow) const {
    RuleHit hit;
    hit.type = flow.type;
    hit.recipient = flow.recipient;
    hit.host = flow.hosts.empty() ? std::string{} : flow.hosts.front();
    hit.count = flow.count;
    hit.observation = flow.observation;
    hit.evidence = flow.evidence;
    return hit;
  }
  void add(RuleHit hit) { hits_.push_back(std::move(hit)); }

  template <class Use>
  void each_flow(Use use) {
    for (const Flow& flow : e_.result.flows) {
      const TypeId type = type_of(flow);
      if (personal(type)) use(flow, type);
    }
  }

  void evaluate_test() {
    switch (test_.kind) {
      case TestKind::verdict: return verdict(test_.verdicts);
      case TestKind::declared_not_observed: return verdict({Verdict::declared_not_observed});
      case TestKind::recipient_undeclared: return recipient_undeclared();
      case TestKind::transfer:
      case TestKind::transfer_notice:
      case TestKind::transfer_recipient: return transfer();
      case TestKind::minimisation: return minimisation();
      case TestKind::transport: return transport();
      case TestKind::type_beside: return type_beside();
      case TestKind::before_marker:
      case TestKind::after_marker: return marker();
      case TestKind::draft: return draft();
      case TestKind::gpc: return gpc();
      case TestKind::egress_allow_list: return egress();
      case TestKind::planted_secret: return secret();
      case TestKind::document: return;
    }
  }

  // Nothing was seen: was everything looked at?
  void look_again() {
    const bool of_flows = test_.kind == TestKind::verdict;
    if (of_flows || test_.kind == TestKind::declared_not_observed) {
      for (const Finding& finding : e_.result.findings) {
        if (finding.verdict != Verdict::not_testable || finding.reasons.empty()) continue;
        if (finding.kind != (of_flows ? FindingKind::flow : FindingKind::declared)) continue;
        const TypeId type = e_.taxonomy().find(finding.type);
        if ((!test_.types.empty() && !in(test_.types, type)) || in(test_.except, type) || !personal(type)) continue;
        refuse(RuleStatus::not_testable, finding.reasons.front());
        return;
      }
    }
    // Where packets went and what the texts declare needs no bytes that were not read.
    if (test_.kind == TestKind::egress_allow_list || test_.kind == TestKind::declared_not_observed) return;
    std::set<std::string> spoken_to;  // beyond neighbour discovery and pings
    for (const auto& [key, sight] : e_.flows.endpoints()) {
      if (key.transport != Transport::other_ip) spoken_to.insert(key.server.ip.to_string());
    }
    uint64_t unread = 0;
    for (const LedgerRow& row : e_.result.ledger) {
      if (row.direction != Direction::client_to_server) continue;
      if (IpAddress::parse(row.host).family != 0 && !spoken_to.count(row.host)) continue;
      unread += row.bytes.undecoded();
    }
    if (const uint64_t places = not_looked_at(e_.result); places != 0) {
      refuse(RuleStatus::not_testable, {"reason.bounds", {{"count", std::to_string(places)}}});
    }
    if (unread != 0) {
      refuse(RuleStatus::not_testable, {"reason.nothing-in-the-rest", {{"bytes", std::to_string(unread)}}});
    }
  }

  void verdict(const std::vector<Verdict>& verdicts) {
    for (const Finding& finding : e_.result.findings) {
      if (std::find(verdicts.begin(), verdicts.end(), finding.verdict) == verdicts.end()) continue;
      if (finding.kind == FindingKind::cookie) continue;
      // Not testable and clear are said of a type that was sent.
      if (finding.kind == FindingKind::declared && finding.verdict != Verdict::declared_not_observed) continue;
      const TypeId type = e_.taxonomy().find(finding.type);
      if ((!test_.types.empty() && !in(test_.types, type)) || in(test_.except, type) || !personal(type)) continue;
      RuleHit hit;
      hit.type = finding.type;
      hit.recipient = finding.recipient;
      hit.finding = finding.id;
      hit.observation = finding.observation;
      hit.evidence = finding.evidence;
      for (const std::string& id : finding.flows) {
        const Flow* flow = e_.result.flow(id);
        hit.count += flow ? flow->count : 0;
        if (flow && hit.host.empty() && !flow->hosts.empty()) hit.host = flow->hosts.front();
      }
      if (!finding.denials.empty()) hit.quote = finding.denials.front().quote;
      else if (!finding.positives.empty()) hit.quote = finding.positives.front().quote;
      add(std::move(hit));
    }
  }

  void recipient_undeclared() {
    bool unknown = false;
    each_flow([&](const Flow& flow, TypeId type) {
      if (first_party(flow.recipient) || info(flow.recipient).role == RecipientRole::local) return;
      const RecipientView view = e_.view(flow.recipient);
      const bool named = std::any_of(e_.statements.begin(), e_.statements.end(), [&](const ApplicableStatement& each) {
        return is_positive(each.statement->action) && each.statement->recipient != "any" &&
               each.statement->channel != Channel::from_third_parties &&
               match_recipient(each, view, e_.directory()) != Match::none;
      });
      if (named) return;
      if (!e_.missing_texts(type).empty()) {
        unknown = true;
        return;
      }
      add(hit_of(flow));
    });
    if (unknown && hits_.empty())
      refuse(RuleStatus::not_testable, {"reason.texts-missing", {{"documents", missing_names()}}});
  }

  std::string missing_names() const {
    std::set<std::string> names;
    for (const Flow& flow : e_.result.flows) {
      for (const std::string& name : e_.missing_texts(e_.taxonomy().find(flow.type))) names.insert(name);
    }
    return join({names.begin(), names.end()});
  }

  // Adequacy on the day of the capture: 0 none, 1 limited (words in `note`), 2 full.
  int adequacy(const std::string& country, std::string& note) const {
    const AdequacyList* list = test_.adequacy.empty() ? nullptr : e_.inputs.regions.adequacy(test_.adequacy);
    if (list == nullptr) return 0;
    for (const AdequacyCountry& each : list->countries) {
      if (each.country != country || each.since > e_.date || (!each.until.empty() && each.until <= e_.date)) continue;
      if (each.scope == "full") return 2;
      note = each.scope;
      return 1;
    }
    return 0;
  }

  void transfer() {
    std::set<std::string> without_country;
    bool unknown_text = false;
    each_flow([&](const Flow& flow, TypeId type) {
      const RecipientInfo& to = info(flow.recipient);
      std::set<std::pair<CountryOf, std::string>> told;
      bool known = false;
      for (const CountryInfo& country : to.countries) {
        if (country.country.empty()) continue;
        known = true;
        if (test_.kind == TestKind::transfer_recipient && country.what != CountryOf::entity) continue;
        if (e_.inputs.regions.contains(test_.outside, country.country)) continue;
        std::string note;
        if (test_.kind == TestKind::transfer && adequacy(country.country, note) == 2) continue;
        if (test_.kind == TestKind::transfer_notice && country_named(country.country)) continue;
        if (test_.kind == TestKind::transfer_recipient && entity_named(flow.recipient)) continue;
        if (test_.kind != TestKind::transfer && !e_.missing_texts(type).empty()) {
          unknown_text = true;
          continue;
        }
        if (!told.emplace(country.what, country.country).second) continue;
        RuleHit hit = hit_of(flow);
        hit.country = country.country;
        hit.country_of = country.what;
        hit.note = note;
        add(std::move(hit));
      }
      if (!known) without_country.insert(flow.recipient);
    });
    if (!hits_.empty()) return;
    if (unknown_text) {
      refuse(RuleStatus::not_testable, {"reason.texts-missing", {{"documents", missing_names()}}});
    } else if (!without_country.empty()) {
      refuse(RuleStatus::not_testable, {"reason.no-ip-country", {{"count", std::to_string(without_country.size())}}});
    }
  }

  bool country_named(const std::string& country) const {
    return std::any_of(e_.statements.begin(), e_.statements.end(), [&](const ApplicableStatement& each) {
      const auto& named = each.statement->countries;
      return std::find(named.begin(), named.end(), country) != named.end();
    });
  }
  bool entity_named(const std::string& recipient) const {
    const RecipientView view = e_.view(recipient);
    return std::any_of(e_.statements.begin(), e_.statements.end(), [&](const ApplicableStatement& each) {
      return is_positive(each.statement->action) && each.statement->recipient != "self" &&
             match_recipient(each, view, e_.directory()) == Match::exact;
    });
  }

  void minimisation() {
    std::map<std::string, std::set<std::string>> recipients;  // of each type
    each_flow([&](const Flow& flow, TypeId type) {
      if (in(test_.types, type)) recipients[flow.type].insert(flow.recipient);
    });
    each_flow([&](const Flow& flow, TypeId type) {
      if (!in(test_.types, type)) return;
      if (in_categories(flow.recipient) || recipients[flow.type].size() > test_.max_recipients) add(hit_of(flow));
    });
  }

  void transport() {
    each_flow([&](const Flow& flow, TypeId type) {
      if (!in(test_.types, type)) return;
      const Sensitivity sensitivity = e_.taxonomy().node(type).sensitivity;
      const bool credential = sensitivity == Sensitivity::id || sensitivity == Sensitivity::secret;
      RuleHit hit = hit_of(flow);
      if (test_.cleartext && flow.transport.cleartext) hit.note = "cleartext";
      else if (test_.min_tls != 0 && flow.transport.lowest_tls != 0 && flow.transport.lowest_tls < test_.min_tls)
        hit.note = "tls-version";
      else if (test_.credentials_in_url && credential && flow.transport.in_url) hit.note = "in-url";
      else return;
      add(std::move(hit));
    });
  }

  void type_beside() {
    each_flow([&](const Flow& flow, TypeId type) {
      if (!e_.taxonomy().covers(test_.type, type)) return;
      for (const Flow& other : e_.result.flows) {
        if (other.recipient != flow.recipient || other.id == flow.id || !in(test_.beside, type_of(other))) continue;
        RuleHit hit = hit_of(flow);
        hit.note = other.type;
        add_evidence(hit.evidence, other.evidence);
        return add(std::move(hit));
      }
    });
  }

  // Evidence on the wanted side of a marker; empty = nothing lies there.
  static std::vector<Evidence> on_side(const std::vector<Evidence>& first, const std::optional<Evidence>& last,
                                       Timestamp marker, bool before) {
    std::vector<Evidence> all = first, kept;
    if (last) add_evidence(all, {*last}, all.size() + 1);
    for (const Evidence& item : all) {
      if (before ? item.time < marker : marker < item.time) kept.push_back(item);
    }
    return kept;
  }

  void marker() {
    const bool before = test_.kind == TestKind::before_marker;
    const Timestamp at = *e_.marker(test_.marker);
    auto on = [&](Timestamp first, Timestamp last) { return before ? first < at : at < last; };
    each_flow([&](const Flow& flow, TypeId type) {
      if (!in(test_.types, type) || !on(flow.first, flow.last)) return;
      RuleHit hit = hit_of(flow);
      hit.evidence = on_side(flow.evidence, flow.last_evidence, at, before);
      add(std::move(hit));
    });
    if (test_.third_party_requests) third_party_requests(at, before);
    if (test_.cookies == RuleTest::Cookies::none) return;
    for (const CookieRow& row : e_.result.cookies) {
      if (!row.attributed || !on(row.first, row.last)) continue;
      // Only the vendor's own table makes a cookie non-essential.
      if (test_.cookies == RuleTest::Cookies::non_essential &&
          (!row.table_policy || row.table_category == "necessary")) {
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

  void third_party_requests(Timestamp at, bool before) {
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

  void draft() {
    const Timestamp submit = *e_.marker("submit");
    const TypeId type = e_.taxonomy().find("content.draft");
    each_flow([&](const Flow& flow, TypeId each) {
      if (!e_.taxonomy().covers(type, each) || !(flow.first < submit)) return;
      RuleHit hit = hit_of(flow);
      hit.evidence = on_side(flow.evidence, flow.last_evidence, submit, true);
      add(std::move(hit));
    });
  }

  void gpc() {
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

  void egress() {
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

  void secret() {
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

  void publish() {
    out_.status = RuleStatus::evidence;
    out_.why = {};
    std::stable_sort(hits_.begin(), hits_.end(), [](const RuleHit& a, const RuleHit& b) {
      return std::tie(a.type, a.recipient, a.host, a.country_of, a.country, a.note) <
             std::tie(b.type, b.recipient, b.host, b.country_of, b.country, b.note);
    });
    out_.hits_total = hits_.size();
    if (hits_.size() > kMaxRuleHits) hits_.resize(kMaxRuleHits);
    for (RuleHit& hit : hits_) {
      hit.marker = test_.marker;
      const RecipientInfo* to =
          hit.recipient.empty() || !e_.recipients->all().count(hit.recipient) ? nullptr : &info(hit.recipient);
      const std::string name = to && !to->name.empty() ? to->name : !hit.recipient.empty() ? hit.recipient : hit.host;
      const std::vector<std::pair<std::string, std::string>> arguments = {{"type", hit.type},
                                                                          {"recipient", name},
                                                                          {"country", hit.country},
                                                                          {"host", hit.host},
                                                                          {"quote", hit.quote},
                                                                          {"marker", hit.marker},
                                                                          {"count", std::to_string(hit.count)}};
      hit.message_en = fill_in(rule_.message_en, arguments);
      hit.message_ko = fill_in(rule_.message_ko, arguments);
    }
    out_.hits = std::move(hits_);
  }

  Evaluation& e_;
  const Rule& rule_;
  const RuleTest& test_;
  RuleResult out_;
  std::vector<RuleHit> hits_;
};

}  // namespace

void build_rules(Evaluation& e) {
  for (const RuleFile& file : e.inputs.rules) {
    for (const Rule& rule : file.rules) e.result.rules.push_back(RuleTester(e, file, rule).run());
  }
}

}  // namespace vitrine
