#include <algorithm>
#include <tuple>

#include "audit/regions.h"
#include "base/file.h"
#include "cli/audit_run.h"
#include "cli/commands.h"
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
  std::vector<std::string> stand_ins;
  std::vector<std::string> texts;
};

// What a gate fails on, from the strictest to the most lenient.
const std::vector<std::string> kFailOn = {"contradicted", "ambiguous", "omitted", "vague", "incomplete", "never"};

// `rules`: the user chose rule files; then their evidence counts as well. Unasked,
// it does not: every shipped rule file is evaluated, and no-egress finds any traffic.
int gate(const AuditResult& result, const std::string& fail_on, bool rules) {
  if (fail_on == "never") return kOk;
  // A lead is for a person to follow, not for a gate to fail on.
  const auto count = [&](Verdict verdict) {
    return static_cast<uint64_t>(
        std::count_if(result.findings.begin(), result.findings.end(),
                      [&](const Finding& finding) { return finding.verdict == verdict && !finding.is_lead(); }));
  };
  uint64_t findings = count(Verdict::contradicted);
  if (fail_on != "contradicted") findings += count(Verdict::ambiguous);
  if (fail_on == "omitted" || fail_on == "vague" || fail_on == "incomplete") findings += count(Verdict::omitted);
  if (fail_on == "vague" || fail_on == "incomplete") findings += count(Verdict::vague);
  for (const RuleResult& rule : result.rules) {
    if (rules && rule.status == RuleStatus::evidence && rule.inference == Inference::textual) ++findings;
  }
  if (fail_on == "incomplete") {
    findings += result.ledger_totals[0].undecoded() + result.ledger_totals[1].undecoded() + result.issues.size();
  }
  return findings > 0 ? kFindings : kOk;
}

// A mistyped service would find no text and no flow, and pass every gate.
bool known_service(const AuditInputs& inputs, const std::string& service) {
  const auto& [policies, clients, entities] = std::tie(inputs.policies, inputs.clients, inputs.recipients.entities());
  return std::any_of(policies.begin(), policies.end(),
                     [&](const Policy& policy) { return policy.publisher == service; }) ||
         std::any_of(clients.begin(), clients.end(),
                     [&](const ClientHosts& client) { return client.service == service; }) ||
         std::any_of(entities.begin(), entities.end(), [&](const Entity& entity) { return entity.service == service; });
}

int terminal_width() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40 ? size.ws_col : 100;
}

int run(const AuditFlags& flags) {
  Result<std::unique_ptr<LoadedPolicies>> loaded = load_policies_for(flags.policies);
  if (!loaded) return report_error(loaded.error());
  LoadedPolicies& policies = **loaded;
  Result<Context> context = load_context(flags.context);
  if (!context) {
    report_error(context.error());
    return kUsage;  // what could not be read is no recording
  }
  policies.inputs.context = std::move(*context);
  for (const auto& [flag, to] : {std::pair(&flags.service, &policies.inputs.context.service),
                                 std::pair(&flags.country, &policies.inputs.context.country),
                                 std::pair(&flags.platform, &policies.inputs.context.platform),
                                 std::pair(&flags.account, &policies.inputs.context.account)}) {
    if (!flag->empty()) *to = *flag;
  }
  auto& stand_ins = policies.inputs.context.stand_ins;
  stand_ins.insert(stand_ins.end(), flags.stand_ins.begin(), flags.stand_ins.end());
  if (!stand_ins.empty() && policies.inputs.context.service.empty()) {
    return report_error(
        Error{ErrorCode::usage, "say with --service in whose place the host answered", stand_ins.front()});
  }
  if (const std::string& country = policies.inputs.context.country; !country.empty() && !is_country_code(country)) {
    return report_error(
        Error{ErrorCode::usage, "the country of the user is written as two capital letters: DE, KR, US …", country});
  }
  if (const std::string& service = policies.inputs.context.service;
      !service.empty() && !known_service(policies.inputs, service)) {
    return report_error(
        Error{ErrorCode::usage,
              "no text, client or recipient file speaks of this service; `vitrine policy list` shows them", service});
  }
  if (const Status chosen = choose_texts(flags.texts, policies.inputs); !chosen) return report_error(chosen.error());
  AuditRun audit(policies);
  int worst = kOk;
  for (const std::string& path : flags.input.paths) {
    IssueLog own;
    ProgressBar bar(path, flags.input.quiet);
    const Status status =
        audit.read(path, flags.input.options(), own, [&](uint64_t done, uint64_t total) { bar.update(done, total); });
    print_issues(own, path, flags.input.quiet);
    if (!status) worst = std::max(worst, report_error(status.error()));
  }
  // One readable recording is enough; without any, the worst reason counts.
  if (audit.recordings() == 0) return worst;
  const AuditResult result = audit.evaluate();

  if (!flags.json.empty()) {
    const std::string json = render_json(result);
    if (flags.json == "-") {
      std::fwrite(json.data(), 1, json.size(), stdout);
    } else if (const Status written = write_file(flags.json, json); !written) {
      return report_error(written.error());
    }
  }
  if (!flags.html.empty()) {
    if (const Status written = write_file(flags.html, render_html(result, flags.locale)); !written)
      return report_error(written.error());
  }
  if (flags.json != "-") {
    const bool colour = shows_colour(STDOUT_FILENO);
    const std::string text = render_terminal(result, flags.locale, colour, terminal_width());
    std::fwrite(text.data(), 1, text.size(), stdout);
    if (!flags.html.empty()) std::printf("\nreport: %s\n", flags.html.c_str());
    if (!flags.json.empty()) std::printf("%s: %s\n", flags.html.empty() ? "\nreport" : "data", flags.json.c_str());
  }
  return gate(result, flags.fail_on, !flags.policies.rule_files.empty());
}

}  // namespace

