// Verdicts of what was sent, and of what the texts declare but nothing showed.
#include <algorithm>
#include <map>
#include <set>

#include "audit/context.h"
#include "audit/evaluation.h"
#include "audit/unread_values.h"

namespace vitrine {
namespace {

std::string join(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) out.append(out.empty() ? "" : "; ").append(part);
  return out;
}

std::string display_name(const RecipientInfo& info) { return info.name.empty() ? info.key : info.name; }

// Recipients whose traffic a statement speaks about; hosts of companies no list
// knows may be of any category.
bool may_mean(const ApplicableStatement& statement, const RecipientInfo& info, const Evaluation& e) {
  const RecipientView view = e.view(info.key);
  if (match_recipient(statement, view, e.directory()) != Match::none) return true;
  return view.entity == nullptr && !view.first_party && info.role != RecipientRole::local &&
         e.directory().category(statement.statement->recipient) != nullptr;
}

// Short values to the recipient that may hold what nothing else shows: any, when
// it receives encrypted profiles; else when one message held many of them.
uint64_t unread_values(const std::string& recipient, const Evaluation& e) {
  const auto at = e.unread.find(recipient);
  if (at == e.unread.end() || at->second.values == 0) return 0;
  const Entity* entity = e.view(recipient).entity;
  const bool profiles = entity != nullptr && e.directory().receives_encrypted_profiles(*entity);
  return profiles || at->second.most_in_message >= kUnreadInMessage ? at->second.values : 0;
}

bool is_multicast(const IpAddress& ip) {
  return (ip.family == 4 && (ip.bytes[0] & 0xf0) == 0xe0) || (ip.family == 6 && ip.bytes[0] == 0xff);
}

// Public addresses that nothing named (no SNI, host or DNS answer) and that were
// sent bytes nothing could read. Pings, neighbour discovery and announcements to
// a group (SSDP) reach no company.
std::map<std::string, uint64_t> nameless_addresses(const Evaluation& e) {
  std::set<std::string> spoken_to;
  for (const auto& [key, sight] : e.flows.endpoints()) {
    const bool named = !key.name.empty() || e.flows.names().count(key.server.ip) != 0;
    if (!named && key.transport != Transport::other_ip && !key.server.ip.is_private() && !is_multicast(key.server.ip)) {
      spoken_to.insert(key.server.ip.to_string());
    }
  }
  std::map<std::string, uint64_t> bytes;
  for (const std::string& address : spoken_to) {
    const auto row = e.flows.ledger().rows().find(address);
    if (row == e.flows.ledger().rows().end()) continue;
    if (const uint64_t unread = row->second.bytes[0].undecoded(); unread != 0) bytes.emplace(address, unread);
  }
  return bytes;
}

// What a User-Agent or client hints may tell without a field of its own.
bool told_by_program(std::string_view type) {
  return type == "device.os" || type == "device.os-version" || type == "device.model" || type == "device.brand" ||
         type == "device.architecture" || type == "device.browser";
}

// What only packets show, and what every connection shows: files of requests hold none of it.
bool of_connection(std::string_view type) {
  return type == "network.ip-public" || type == "network.ip-local" || type == "device.tls-fingerprint";
}

Sentence explain(const Finding& finding, const std::string& recipient) {
  Sentence sentence{"finding." + std::string(to_string(finding.verdict)),
                    {{"type", finding.type}, {"recipient", recipient}}};
  if (finding.verdict == Verdict::vague) {
    sentence.id += "." + std::string(to_string(finding.vagueness));
    for (const StatementRef& ref : finding.positives) {
      if (ref.excepted) continue;
      sentence.arguments.emplace_back("data", ref.data);
      sentence.arguments.emplace_back("declared", ref.recipient);
      break;
    }
  }
  if (finding.verdict == Verdict::not_testable) {
    const bool country = !finding.reasons.empty() && finding.reasons.front().id == "reason.country";
    sentence.id += country ? ".country" : finding.missing.empty() ? ".no-text" : ".flow";
    sentence.arguments.emplace_back("documents", join(finding.missing));
  }
  if (finding.verdict == Verdict::declared_not_observed) sentence.id = "finding.declared-not-observed";
  return sentence;
}

}  // namespace

uint64_t not_looked_at(const AuditResult& result) {
  uint64_t places = 0;
  for (const IssueCount& issue : result.issues) {
    const bool own_bound = issue.first.what.starts_with("fields: ") || issue.first.what.starts_with("audit: ");
    if (own_bound && issue.first.cause == Cause::truncated) places += issue.count;
  }
  return places;
}

