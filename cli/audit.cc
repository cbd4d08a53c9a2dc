#include <algorithm>
#include <filesystem>

#include "audit/flow.h"
#include "base/file.h"
#include "cli/audit_inputs.h"
#include "cli/commands.h"
#include "cli/draft_stage.h"
#include "reports/html.h"
#include "reports/json.h"
#include "reports/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

namespace vitrine::cli {
namespace {

struct AuditFlags {
  InputFlags input;
  PolicyFlags policies;
  std::string context, json, html, locale = "en", fail_on = "omitted";
  std::string service, country, platform, account;
  std::vector<std::string> texts;
};

// What a gate fails on, from the strictest to the most lenient.
const std::vector<std::string> kFailOn = {"contradicted", "ambiguous", "omitted", "vague", "incomplete", "never"};

// One shard: fields become flows.
class AuditConsumer : public ShardConsumer, private FieldSink {
 public:
  AuditConsumer(const LoadedPolicies& policies, IssueLog& issues)
      : issues_(issues), collector_(policies.inputs), line_(*policies.knowledge, *this) {
    line_.extractor().set_issues(&issues);
  }

  void position(OutputPosition position) override { position_ = position; }
  std::unique_ptr<ShardOutput> take() override { return std::exchange(output_, std::make_unique<DraftOutput>()); }
  void connection(const ConnectionInfo& info, ConnectionEvent event) override {
    line_.extractor().connection(info, event);
    if (event == ConnectionEvent::closed) collector_.connection_closed(info);
  }
  void opened(const Exchange& exchange) override { line_.extractor().opened(exchange); }
  void part(const Exchange& exchange, const Part& part) override { line_.extractor().part(exchange, part); }
  void closed(const Exchange& exchange, CloseReason reason) override {
    line_.extractor().closed(exchange, reason);
    collector_.exchange_closed(exchange, reason,
                               {line_.extractor().opaque_bytes(exchange, Direction::client_to_server),
                                line_.extractor().opaque_bytes(exchange, Direction::server_to_client)});
  }
  void dns(const ConnectionInfo& info, const DnsName& name) override { line_.extractor().dns(info, name); }
  void resolved(const IpAddress& ip, std::string_view name) override { collector_.resolved(ip, name); }
  void issue(Issue issue) override { issues_.issue(std::move(issue)); }

  FlowCollector& collector() { return collector_; }

 private:
  void begin_part(const Exchange& exchange, const Part& part) override { collector_.begin_part(exchange, part); }
  void field(const Field& field) override {
    sampler_.take(field, line_.extractor().patterns(), position_, output_->drafts);
    collector_.field(field);
  }
  void end_part(const Exchange& exchange, const Part& part) override { collector_.end_part(exchange, part); }

