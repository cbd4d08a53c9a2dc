#include "audit/evaluate.h"

#include <algorithm>
#include <tuple>

#include "audit/date_text.h"
#include "audit/evaluation.h"
#include "base/digest.h"

namespace vitrine {

std::string stable_id(std::initializer_list<std::string_view> parts) {
  Sha256Stream digest;
  for (std::string_view part : parts) {
    digest.update(as_bytes(part));
    digest.update(as_bytes(std::string_view("\0", 1)));
  }
  const Sha256 whole = digest.digest();
  return to_hex(Bytes(whole).first(6));
}

void add_evidence(std::vector<Evidence>& into, const std::vector<Evidence>& from, size_t bound) {
  for (const Evidence& item : from) {
    auto at = std::lower_bound(into.begin(), into.end(), item);
    if (at != into.end() && *at == item) continue;
    into.insert(at, item);
  }
  if (into.size() > bound) into.erase(into.begin() + static_cast<std::ptrdiff_t>(bound), into.end());
}

CoverageView Evaluation::coverage_of(std::vector<std::string> hosts) const {
  std::sort(hosts.begin(), hosts.end());
  hosts.erase(std::unique(hosts.begin(), hosts.end()), hosts.end());
  ByteCounts sum;
  const auto& rows = flows.ledger().rows();
  for (const std::string& host : hosts) {
    if (auto at = rows.find(host); at != rows.end()) sum += at->second.bytes[0];
  }
  CoverageView view;
  view.hosts = std::move(hosts);
  view.decoded = sum[Cause::decoded];
  for (size_t i = 0; i < kCauses; ++i) {
    const auto cause = static_cast<Cause>(i);
    if (cause != Cause::decoded && sum[cause] != 0) view.undecoded.emplace_back(cause, sum[cause]);
  }
  return view;
}

std::vector<std::string> Evaluation::missing_texts(TypeId type) const {
  return vitrine::missing_texts(inputs, selected, query.country, type);
}

std::vector<std::string> Evaluation::told_otherwise_in(TypeId type, const RecipientView& to, Verdict verdict) const {
  std::vector<std::string> names;
  for (const CountryCase& one : cases) {
    const bool complete = vitrine::missing_texts(inputs, one.selected, one.query.country, type).empty();
    const Judgement there = judge(type, to, one.statements, !one.selected.empty(), complete, taxonomy(), directory());
    if (there.verdict != verdict) names.push_back(one.name);
  }
  return names;
}

std::optional<Timestamp> Evaluation::marker(std::string_view step) const {
  for (const StepMarker& each : result.context.steps) {
    if (each.step == step && each.in_capture) return each.time;
  }
  return std::nullopt;
}

namespace {

std::string platform_of(const AuditInputs& inputs) {
  if (!inputs.context.platform.empty()) return inputs.context.platform;
  for (const ClientHosts& client : inputs.clients) {
    if (client.client != inputs.context.client || inputs.context.client.empty()) continue;
    if (client.platform == "web") return "web";
    if (client.platform == "cli") return "api";
    if (client.platform != "any") return "app";
  }
  return {};
}

void describe_context(Evaluation& e) {
  const Context& from = e.inputs.context;
  ContextView& view = e.result.context;
  view.given = from.given;
  view.simulated = from.simulated;
  view.service = e.service;
  view.client = from.client;
  view.client_version = from.version;
  view.platform = e.platform;
  view.country = from.country;
  view.account = from.account;
  view.language = from.language;
  view.operator_name = from.operator_name;
  view.authorisation = from.authorisation;
  view.environment = from.environment;
  // A step counts when one recording was running: not between two of them, and
  // not when their times are unknown. A launch, and no other step, is written
  // down shortly before the first packet it causes.
  auto recorded = [&](const Step& step) {
    const int64_t slack = step.step == "launch" ? 60'000'000'000 : 0;
    return std::any_of(e.inputs.files.begin(), e.inputs.files.end(), [&](const InputFile& file) {
      return file.first && file.last && step.time.ns >= file.first->ns - slack && step.time <= *file.last;
    });
  };
  for (const Step& step : from.steps) view.steps.push_back({step.step, step.time, step.note, recorded(step)});
  auto assume = [&](bool absent, const char* id) {
    if (absent) view.assumed.push_back({id, {}});
  };
  assume(e.service.empty(), "context.assumed.service");
  if (!e.service.empty() && from.service.empty()) {
    view.assumed.push_back({"context.assumed.service-guessed", {{"service", e.service}}});
  }
  assume(e.platform.empty(), "context.assumed.platform");
  assume(from.country.empty(), "context.assumed.country");
  assume(from.account.empty(), "context.assumed.account");
  assume(from.language.empty(), "context.assumed.language");
  assume(from.steps.empty(), "context.assumed.steps");
}

void choose_texts(Evaluation& e) {
  e.selected = texts_for(e.inputs, e.query);
  e.cases = country_cases(e.inputs, e.query);
  e.result.publisher = e.service;
  e.result.publisher_name = e.service;
  for (size_t i = 0; i < e.selected.size(); ++i) {
    const Policy& policy = *e.selected[i].policy;
    PolicyUse use;
    use.policy = i;
    use.publisher = policy.publisher;
    use.publisher_name = policy.publisher_name;
    use.kind = policy.kind;
    use.title = policy.title;
    use.language = policy.language;
    use.url = policy.url;
    use.version_date = policy.version_date();
    use.recorded = policy.last_seen.empty() ? policy.recorded : policy.last_seen;
    use.source = policy.record_source;
    use.file = policy.file;
    use.text_sha256 = policy.record_sha256;
    use.status = e.selected[i].status;
    use.status_sentence = e.selected[i].sentence;
    use.complete = policy.complete;
    for (const PolicyMissing& missing : policy.missing) {
      use.missing.push_back({missing.document, missing.regions, missing.data});
    }
    e.result.policies.push_back(std::move(use));
    e.result.publisher_name = policy.publisher_name;
    const SelectionQuery asked = query_for(e.inputs, e.selected[i], e.query);
    for (const Statement& statement : policy.statements) {
      const ApplicableStatement applicable{i, &policy, &statement};
      if (statement_applies(policy, statement, e.inputs.regions, asked)) {
        e.statements.push_back(applicable);
      } else if (!statement.scope.empty()) {
        e.result.out_of_reach.push_back({reference_to(applicable), {"reach.scope", {{"scope", statement.scope}}}});
      } else if (!statement_stood(statement, asked.date)) {
        const bool later = !statement.from.empty() && asked.date < statement.from;
        e.result.out_of_reach.push_back(
            {reference_to(applicable), later ? Sentence{"reach.not-yet", {{"date", statement.from}}}
                                             : Sentence{"reach.withdrawn", {{"date", statement.until}}}});
      } else if (std::any_of(e.cases.begin(), e.cases.end(), [&](const CountryCase& one) {
                   SelectionQuery there = asked;
                   there.country = one.query.country;
                   return statement_applies(policy, statement, e.inputs.regions, there);
                 })) {
        e.elsewhere.push_back(applicable);
      }
    }
  }
  e.result.text_status =
      e.service.empty() ? Sentence{"policy.no-subject", {}}
      : e.selected.empty()
          ? Sentence{"policy.none-held", {{"publisher", e.result.publisher_name}}}
          : Sentence{"policy.held",
                     {{"count", std::to_string(e.selected.size())}, {"publisher", e.result.publisher_name}}};
}

void state_limits(Evaluation& e) {
  auto& limits = e.result.limits;
  ByteCounts sent = e.result.ledger_totals[0];
  if (sent.undecoded() != 0) limits.push_back({"limits.undecoded", {{"bytes", std::to_string(sent.undecoded())}}});
  if (sent[Cause::withheld] != 0)
    limits.push_back({"limits.withheld", {{"bytes", std::to_string(sent[Cause::withheld])}}});
  uint64_t skipped = 0;
  for (const IssueCount& issue : e.result.issues) skipped += issue.count;
  if (skipped != 0) limits.push_back({"limits.issues", {{"count", std::to_string(skipped)}}});
  if (!e.result.unattributed.empty()) {
    limits.push_back({"limits.attribution", {{"count", std::to_string(e.result.unattributed.size())}}});
  }
  if (const CountryDatabase* database = e.inputs.ip_countries) {
    limits.push_back({"limits.ip-country-source", {{"source", database->type()}, {"date", database->build_date()}}});
    limits.push_back({"limits.edge", {}});
  } else {
    limits.push_back({"limits.ip-country-missing", {}});
  }
  for (const std::string& host : e.inputs.context.stand_ins) {
    limits.push_back({"limits.stand-in", {{"host", host}, {"publisher", e.result.publisher_name}}});
  }
  limits.push_back({"limits.purpose", {}});
  limits.push_back({"limits.server-side", {}});
}

}  // namespace

AuditResult evaluate(const AuditInputs& inputs, FlowCollector&& flows, std::vector<IssueCount> issues) {
  flows.finish();
  Evaluation e{inputs, flows};
  AuditResult& result = e.result;
  result.inputs = inputs.files;
  result.simulated = inputs.context.simulated;
  for (const InputFile& file : inputs.files) {
    result.simulated |= file.simulated;
    if (file.first && (!e.first || *file.first < *e.first)) e.first = file.first;
    if (file.last && (!e.last || *e.last < *file.last)) e.last = file.last;
  }
  e.service = inputs.context.service.empty() ? guess_service(inputs, flows.contexts()) : inputs.context.service;
  e.platform = platform_of(inputs);
  e.date = inputs.context.policy_date ? *inputs.context.policy_date : e.first ? date_of(*e.first) : "9999-12-31";
  e.query = {e.service, e.platform, inputs.context.country, inputs.context.language, inputs.context.account, e.date};
  describe_context(e);
  choose_texts(e);

  std::set<std::string> publisher_entities;
  for (const SelectedPolicy& use : e.selected) {
    for (const PolicyEntity& entity : use.policy->entities) publisher_entities.insert(entity.id);
  }
  e.attributor = std::make_unique<Attributor>(inputs, e.service, flows.contexts());
  e.recipients = std::make_unique<RecipientTable>(inputs, e.service, std::move(publisher_entities), flows.names());

  issues.insert(issues.end(), flows.issues().begin(), flows.issues().end());
  std::sort(issues.begin(), issues.end(), [](const IssueCount& a, const IssueCount& b) {
    return std::tie(a.first.cause, a.first.what, a.first.packet) <
           std::tie(b.first.cause, b.first.what, b.first.packet);
  });
  result.issues = std::move(issues);

  build_flows(e);
  build_flow_findings(e);
  build_cookies(e);
  build_declared_findings(e);
  std::stable_sort(result.findings.begin(), result.findings.end(), [](const Finding& a, const Finding& b) {
    return std::tie(a.verdict, a.kind, a.type, a.recipient, a.id) <
           std::tie(b.verdict, b.kind, b.type, b.recipient, b.id);
  });
  for (const Finding& finding : result.findings) {
    ++(finding.is_lead() ? result.lead_counts : result.verdict_counts)[static_cast<size_t>(finding.verdict)];
  }
  build_rules(e);
  for (const auto& [key, info] : e.recipients->all()) result.recipients.push_back(info);
  state_limits(e);
  return std::move(e.result);
}

}  // namespace vitrine