void build_flow_findings(Evaluation& e) {
  std::map<std::pair<std::string, std::string>, Finding> findings;  // type, recipient
  for (const Flow& flow : e.result.flows) {
    Finding& finding = findings[{flow.type, flow.recipient}];
    finding.flows.push_back(flow.id);
    if (flow.observation < finding.observation) continue;
    if (flow.observation > finding.observation) finding.evidence.clear();
    finding.observation = flow.observation;
    add_evidence(finding.evidence, flow.evidence);
  }
  for (auto& [key, finding] : findings) {
    const auto& [type_id, recipient] = key;
    const TypeId type = e.taxonomy().find(type_id);
    const RecipientInfo& info = e.recipients->at(recipient);
    const std::vector<std::string> missing = e.missing_texts(type);
    Judgement judgement =
        judge(type, e.view(recipient), e.statements, !e.selected.empty(), missing.empty(), e.taxonomy(), e.directory());
    finding.id = stable_id({"flow", type_id, recipient});
    finding.kind = FindingKind::flow;
    finding.verdict = judgement.verdict;
    finding.vagueness = judgement.vagueness;
    finding.inference = judgement.inference;
    finding.type = type_id;
    finding.recipient = recipient;
    finding.positives = std::move(judgement.positives);
    finding.denials = std::move(judgement.denials);
    finding.coverage = e.coverage_of(info.hosts);
    std::sort(finding.flows.begin(), finding.flows.end());
    const std::vector<std::string> otherwise = finding.verdict == Verdict::not_testable
                                                   ? std::vector<std::string>{}
                                                   : e.told_otherwise_in(type, e.view(recipient), finding.verdict);
    if (!otherwise.empty()) {
      finding.verdict = Verdict::not_testable;
      finding.vagueness = Vagueness::none;
      finding.inference = Inference::document;
      finding.reasons.push_back({"reason.country", {{"regions", join(otherwise)}}});
    } else if (finding.verdict == Verdict::not_testable) {
      finding.missing = missing;
      finding.reasons.push_back(e.selected.empty() ? Sentence{"reason.no-text", {}}
                                                   : Sentence{"reason.texts-missing", {{"documents", join(missing)}}});
    }
    finding.explanation = explain(finding, display_name(info));
    e.result.findings.push_back(std::move(finding));
  }
}

