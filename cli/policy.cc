#include <fmt/format.h>

#include <filesystem>

#include "audit/policy_diff.h"
#include "base/file.h"
#include "base/json_writer.h"
#include "cli/audit_inputs.h"
#include "cli/commands.h"
#include "reports/policy_diff.h"

#include <unistd.h>

namespace vitrine::cli {
namespace {

struct PolicyCommandFlags {
  PolicyFlags policies;
  std::vector<std::string> names;
  std::string texts;
  bool json = false;
};

void print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

// "deepseek/2024-12-05" or, with the publisher given apart, "2024-12-05".
Result<const Policy*> find_policy(const LoadedPolicies& loaded, std::string_view publisher, std::string_view name) {
  const std::string wanted = publisher.empty() ? std::string(name) : std::string(publisher) + "/" + std::string(name);
  for (const Policy& policy : loaded.inputs.policies) {
    if (policy.file == wanted || policy.file == wanted + ".yaml") return &policy;
  }
  return fail(ErrorCode::usage, "no such policy text; `vitrine policy list` shows what is held", wanted);
}

std::string name_of(const Policy& policy) {
  return policy.file.ends_with(".yaml") ? policy.file.substr(0, policy.file.size() - 5) : policy.file;
}

int list(const LoadedPolicies& loaded, bool json) {
  std::string out;
  if (json) {
    JsonWriter writer(out);
    writer.begin().key("policies").begin_array();
    for (const Policy& policy : loaded.inputs.policies) {
      writer.begin().key("name").string(name_of(policy)).key("publisher").string(policy.publisher);
      writer.key("kind").string(policy.kind).key("title").string(policy.title).key("language").string(policy.language);
      writer.key("version_date").string(policy.version_date()).key("last_seen").string(policy.last_seen);
      writer.key("statements").number(static_cast<uint64_t>(policy.statements.size()));
      writer.key("cookies")
          .number(static_cast<uint64_t>(policy.cookies.size()))
          .key("complete")
          .boolean(policy.complete)
          .end();
    }
    writer.end_array().key("rule_files").begin_array();
    for (const RuleFile& rules : loaded.inputs.rules) {
      writer.begin().key("id").string(rules.id).key("title").string(rules.title);
      writer.key("rules").number(static_cast<uint64_t>(rules.rules.size())).end();
    }
    writer.end_array().key("clients").begin_array();
    for (const ClientFile& file : loaded.knowledge->rules.files()) {
      writer.begin().key("client").string(file.client).key("service").string(file.service.value_or(""));
      writer.key("platform").string(file.platform).key("versions").string(file.versions).end();
    }
    writer.end_array().end();
    print(out + "\n");
    return kOk;
  }
  out += "POLICY TEXTS (name, kind, date of the text, last recorded, statements, cookies, whole set held)\n";
  for (const Policy& policy : loaded.inputs.policies) {
    fmt::format_to(std::back_inserter(out), "  {:<32} {:<9} {:<11} {:<11} {:>4} {:>3}  {}\n", name_of(policy),
                   policy.kind, policy.version_date(), policy.last_seen, policy.statements.size(),
                   policy.cookies.size(), policy.complete ? "yes" : "no");
  }
  out += "RULE FILES\n";
  for (const RuleFile& rules : loaded.inputs.rules) {
    fmt::format_to(std::back_inserter(out), "  {:<32} {} ({} rules)\n", rules.id, rules.title, rules.rules.size());
  }
  out += "CLIENTS (field rules)\n";
  for (const ClientFile& file : loaded.knowledge->rules.files()) {
    fmt::format_to(std::back_inserter(out), "  {:<32} {}{}\n", file.client, file.service.value_or("any service"),
                   file.versions.empty() ? "" : ", versions " + file.versions);
  }
  print(out);
  return kOk;
}

int show(const LoadedPolicies& loaded, const std::string& name, bool json) {
  const Result<const Policy*> found = find_policy(loaded, "", name);
  if (!found) return report_error(found.error());
  const Policy& policy = **found;
  std::string out;
  if (json) {
    JsonWriter writer(out);
    writer.begin().key("name").string(name_of(policy)).key("publisher").string(policy.publisher_name);
    writer.key("title").string(policy.title).key("version_date").string(policy.version_date());
    writer.key("statements").begin_array();
    for (const Statement& statement : policy.statements) {
      writer.begin().key("id").string(statement.id).key("action").plain(to_string(statement.action));
      writer.key("data").begin_array();
      for (const std::string& type : statement.data) writer.string(type);
      writer.end_array()
          .key("recipient")
          .string(statement.recipient)
          .key("channel")
          .plain(to_string(statement.channel));
      writer.key("trigger").string(statement.trigger).key("quote").string(statement.quote).end();
    }
    writer.end_array().end();
    print(out + "\n");
    return kOk;
  }
  fmt::format_to(std::back_inserter(out), "{} — {} ({}), text of {}, recorded {} to {}\nsource: {}\n",
                 policy.publisher_name, policy.title, policy.kind, policy.version_date(), policy.first_seen,
                 policy.last_seen, policy.record_source);
  for (const PolicyMissing& missing : policy.missing) {
    fmt::format_to(std::back_inserter(out), "not held: {} ({})\n", missing.document, fmt::join(missing.regions, ", "));
  }
  for (const Statement& statement : policy.statements) {
    std::string narrowed;
    if (!statement.regions.empty()) narrowed += fmt::format("  in {}", fmt::join(statement.regions, ", "));
    if (!statement.from.empty()) narrowed += "  from " + statement.from;
    if (!statement.until.empty()) narrowed += "  until " + statement.until;
    fmt::format_to(std::back_inserter(out), "\n{}  {} -> {}  [{}, {}]{}\n  {}\n  “{}”\n", statement.id,
                   to_string(statement.action), statement.recipient, to_string(statement.channel), statement.trigger,
                   narrowed, fmt::join(statement.data, ", "), normalise_space(statement.quote));
  }
  for (const DeclaredCookie& cookie : policy.cookies) {
    fmt::format_to(std::back_inserter(out), "\ncookie {}  {}  {}  {}  {}\n", cookie.name, cookie.domain, cookie.party,
                   cookie.lifetime, cookie.category);
  }
  print(out);
  return kOk;
}

// Loading is the strict part: a file that loads has no unknown keys or values.
int lint(const LoadedPolicies& loaded, const std::string& texts) {
  size_t problems = 0, quotes = 0, without_text = 0;
  for (const Policy& policy : loaded.inputs.policies) {
    std::string text;
    if (!texts.empty() && !policy.record_file.empty()) {
      if (Result<std::string> read = read_file(texts + "/" + policy.record_file)) text = std::move(*read);
    }
    if (text.empty()) ++without_text;
    else quotes += policy.statements.size() + policy.cookies.size();
    for (const LintProblem& problem : lint_policy(policy, loaded.inputs.recipients, loaded.inputs.regions, text)) {
      std::printf("%s: %s\n", problem.where.c_str(), problem.message.c_str());
      ++problems;
    }
  }
  std::printf("%zu policy texts, %zu rule files, %zu client rules: %zu problems; %zu quotes compared with their texts",
              loaded.inputs.policies.size(), loaded.inputs.rules.size(), loaded.knowledge->rules.rules().size(),
              problems, quotes);
  if (without_text > 0)
    std::printf(" (%zu texts not at hand%s)", without_text, texts.empty() ? ": name their folder with --texts" : "");
  std::printf("\n");
  return problems > 0 ? kFindings : kOk;
}

int diff(const LoadedPolicies& loaded, const std::vector<std::string>& names, bool json) {
  const std::string publisher = names.size() == 3 ? names[0] : "";
  const Result<const Policy*> before = find_policy(loaded, publisher, names[names.size() - 2]);
  if (!before) return report_error(before.error());
  const Result<const Policy*> after = find_policy(loaded, publisher, names[names.size() - 1]);
  if (!after) return report_error(after.error());
  const PolicyDiff difference = diff_policies(**before, **after, *loaded.inputs.taxonomy);
  print(json ? render_policy_diff_json(difference)
             : render_policy_diff(difference, "en", shows_colour(STDOUT_FILENO), 100));
  return kOk;
}

}  // namespace

void add_policy(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("policy", "the policy texts, rules and client rules that are held");
  command->require_subcommand(1);
  auto flags = std::make_shared<PolicyCommandFlags>();
  const auto common = [flags](CLI::App* sub) {
    sub->add_option("--policies", flags->policies.folders, "further policy folder; repeatable")->type_name("DIR");
    sub->add_option("--data", flags->policies.data, "folder that holds policies/ (default: the shipped one)")
        ->type_name("DIR");
  };
  const auto with_loaded = [flags, &exit_code](auto work) {
    return [=, &exit_code] {
      const Result<std::unique_ptr<LoadedPolicies>> loaded = load_policies_for(flags->policies);
      exit_code = loaded ? work(**loaded) : report_error(loaded.error());
    };
  };
  auto* list_command = command->add_subcommand("list", "what is held");
  common(list_command);
  list_command->add_flag("--json", flags->json, "as JSON");
  list_command->callback(with_loaded([flags](const LoadedPolicies& loaded) { return list(loaded, flags->json); }));

  auto* show_command = command->add_subcommand("show", "one text's statements with their quotes");
  common(show_command);
  show_command->add_option("name", flags->names, "e.g. deepseek/2024-12-05")->required()->expected(1);
  show_command->add_flag("--json", flags->json, "as JSON");
  show_command->callback(
      with_loaded([flags](const LoadedPolicies& loaded) { return show(loaded, flags->names[0], flags->json); }));

  auto* lint_command =
      command->add_subcommand("lint", "check every policy file; with --texts, every quote against its text");
  common(lint_command);
  lint_command->add_option("--texts", flags->texts, "folder with the documents that quotes were taken from")
      ->type_name("DIR");
  lint_command->callback(with_loaded([flags](const LoadedPolicies& loaded) { return lint(loaded, flags->texts); }));

  auto* diff_command = command->add_subcommand("diff", "what changed between two versions of a text");
  common(diff_command);
  diff_command->add_option("names", flags->names, "PUBLISHER OLD NEW, or two names as in `policy list`")
      ->required()
      ->expected(2, 3);
  diff_command->add_flag("--json", flags->json, "as JSON");
  diff_command->footer("Example:\n  vitrine policy diff deepseek 2024-12-05 2025-02-14");
  diff_command->callback(
      with_loaded([flags](const LoadedPolicies& loaded) { return diff(loaded, flags->names, flags->json); }));
}

}  // namespace vitrine::cli
