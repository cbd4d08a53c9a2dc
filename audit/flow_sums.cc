#include "audit/flow_sums.h"

#include <algorithm>
#include <tuple>

namespace vitrine {

bool operator<(const Evidence& left, const Evidence& right) {
  return std::tie(left.packet, left.origin.exchange, left.origin.node, left.path) <
         std::tie(right.packet, right.origin.exchange, right.origin.node, right.path);
}
bool operator==(const Evidence& left, const Evidence& right) { return !(left < right) && !(right < left); }

void keep_smallest(std::vector<Evidence>& kept, Evidence fresh, size_t bound) {
  auto at = std::lower_bound(kept.begin(), kept.end(), fresh);
  if (at != kept.end() && *at == fresh) return;
  kept.insert(at, std::move(fresh));
  if (kept.size() > bound) kept.pop_back();
}

void keep_largest(std::optional<Evidence>& kept, std::optional<Evidence> fresh) {
  if (fresh && (!kept || *kept < *fresh)) kept = std::move(fresh);
}

namespace {

template <class T>
void keep_earlier(std::optional<T>& kept, const std::optional<T>& fresh) {
  if (fresh && (!kept || *fresh < *kept)) kept = fresh;
}
template <class T>
void keep_later(std::optional<T>& kept, const std::optional<T>& fresh) {
  if (fresh && (!kept || *kept < *fresh)) kept = fresh;
}

}  // namespace

void DistinctCount::merge(const DistinctCount& other) {
  for (uint64_t hash : other.hashes_) add(hash);
}

void TimeBins::widen() {
  ++shift_;
  std::map<int64_t, Counts> wide;
  for (const auto& [start, counts] : bins_) {
    Counts& into = wide[start >> 1];
    into.requests += counts.requests;
    into.values += counts.values;
  }
  bins_ = std::move(wide);
}

void TimeBins::widen_to(int64_t seconds) {
  while (bin_seconds() < seconds) widen();
}

void TimeBins::add(Timestamp time, uint64_t requests, uint64_t values) {
  const int64_t seconds = time.ns / 1'000'000'000;
  Counts& into = bins_[seconds >> shift_];
  into.requests += requests;
  into.values += values;
  while (bins_.size() > kMaxBins) widen();
}

void TimeBins::merge(const TimeBins& other) {
  while (shift_ < other.shift_) widen();
  for (const auto& [start, counts] : other.bins_) {
    Counts& into = bins_[start >> (shift_ - other.shift_)];
    into.requests += counts.requests;
    into.values += counts.values;
  }
  while (bins_.size() > kMaxBins) widen();
}

void ObservedValues::count_in(Timestamp time) {
  if (count == 0 || time < first) first = time;
  if (count == 0 || last < time) last = time;
  ++count;
}

void ObservedValues::keep(Sighting&& fresh) {
  auto at = std::lower_bound(sightings.begin(), sightings.end(), fresh,
                             [](const Sighting& a, const Sighting& b) { return a.at < b.at; });
  if (at != sightings.end() && at->at == fresh.at) return;
  sightings.insert(at, std::move(fresh));
  if (sightings.size() > kMaxEvidence) sightings.pop_back();
}

std::optional<Sighting> ObservedValues::take(const Evidence& place) {
  --count;
  std::optional<Sighting> taken;
  const auto at =
      std::find_if(sightings.begin(), sightings.end(), [&](const Sighting& each) { return each.at == place; });
  if (at != sightings.end()) {
    taken = std::move(*at);
    sightings.erase(at);
  }
  if (last_evidence && *last_evidence == place) {
    last_evidence = sightings.empty() ? std::nullopt : std::optional(sightings.back().at);
  }
  return taken;
}

void ObservedValues::merge(ObservedValues&& other) {
  if (other.count != 0) {
    first = count == 0 ? other.first : std::min(first, other.first);
    last = count == 0 ? other.last : std::max(last, other.last);
  }
  count += other.count;
  for (Sighting& each : other.sightings) keep(std::move(each));
  keep_largest(last_evidence, std::move(other.last_evidence));
}

void TransportSight::keep(Observation fresh, Evidence at) {
  if (fresh < observation) return;
  if (fresh > observation) evidence.clear();
  observation = fresh;
  keep_smallest(evidence, std::move(at));
}

void TransportSight::merge(TransportSight&& other) {
  count += other.count;
  for (Evidence& item : other.evidence) keep(other.observation, std::move(item));
}

ObservedValues& FlowCell::of(Observation observation) {
  auto at = std::find_if(values.begin(), values.end(),
                         [&](const ObservedValues& each) { return each.observation <= observation; });
  if (at == values.end() || at->observation != observation) {
    at = values.emplace(at);
    at->observation = observation;
  }
  return *at;
}

uint64_t FlowCell::count() const {
  uint64_t sum = 0;
  for (const ObservedValues& each : values) sum += each.count;
  return sum;
}

void FlowCell::add_decider(std::string_view name) {
  constexpr size_t kBound = 9;  // one more than is printed; the smallest stay, so order does not matter
  if (name.empty() || decided_by.find(name) != decided_by.end()) return;
  decided_by.emplace(name);
  if (decided_by.size() > kBound) decided_by.erase(std::prev(decided_by.end()));
}

void FlowCell::merge(FlowCell&& other) {
  if (values.empty()) {
    *this = std::move(other);
    return;
  }
  for (ObservedValues& each : other.values) of(each.observation).merge(std::move(each));
  distinct.merge(other.distinct);
  for (const std::string& name : other.decided_by) add_decider(name);
  cleartext.merge(std::move(other.cleartext));
  in_url.merge(std::move(other.in_url));
  if (other.lowest_tls == 0 || (lowest_tls != 0 && lowest_tls < other.lowest_tls)) return;
  if (lowest_tls == other.lowest_tls) oldest_tls.merge(std::move(other.oldest_tls));
  else oldest_tls = std::move(other.oldest_tls);
  lowest_tls = other.lowest_tls;
}

void UnreadValues::merge(UnreadValues&& other) {
  values += other.values;
  most_in_message = std::max(most_in_message, other.most_in_message);
  for (Evidence& item : other.evidence) keep_smallest(evidence, std::move(item));
}

void FlowContext::keep_company(const FlowContextKey& other) {
  constexpr size_t kBound = 64;
  if (company.size() < kBound) company.insert(other);
  else if (!company.count(other)) ++alone;  // not kept: not known
}

void FlowContext::merge(FlowContext&& other) {
  if (requests == 0 || (other.requests != 0 && other.first < first)) first = other.first;
  last_time = std::max(last_time, other.last_time);
  requests += other.requests;
  navigations += other.navigations;
  of_browser += other.of_browser;
  alone += other.alone;
  for (const FlowContextKey& each : other.company) keep_company(each);
  for (Evidence& item : other.evidence) keep_smallest(evidence, std::move(item));
  keep_largest(last_request, std::move(other.last_request));
  gpc += other.gpc;
  for (Evidence& item : other.gpc_evidence) keep_smallest(gpc_evidence, std::move(item));
  unread.merge(std::move(other.unread));
  bins.merge(other.bins);
  for (auto& [type, cell] : other.cells) cells[type].merge(std::move(cell));
}

void CookieSight::merge(CookieSight&& other) {
  set += other.set;
  sent += other.sent;
  keep_later(max_age, other.max_age);
  secure |= other.secure;
  http_only |= other.http_only;
  same_site = std::max(same_site, other.same_site);
  keep_earlier(first, other.first);
  keep_later(last, other.last);
  for (Evidence& item : other.evidence) keep_smallest(evidence, std::move(item));
  keep_largest(last_evidence, std::move(other.last_evidence));
}

void EndpointSight::merge(const EndpointSight& other) {
  if (connections == 0 || other.first_packet < first_packet) {
    first = other.first;
    first_packet = other.first_packet;
    first_connection = other.first_connection;
  }
  connections += other.connections;
  bytes += other.bytes;
}

}  // namespace vitrine