void build_declared_findings(Evaluation& e) {
  struct Declared {
    std::vector<ApplicableStatement> statements;
    std::set<std::string> only_in;  // not empty: declared for users in these countries or regions only
  };
  std::map<std::pair<TypeId, std::string>, Declared> declared;  // type, recipient as the text has it
  for (const ApplicableStatement& each : e.statements) {
    const Statement& s = *each.statement;
    if (is_denial(s.action)) continue;  // judged with the flows
    if (s.channel != Channel::automatic) {
      e.result.out_of_reach.push_back({reference_to(each), {"reach." + std::string(to_string(s.channel)), {}}});
      continue;
    }
    if (!is_positive(s.action)) continue;
    for (TypeId type : s.types) declared[{type, s.recipient}].statements.push_back(each);
  }
  for (const ApplicableStatement& each : e.elsewhere) {
    const Statement& s = *each.statement;
    if (is_denial(s.action)) continue;
    if (s.channel != Channel::automatic) {
      e.result.out_of_reach.push_back({reference_to(each), {"reach." + std::string(to_string(s.channel)), {}}});
      continue;
    }
    if (!is_positive(s.action)) continue;
    for (TypeId type : s.types) {
      Declared& of = declared[{type, s.recipient}];
      if (!of.statements.empty() && of.only_in.empty()) continue;  // declared for everybody
      of.statements.push_back(each);
      const auto& where = s.regions.empty() ? each.policy->regions : s.regions;
      of.only_in.insert(where.begin(), where.end());
    }
  }

  const TypeId blob = e.taxonomy().find("device.opaque-fingerprint");
  std::set<std::string> blob_recipients;  // an opaque blob may hold anything, whoever asked for it
  for (const auto* list : {&e.result.flows, &e.result.unattributed}) {
    for (const Flow& flow : *list) {
      if (blob != 0 && e.taxonomy().find(flow.type) == blob) blob_recipients.insert(flow.recipient);
    }
  }

  const std::map<std::string, uint64_t> nameless = nameless_addresses(e);
  const uint64_t beyond_bounds = not_looked_at(e.result);
  const bool without_packets = std::any_of(e.inputs.files.begin(), e.inputs.files.end(), [](const InputFile& file) {
    return file.format == "har" || file.format == "exchange-log";
  });

  for (auto& [key, group] : declared) {
    // Not a structured binding: clang 14 lets no lambda capture one.
    const auto& type = key.first;
    const auto& recipient = key.second;
    const ApplicableStatement& statement = group.statements.front();
    auto goes_there = [&](const Flow& flow) {
      return match_recipient(statement, e.view(flow.recipient), e.directory()) != Match::none;
    };
    auto is_it = [&](const Flow& flow) {
      return e.taxonomy().covers(type, e.taxonomy().find(flow.type)) && goes_there(flow);
    };
    const auto& flows = e.result.flows;
    if (std::any_of(flows.begin(), flows.end(), is_it)) continue;
    // A cookie that the table gives to the recipient, whoever's host it went to.
    const bool in_table = e.taxonomy().id(type) == "identifier.cookie" &&
                          std::any_of(e.result.cookies.begin(), e.result.cookies.end(), [&](const CookieRow& row) {
                            return row.attributed && row.table_provider == recipient;
                          });
    if (in_table) continue;

    Finding finding;
    finding.kind = FindingKind::declared;
    finding.type = e.taxonomy().id(type);
    finding.recipient = recipient;
    finding.id = stable_id({"declared", finding.type, recipient});
    finding.inference = Inference::textual;
    if (!group.only_in.empty()) {
      finding.reasons.push_back(
          {"reason.country-declared", {{"regions", join({group.only_in.begin(), group.only_in.end()})}}});
    }
    bool taken = false;
    std::set<std::string> wanted;
    for (const ApplicableStatement& each : group.statements) {
      const std::string step(step_for_trigger(each.statement->trigger));
      wanted.insert(step);
      taken |= e.marker(step).has_value();
    }
    for (const ApplicableStatement& each : group.statements) {
      // Only what was exercised is said not to have been observed.
      if (taken && !e.marker(step_for_trigger(each.statement->trigger))) continue;
      StatementRef ref = reference_to(each);
      ref.data = finding.type;
      ref.exact_data = true;
      finding.positives.push_back(std::move(ref));
    }
    if (!taken) {
      for (const std::string& step : wanted) finding.reasons.push_back({"reason.step-not-taken", {{"step", step}}});
    }

    // Hosts of every recipient the statement may mean, and nameless addresses they share.
    std::vector<std::string> hosts;
    std::set<std::string> addresses;
    bool own_traffic = false;
    for (const auto& [name, info] : e.recipients->all()) {
      if (!may_mean(statement, info, e)) continue;
      own_traffic = true;
      hosts.insert(hosts.end(), info.hosts.begin(), info.hosts.end());
      addresses.insert(info.addresses.begin(), info.addresses.end());
      if (blob_recipients.count(name)) {
        finding.reasons.push_back({"reason.opaque-field", {{"recipient", display_name(info)}}});
      } else if (const uint64_t unread = unread_values(name, e); unread != 0) {
        finding.reasons.push_back(
            {"reason.unread-values", {{"count", std::to_string(unread)}, {"recipient", display_name(info)}}});
      }
    }
    uint64_t nameless_bytes = 0, nameless_count = 0;  // whose they are nobody knows
    for (const auto& [address, bytes] : nameless) {
      if (addresses.count(address)) continue;  // counted with the hosts
      nameless_bytes += bytes;
      ++nameless_count;
    }
    if (nameless_bytes != 0) {
      finding.reasons.push_back(
          {"reason.nameless", {{"bytes", std::to_string(nameless_bytes)}, {"count", std::to_string(nameless_count)}}});
    }
    hosts.insert(hosts.end(), addresses.begin(), addresses.end());
    std::erase_if(hosts, [&](const std::string& host) { return !e.flows.ledger().rows().count(host); });
    finding.coverage = e.coverage_of(std::move(hosts));
    for (const auto& [cause, bytes] : finding.coverage.undecoded) {
      finding.reasons.push_back(
          {"reason.undecoded", {{"bytes", std::to_string(bytes)}, {"cause", std::string(to_string(cause))}}});
    }
    if (std::any_of(e.result.unattributed.begin(), e.result.unattributed.end(), is_it)) {
      finding.reasons.push_back({"reason.unattributed", {{"type", finding.type}, {"recipient", recipient}}});
    }
    // A company no list knows may be of the kind the text names.
    const auto to_unknown = std::find_if(flows.begin(), flows.end(), [&](const Flow& flow) {
      return e.taxonomy().covers(type, e.taxonomy().find(flow.type)) && !goes_there(flow) &&
             may_mean(statement, e.recipients->at(flow.recipient), e);
    });
    if (to_unknown != flows.end()) {
      finding.reasons.push_back({"reason.unknown-company",
                                 {{"type", finding.type},
                                  {"company", display_name(e.recipients->at(to_unknown->recipient))},
                                  {"recipient", recipient}}});
    }
    // A User-Agent or client hints were sent: they tell model, system and program in one value.
    for (const char* inside : {"device.user-agent", "device.client-hints"}) {
      const TypeId whole = e.taxonomy().find(inside);
      if (!told_by_program(finding.type) || whole == 0) continue;
      const bool sent = std::any_of(flows.begin(), flows.end(), [&](const Flow& flow) {
        return e.taxonomy().covers(whole, e.taxonomy().find(flow.type)) && goes_there(flow);
      });
      if (sent) finding.reasons.push_back({"reason.within", {{"type", inside}, {"recipient", recipient}}});
    }
    if (without_packets && of_connection(finding.type)) {
      finding.reasons.push_back({"reason.not-recorded", {{"type", finding.type}}});
    }
    if (beyond_bounds != 0) finding.reasons.push_back({"reason.bounds", {{"count", std::to_string(beyond_bounds)}}});
    if (recipient == "self" && !own_traffic) finding.reasons.push_back({"reason.no-hosts", {{"recipient", recipient}}});

    finding.verdict = finding.reasons.empty() ? Verdict::declared_not_observed : Verdict::not_testable;
    finding.explanation = {finding.reasons.empty() ? "finding.declared-not-observed" : "finding.not-testable.declared",
                           {{"type", finding.type}, {"recipient", recipient}}};
    e.result.findings.push_back(std::move(finding));
  }
}

}  // namespace vitrine
