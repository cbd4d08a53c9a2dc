// audit.yaml: who tested what, where, when, and which steps were taken. Without
// a marker, rules that need one are not testable; nothing is guessed.
//
//   context: 1
//   simulated: false                      # (optional)
//   subject: {service: deepseek, client: deepseek-web, version: "1.4",
//             platform: web,              # (optional) web | app | api; else by the client's rule file
//             processes: [com.deepseek.chat], hosts: ["*.deepseek.com"]}   # (optional)
//   user: {country: DE, account: consumer, language: en}   # each optional
//   operator: "..."          # (optional), also authorisation, environment
//   steps:                   # (optional)
//     - {step: launch, time: "2026-11-23T10:00:00Z", note: "..."}
//   secrets: [{id: canary-1, value: "..."}]                # (optional) planted canaries
//   policy_date: 2025-02-20  # (optional) choose texts as of this day instead of the capture's
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace vitrine {

struct Step {
  std::string step;  // one of step_names()
  Timestamp time;
  std::string note;
};

struct Canary {
  std::string id;
  std::string value;  // 8..256 bytes: shorter ones would be met by chance
};

struct Context {
  bool given = false;  // false: nothing but defaults
  bool simulated = false;
  std::string service, client, version;
  std::string platform;                       // web | app | api, or empty
  std::vector<std::string> processes, hosts;  // hosts: globs
  std::vector<std::string> stand_ins;         // globs: hosts that answered in the service's place
  std::string country, account, language;     // empty = not said
  std::string operator_name, authorisation, environment;
  std::vector<Step> steps;  // by time
  std::vector<Canary> secrets;
  std::optional<std::string> policy_date;  // YYYY-MM-DD

  std::optional<Timestamp> first_step(std::string_view name) const;
};

// launch, login, signup, consent-shown, consent-accepted, consent-rejected,
// typing-start, submit, upload, voice, payment, support, crash, search, delete, logout
const std::vector<std::string>& step_names();

// Step that exercises a statement's trigger: always → launch, typing →
// typing-start, others → the step of the same name.
std::string_view step_for_trigger(std::string_view trigger);

// `file` is printed in errors only.
Result<Context> parse_context(std::string_view text, const std::string& file);

}  // namespace vitrine