  IssueLog& issues_;
  FlowCollector collector_;
  FieldLine line_;
  DraftSampler sampler_;
  OutputPosition position_;
  std::unique_ptr<DraftOutput> output_ = std::make_unique<DraftOutput>();
};

void book_draft(FlowCollector& collector, const DraftObservation& draft, std::span<const OwnedDraftSample* const> steps) {
  for (const OwnedDraftSample* step : steps) {
    FlowCollector::LateValue value;
    value.time = step->time;
    value.packet = step->packet;
    value.origin = step->origin.node;
    value.path = step->path;
    value.location = step->location;
    value.value = step->value;
    value.type = draft.type;
    value.observation = draft.observation;
    value.decided_by = draft.decided_by;
    collector.late_value(*step->exchange, value);
  }
}

// Reads one recording into `collector`.
Status collect(const std::string& path, const AuditFlags& flags, LoadedPolicies& policies, FlowCollector& collector,
               IssueLog& issues, std::vector<std::unique_ptr<Input>>& opened) {
  InputOptions options = flags.input.options();
  options.digest = true;
  Result<Input> input = Input::open(path, options, issues);
  if (!input) return tl::unexpected(input.error());
  std::vector<std::unique_ptr<IssueLog>> logs;
  std::vector<AuditConsumer*> consumers;
  // The pipeline owns the consumers and ends before they are merged: they hand
  // their collectors over through this adapter's destructor.
  std::vector<FlowCollector> collected;
  struct Handover : AuditConsumer {
    Handover(const LoadedPolicies& loaded, IssueLog& log, std::vector<FlowCollector>& to) : AuditConsumer(loaded, log), to_(to) {}
    ~Handover() override { to_.push_back(std::move(collector())); }
    std::vector<FlowCollector>& to_;
  };
  // The case key comes from the first recording, before any value is hashed.
  if (policies.inputs.case_key.empty()) policies.inputs.case_key = input->summary().case_key;
  ProgressBar bar(path, flags.input.quiet);
  FlowCollector late(policies.inputs);
  DraftStage drafts(*policies.inputs.taxonomy, [&](const DraftObservation& draft, std::span<const OwnedDraftSample* const> steps) {
    book_draft(late, draft, steps);
  });
  const Status status = input->run(
      issues,
      [&](unsigned) {
        logs.push_back(std::make_unique<IssueLog>());
        return std::make_unique<Handover>(policies, *logs.back(), collected);
      },
      [&](std::span<std::unique_ptr<ShardOutput>> outputs) {
        drafts.batch(outputs);
        return Status();
      },
      [&](uint64_t done, uint64_t total) { bar.update(done, total); });
  for (const auto& log : logs) issues.merge(*log);
  if (!status) return status;
  drafts.finish();
  for (FlowCollector& part : collected) collector.merge(std::move(part));
  collector.merge(std::move(late));
  for (const NameRecord& record : input->summary().names) collector.resolved(record.ip, record.name);

  const InputSummary& summary = input->summary();
  InputFile file;
  file.name = std::filesystem::path(path).filename().string();
  file.sha256 = summary.sha256;
  file.format = to_string(summary.format);
  file.bytes = summary.bytes;
  file.packets = summary.packets;
  file.simulated = summary.simulated();
  if (summary.packets > 0) {
    file.first = summary.first;
    file.last = summary.last;
  }
  policies.inputs.files.push_back(std::move(file));
  opened.push_back(std::make_unique<Input>(std::move(*input)));
  return {};
}

Status load_context(const AuditFlags& flags, Context& context) {
  if (!flags.context.empty()) {
    Result<std::string> text = read_file(flags.context, 1 << 20);
    if (!text) return tl::unexpected(text.error());
    Result<Context> parsed = parse_context(*text, flags.context);
    if (!parsed) return tl::unexpected(parsed.error());
    context = std::move(*parsed);
  }
  if (!flags.service.empty()) context.service = flags.service;
  if (!flags.country.empty()) context.country = flags.country;
  if (!flags.platform.empty()) context.platform = flags.platform;
  if (!flags.account.empty()) context.account = flags.account;
  return {};
}

// `NAME` or `PUBLISHER/VERSION` → files as load_policies names them.
Status choose_texts(const std::vector<std::string>& wanted, AuditInputs& inputs) {
  for (const std::string& name : wanted) {
    std::vector<std::string> matches;
    for (const Policy& policy : inputs.policies) {
      if (policy.file == name || policy.file == name + ".yaml") matches.push_back(policy.file);
    }
    if (matches.empty()) return fail(ErrorCode::usage, "no policy file of this name; `vitrine policy list` shows them", name);
    inputs.chosen_policies.insert(inputs.chosen_policies.end(), matches.begin(), matches.end());
  }
  return {};
}

int gate(const AuditResult& result, const std::string& fail_on) {
  if (fail_on == "never") return kOk;
  const auto count = [&](Verdict verdict) { return result.verdict_counts[static_cast<size_t>(verdict)]; };
  uint64_t findings = count(Verdict::contradicted);
  if (fail_on != "contradicted") findings += count(Verdict::ambiguous);
  if (fail_on == "omitted" || fail_on == "vague" || fail_on == "incomplete") findings += count(Verdict::omitted);
  if (fail_on == "vague" || fail_on == "incomplete") findings += count(Verdict::vague);
  for (const RuleResult& rule : result.rules) {
    if (rule.status == RuleStatus::evidence && rule.inference == Inference::textual) ++findings;
  }
  if (fail_on == "incomplete") {
    findings += result.ledger_totals[0].undecoded() + result.ledger_totals[1].undecoded() + result.issues.size();
  }
  return findings > 0 ? kFindings : kOk;
}

int terminal_width() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40 ? size.ws_col : 100;
}

int run(const AuditFlags& flags) {
  Result<std::unique_ptr<LoadedPolicies>> loaded = load_policies_for(flags.policies);
  if (!loaded) return report_error(loaded.error());
  LoadedPolicies& policies = **loaded;
  if (const Status context = load_context(flags, policies.inputs.context); !context) return report_error(context.error());
  if (const Status chosen = choose_texts(flags.texts, policies.inputs); !chosen) return report_error(chosen.error());
  FlowCollector collector(policies.inputs);
  IssueLog issues;
  std::vector<std::unique_ptr<Input>> opened;
  for (const std::string& path : flags.input.paths) {
    IssueLog own;
    const Status status = collect(path, flags, policies, collector, own, opened);
    print_issues(own, path, flags.input.quiet);
    issues.merge(own);
    if (!status) {
      report_error(status.error());
      if (opened.empty() && &path == &flags.input.paths.back()) return kUnreadable;
    }
  }
  if (opened.empty()) return kUnreadable;
  std::vector<IssueCount> counted;
  for (const CountedIssue& row : issues.rows()) counted.push_back({row.first, row.count});
  const AuditResult result = evaluate(policies.inputs, std::move(collector), std::move(counted));

  if (!flags.json.empty()) {
    const std::string json = render_json(result);
    if (flags.json == "-") {
      std::fwrite(json.data(), 1, json.size(), stdout);
    } else if (const Status written = write_file(flags.json, json); !written) {
      return report_error(written.error());
    }
  }
  if (!flags.html.empty()) {
    if (const Status written = write_file(flags.html, render_html(result, flags.locale)); !written) return report_error(written.error());
  }
  if (flags.json != "-") {
    const bool colour = isatty(STDOUT_FILENO) && std::getenv("NO_COLOR") == nullptr;
    const std::string text = render_terminal(result, flags.locale, colour, terminal_width());
    std::fwrite(text.data(), 1, text.size(), stdout);
    if (!flags.html.empty()) std::printf("\nreport: %s\n", flags.html.c_str());
    if (!flags.json.empty()) std::printf("%s: %s\n", flags.html.empty() ? "\nreport" : "data", flags.json.c_str());
  }
  return gate(result, flags.fail_on);
}

}  // namespace

