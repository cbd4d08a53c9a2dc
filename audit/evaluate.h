// From collected flows and the loaded texts to the result: recipients,
// attribution, verdicts (audit model, section 6), cookies, rules, limits.
#pragma once

#include <string>
#include <vector>

#include "audit/context.h"
#include "audit/finding.h"
#include "audit/policy.h"
#include "audit/recipient.h"
#include "audit/regions.h"
#include "audit/rules.h"
#include "audit/taxonomy.h"

namespace vitrine {

class FlowCollector;  // audit/flow.h

// Of one client rule file: which hosts tie a flow to which service.
struct ClientHosts {
  std::string client, service;     // "deepseek-web", "deepseek"; service empty for generic files
  std::string platform;            // web | android | ios | desktop | cli | any
  std::vector<std::string> hosts;  // globs
};

// Everything that was loaded before the capture is read. Owner: the caller, for
// longer than collectors and evaluate(). Read-only, so shared by all threads.
struct AuditInputs {
  const Taxonomy* taxonomy = nullptr;  // REQUIRES: set
  Context context;
  std::vector<Policy> policies;              // all held; the ones that apply are selected
  std::vector<std::string> chosen_policies;  // Policy::file; when not empty, exactly these are used
  RecipientDirectory recipients;
  Regions regions;
  std::vector<RuleFile> rules;
  std::vector<ClientHosts> clients;
  const CountryDatabase* ip_countries = nullptr;    // null: the country of addresses is not known
  const CountryDatabase* network_owners = nullptr;  // country and name of the network's owner
  std::vector<InputFile> files;
  std::string case_key;  // 32 bytes; digests and distinct counts are keyed with it
};

// `issues`: what reading skipped, already counted. Deterministic: a pure
// function of its arguments, whatever the sharding of the collectors was.
AuditResult evaluate(const AuditInputs& inputs, FlowCollector&& flows, std::vector<IssueCount> issues);

}  // namespace vitrine
