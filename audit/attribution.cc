#include "audit/attribution.h"

#include <algorithm>

namespace vitrine {
namespace {

bool matches_any(const std::vector<std::string>& globs, const std::string& host) {
  return std::any_of(globs.begin(), globs.end(), [&](const std::string& glob) { return host_matches(glob, host); });
}

std::set<std::string> askers(const FlowContextKey& key) {
  std::set<std::string> hosts;
  for (const std::string* host : {&key.initiator_host, &key.origin_host, &key.referer_host}) {
    if (!host->empty()) hosts.insert(*host);
  }
  return hosts;
}

}  // namespace

Attributor::Attributor(const AuditInputs& inputs, const std::string& service,
                       const std::map<FlowContextKey, FlowContext>& contexts)
    : inputs_(inputs), service_(service) {
  std::set<std::string> pages;  // hosts that were a page of their own
  for (const auto& [key, context] : contexts) {
    if (context.navigations == 0) continue;
    pages.insert(key.host);
    if (context.navigations == context.requests) left_.insert(key);
  }
  // A frame of a third party asks in its own name. It speaks for the subject
  // when everything that led to the third party was the subject's.
  constexpr int kNesting = 8;
  for (int round = 0; round < kNesting; ++round) {
    std::map<std::string, bool> only_subject;
    for (const auto& [key, context] : contexts) {
      if (context.requests == 0 || own(key.host) || pages.count(key.host)) continue;
      const std::set<std::string> who = askers(key);
      if (who.size() == 1 && *who.begin() == key.host) continue;
      const Attribution by = of(key);
      const bool vouched = by == Attribution::page || by == Attribution::process || by == Attribution::context_host;
      auto [at, fresh] = only_subject.emplace(key.host, vouched);
      if (!fresh) at->second = at->second && vouched;
    }
    std::set<std::string> next;
    for (const auto& [host, only] : only_subject) {
      if (only) next.insert(host);
    }
    if (next == carriers_) break;
    carriers_ = std::move(next);
  }
  find_shared_connections(contexts);
  find_client_processes(contexts);
}

void Attributor::find_shared_connections(const std::map<FlowContextKey, FlowContext>& contexts) {
  for (const auto& [key, context] : contexts) {
    const bool asked_elsewhere = key.asked() && of(key) == Attribution::unattributed;
    if (asked_elsewhere || (context.navigations != 0 && !own(key.host))) return;
  }
  std::set<FlowContextKey> shared;
  for (const auto& [key, context] : contexts) {
    if (key.asked() || context.alone != 0 || context.company.empty()) continue;
    const bool only_subject =
        std::all_of(context.company.begin(), context.company.end(),
                    [&](const FlowContextKey& other) { return of(other) != Attribution::unattributed; });
    if (only_subject) shared.insert(key);
  }
  shared_ = std::move(shared);
}

void Attributor::find_client_processes(const std::map<FlowContextKey, FlowContext>& contexts) {
  std::set<std::string> asked_first_party, others;
  for (const auto& [key, context] : contexts) {
    if (key.process.empty()) continue;
    const bool ours = own(key.host);
    if (ours && context.requests != 0) asked_first_party.insert(key.process);
    const std::set<std::string> who = askers(key);
    const bool in_own_name = std::all_of(who.begin(), who.end(), [&](const std::string& host) { return own(host); });
    const Entity* entity = inputs_.recipients.by_host(key.host);
    const bool other_service = !ours && entity != nullptr && !entity->service.empty();
    if (context.navigations != 0 || context.of_browser != 0 || !in_own_name || other_service)
      others.insert(key.process);
  }
  for (const std::string& process : asked_first_party) {
    if (!others.count(process)) client_processes_.insert(process);
  }
}

bool Attributor::first_party(const std::string& host) const {
  if (service_.empty()) return false;
  const Entity* entity = inputs_.recipients.by_host(host);
  return entity != nullptr && entity->service == service_;
}

bool Attributor::context_host(const std::string& host) const {
  return matches_any(inputs_.context.hosts, host) || matches_any(inputs_.context.stand_ins, host);
}

bool Attributor::client_rule(const std::string& host) const {
  return !service_.empty() &&
         std::any_of(inputs_.clients.begin(), inputs_.clients.end(), [&](const ClientHosts& client) {
           return client.service == service_ && matches_any(client.hosts, host);
         });
}

bool Attributor::own(const std::string& host) const { return first_party(host) || context_host(host); }

Attribution Attributor::of(const FlowContextKey& key) const {
  const auto& processes = inputs_.context.processes;
  if (!processes.empty() && !key.process.empty()) {
    return std::find(processes.begin(), processes.end(), key.process) != processes.end() ? Attribution::process
                                                                                         : Attribution::unattributed;
  }
  const std::set<std::string> who = askers(key);
  for (const std::string& host : who) {
    if ((own(host) || carriers_.count(host)) && !left_.count(key)) return Attribution::page;
  }
  if (context_host(key.host)) return Attribution::context_host;
  if (first_party(key.host)) return Attribution::first_party_host;
  if (!who.empty()) return Attribution::unattributed;
  if (client_rule(key.host)) return Attribution::client_rule_host;
  if (shared_.count(key)) return Attribution::same_connection;
  if (client_processes_.count(key.process)) return Attribution::client_process;
  return Attribution::unattributed;
}

std::string guess_service(const AuditInputs& inputs, const std::map<FlowContextKey, FlowContext>& contexts) {
  std::map<std::string, uint64_t> requests;
  for (const auto& [key, context] : contexts) {
    const Entity* entity = inputs.recipients.by_host(key.host);
    if (entity && !entity->service.empty() && entity->kind == "first-party") {
      requests[entity->service] += context.requests + context.cells.size();
    }
  }
  std::string best;
  uint64_t most = 0;
  for (const auto& [service, count] : requests) {
    if (count > most) {
      best = service;
      most = count;
    }
  }
  return best;
}

}  // namespace vitrine