void add_audit(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("audit", "compare what a client sent with what was declared");
  auto flags = std::make_shared<AuditFlags>();
  flags->input.add_to(*command, true);
  command->add_option("--context", flags->context, "audit.yaml: who tested what, where, and which steps were taken (docs/context.md)")->type_name("FILE");
  command->add_option("--service", flags->service, "the service under audit, as policies name it: deepseek, …");
  command->add_option("--country", flags->country, "country of the user (DE, KR, US …): chooses editions and rules");
  command->add_option("--platform", flags->platform, "web, app or api")->check(CLI::IsMember({"web", "app", "api"}));
  command->add_option("--account", flags->account, "consumer, business or none")->check(CLI::IsMember({"consumer", "business", "none"}));
  command->add_option("--policy", flags->texts, "use exactly this text, e.g. deepseek/2024-12-05; repeatable (default: the ones in force at the time of the recording)");
  command->add_option("--policies", flags->policies.folders, "further policy folder (vendors/, laws/, org/, recipients/, clients/); repeatable")->type_name("DIR");
  command->add_option("--rules", flags->policies.rule_files, "evaluate only these rule files: gdpr, pipa, no-egress …; repeatable");
  command->add_option("--mmdb", flags->policies.mmdb, "MaxMind database with the country of addresses")->type_name("FILE");
  command->add_option("--asn-mmdb", flags->policies.asn_mmdb, "MaxMind database with the owner of networks")->type_name("FILE");
  command->add_option("--json", flags->json, "write report.json ('-' = standard output, nothing else printed)")->type_name("FILE");
  command->add_option("--html", flags->html, "write the self-contained HTML report")->type_name("FILE");
  command->add_option("--locale", flags->locale, "language of the report")->check(CLI::IsMember({"en", "ko"}))->capture_default_str();
  command->add_option("--fail-on", flags->fail_on,
                      "exit with 1 from this verdict on: contradicted, ambiguous, omitted, vague; incomplete also for "
                      "bytes that were not decoded; never")
      ->check(CLI::IsMember(kFailOn))
      ->capture_default_str();
  command->add_option("--data", flags->policies.data, "folder that holds policies/ (default: the shipped one)")->type_name("DIR");
  command->footer(
      "Examples:\n"
      "  vitrine audit visit.pcapng --service deepseek --country DE --html report.html\n"
      "  vitrine audit visit.har --service deepseek --policy deepseek/2024-12-05\n"
      "  vitrine audit build.pcapng --rules no-egress --fail-on omitted       as a gate in CI\n"
      "  vitrine audit visit.pcapng --context audit.yaml --json - | jq '.findings[] | select(.verdict==\"omitted\")'\n"
      "Exit codes: 0 nothing at or above --fail-on, 1 findings, 2 usage, 3 nothing readable, 4 internal error.");
  command->callback([=, &exit_code] { exit_code = run(*flags); });
}

}  // namespace vitrine::cli
