// Collected contexts → flows, recipients, ledger rows and the timeline.
#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "audit/evaluation.h"
#include "capture/ledger.h"

namespace vitrine {
namespace {

struct FlowSum {
  FlowCell cell;
  std::set<Attribution> by;
  std::set<std::string> hosts;
};
using FlowKey = std::tuple<std::string, TypeId, Leg>;

Flow publish(const FlowKey& key, FlowSum&& sum, bool attributed, const Evaluation& e) {
  constexpr size_t kDeciders = 8;
  const auto& [recipient, type, leg] = key;
  Flow flow;
  flow.type = e.taxonomy().id(type);
  flow.recipient = recipient;
  flow.leg = leg;
  flow.role = e.recipients->at(recipient).role;
  flow.id = stable_id({attributed ? "flow" : "unattributed", flow.type, recipient, to_string(leg)});
  flow.attributed_by.assign(sum.by.begin(), sum.by.end());
  flow.hosts.assign(sum.hosts.begin(), sum.hosts.end());
  FlowCell& cell = sum.cell;
  flow.count = cell.count();
  flow.distinct_values = cell.distinct.count();
  flow.distinct_at_least = cell.distinct.at_least();
  for (ObservedValues& values : cell.values) {
    const bool surest = &values == &cell.values.front();
    flow.count_by_observation[static_cast<size_t>(values.observation)] = values.count;
    flow.first = surest ? values.first : std::min(flow.first, values.first);
    flow.last = surest ? values.last : std::max(flow.last, values.last);
    std::vector<Evidence> evidence;
    for (const Sighting& each : values.sightings) evidence.push_back(each.at);
    std::optional<Evidence>& last = values.last_evidence;
    if (last && std::find(evidence.begin(), evidence.end(), *last) != evidence.end()) last.reset();
    if (!surest) {
      flow.weaker.push_back({values.observation, values.count, values.first, values.last, std::move(evidence), last});
      continue;
    }
    flow.observation = values.observation;
    flow.surest_first = values.first;
    flow.surest_last = values.last;
    if (!values.sightings.empty()) {
      flow.sample = std::move(values.sightings.front().sample);
      flow.sample_digest = std::move(values.sightings.front().digest);
    }
    flow.evidence = std::move(evidence);
    flow.last_evidence = std::move(last);
  }
  for (const std::string& name : cell.decided_by) {
    if (flow.decided_by.size() == kDeciders) {
      flow.decided_by.push_back("…");
      break;
    }
    flow.decided_by.push_back(name);
  }
  flow.transport.cleartext = cell.cleartext.count != 0;
  flow.transport.in_url = cell.in_url.count != 0;
  flow.transport.lowest_tls = cell.lowest_tls;
  for (auto [from, into] :
       {std::pair{&cell.cleartext, &flow.transport.cleartext_use}, std::pair{&cell.in_url, &flow.transport.in_url_use},
        std::pair{&cell.oldest_tls, &flow.transport.lowest_tls_use}}) {
    *into = {from->count, from->observation, std::move(from->evidence)};
  }
  return flow;
}

void build_timeline(Evaluation& e) {
  std::map<std::pair<std::string, bool>, TimeBins> by_recipient;
  int64_t widest = 1;
  for (const auto& [key, context] : e.flows.contexts()) {
    const std::string& recipient = e.recipients->resolve(key.host, key.server);
    const bool attributed = e.attributor->of(key) != Attribution::unattributed;
    TimeBins& bins = by_recipient[{recipient, attributed}];
    bins.merge(context.bins);
    widest = std::max(widest, bins.bin_seconds());
  }
  // One width for all, and no more columns in all than one recipient may have.
  TimeBins all;
  for (const auto& [key, bins] : by_recipient) all.merge(bins);
  widest = std::max(widest, all.bin_seconds());
  e.result.timeline_bin_seconds = widest;
  for (auto& [key, bins] : by_recipient) {
    bins.widen_to(widest);
    for (const auto& [start, counts] : bins.bins()) {
      e.result.timeline.push_back(
          {Timestamp{start * widest * 1'000'000'000}, key.first, key.second, counts.requests, counts.values});
    }
  }
  std::sort(e.result.timeline.begin(), e.result.timeline.end(), [](const TimelineBin& a, const TimelineBin& b) {
    return std::tie(a.start, a.recipient, b.attributed) < std::tie(b.start, b.recipient, a.attributed);
  });
  for (const StepMarker& step : e.result.context.steps) e.result.events.push_back({step.time, "step", step.step, {}});
  for (const Flow& flow : e.result.flows) {
    e.result.events.push_back({flow.first, "first-flow", flow.type, flow.recipient});
  }
  std::stable_sort(e.result.events.begin(), e.result.events.end(), [](const TimelineEvent& a, const TimelineEvent& b) {
    return std::tie(a.time, b.kind, a.label, a.recipient) < std::tie(b.time, a.kind, b.label, b.recipient);
  });
}

void build_ledger(Evaluation& e, const std::set<std::string>& attributed_hosts) {
  const CoverageLedger& ledger = e.flows.ledger();
  for (const auto& [host, row] : ledger.rows()) {
    for (size_t i = 0; i < 2; ++i) {
      if (row.bytes[i].total() == 0) continue;
      LedgerRow out;
      out.host = host;
      out.recipient = e.recipients->find(host);
      if (out.recipient.empty()) out.recipient = e.recipients->resolve(host, IpAddress::parse(host));
      out.direction = static_cast<Direction>(i);
      out.bytes = row.bytes[i];
      out.attributed = attributed_hosts.count(host) != 0;
      e.result.ledger.push_back(std::move(out));
    }
  }
  e.result.ledger_totals = ledger.totals();
}

}  // namespace

void build_flows(Evaluation& e) {
  std::map<FlowKey, FlowSum> sums[2];  // unattributed, attributed
  std::set<std::string> attributed_hosts;
  for (const auto& [key, context] : e.flows.contexts()) {
    if (context.requests == 0 && context.cells.empty() && context.unread.values == 0) continue;
    const Attribution by = e.attributor->of(key);
    const bool attributed = by != Attribution::unattributed;
    if (attributed) attributed_hosts.insert(key.host);
    const std::string& recipient = e.recipients->resolve(key.host, key.server);
    const Leg leg = e.recipients->leg(key.host, key.server);
    e.unread[recipient].merge(UnreadValues(context.unread));
    for (const auto& [type, cell] : context.cells) {
      FlowSum& sum = sums[attributed][{recipient, type, leg}];
      FlowCell copy = cell;
      sum.cell.merge(std::move(copy));
      sum.by.insert(by);
      sum.hosts.insert(key.host);
    }
  }
  for (const auto& [key, sight] : e.flows.endpoints()) e.recipients->resolve(key.name, key.server.ip);
  for (bool attributed : {false, true}) {
    auto& into = attributed ? e.result.flows : e.result.unattributed;
    for (auto& [key, sum] : sums[attributed]) into.push_back(publish(key, std::move(sum), attributed, e));
    std::sort(into.begin(), into.end(), [](const Flow& a, const Flow& b) {
      return std::tie(a.role, a.recipient, a.type, a.leg) < std::tie(b.role, b.recipient, b.type, b.leg);
    });
  }
  build_ledger(e, attributed_hosts);
  build_timeline(e);
}

}  // namespace vitrine