void add_audit(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("audit", "compare what a client sent with what was declared");
  auto flags = std::make_shared<AuditFlags>();
  flags->input.add_to(*command, true);
  command
      ->add_option("--context", flags->context,
                   "audit.yaml: who tested what, where, and which steps were taken (docs/context.md)")
      ->type_name("FILE");
  command->add_option("--service", flags->service, "the service under audit, as policies name it: deepseek, …");
  command
      ->add_option("--stand-in", flags->stand_ins,
                   "a host that answered in the service's place (vitrine serve, a test server): its traffic is held "
                   "against the service's texts; repeatable")
      ->type_name("HOST")
      ->allow_extra_args(false);
  command->add_option("--country", flags->country, "country of the user (DE, KR, US …): chooses editions and rules");
  command->add_option("--platform", flags->platform, "web, app or api")->check(CLI::IsMember({"web", "app", "api"}));
  command->add_option("--account", flags->account, "consumer, business or none")
      ->check(CLI::IsMember({"consumer", "business", "none"}));
  command->add_option("--policy", flags->texts,
                      "use exactly this text, e.g. deepseek/2024-12-05; repeatable (default: the ones in force at the "
                      "time of the recording)");
  command
      ->add_option("--policies", flags->policies.folders,
                   "further policy folder (vendors/, laws/, org/, recipients/, clients/); repeatable")
      ->type_name("DIR");
  command->add_option("--rules", flags->policies.rule_files,
                      "evaluate only these rule files: gdpr, pipa, no-egress …; repeatable");
  command->add_option("--mmdb", flags->policies.mmdb, "MaxMind database with the country of addresses")
      ->type_name("FILE");
  command->add_option("--asn-mmdb", flags->policies.asn_mmdb, "MaxMind database with the owner of networks")
      ->type_name("FILE");
  command->add_option("--json", flags->json, "write report.json ('-' = standard output, nothing else printed)")
      ->type_name("FILE");
  command->add_option("--html", flags->html, "write the self-contained HTML report")->type_name("FILE");
  command->add_option("--locale", flags->locale, "language of the report")
      ->check(CLI::IsMember({"en", "ko"}))
      ->capture_default_str();
  command
      ->add_option("--fail-on", flags->fail_on,
                   "exit with 1 from this verdict on: contradicted, ambiguous, omitted, vague; incomplete also for "
                   "bytes that were not decoded; never. Evidence for rules chosen with --rules counts at every level")
      ->check(CLI::IsMember(kFailOn))
      ->capture_default_str();
  command->add_option("--data", flags->policies.data, "folder that holds policies/ (default: the shipped one)")
      ->type_name("DIR");
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
